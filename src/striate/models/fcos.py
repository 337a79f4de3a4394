"""FCOS: every cell inside an object gives its class and the distances to its four edges, each size on a level of its own."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import UsageError
from striate.models.backbones import Backbone
from striate.models.centernet import FPN, PRIOR, ConvNorm, Residual, doubled
from striate.models.detections import Levels
from striate.models.initialise import start_layer

FINEST = 8  # pixels between two cells of the finest level
BEGIN = 4.0  # cells; the distances that a network begins with, in the middle of what a level answers for

ENDS = {"finest": (4, 64), "levels": (1, 8), "depth": (0, 16)}  # of what an option may be


class Trunk(nn.Module):
    """The maps of a small network that learns from nothing: (N, C, H, W) -> maps at strides of 4, 8, 16 and 32."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        w = width
        self.channels = [2 * w, 3 * w, 4 * w, 4 * w]
        self.strides = [4, 8, 16, 32]
        self.stem = nn.Sequential(
            ConvNorm(in_channels, w, stride=2), ConvNorm(w, 2 * w, stride=2), Residual(2 * w)
        )
        self.down = nn.ModuleList(
            nn.Sequential(ConvNorm(a, b, stride=2), Residual(b))
            for a, b in ((2 * w, 3 * w), (3 * w, 4 * w), (4 * w, 4 * w))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [self.stem(x)]
        for down in self.down:
            maps.append(down(maps[-1]))
        return maps


class Pyramid(nn.Module):
    """The maps of a backbone brought to one number of channels, the coarse ones added to the fine: one map a level.

    Levels beyond the backbone's coarsest map follow from it by strided convolutions. strides: of the levels, in pixels.
    Source: Lin et al., "Feature pyramid networks" (2017); P6 and P7 as in FCOS, section 3.2.
    """

    def __init__(self, backbone: Backbone | Trunk, channels: int, finest: int, levels: int) -> None:
        super().__init__()
        self.strides = tuple(finest * 2**i for i in range(levels))
        self.used = [i for i, stride in enumerate(backbone.strides) if stride in self.strides]
        found = [backbone.strides[i] for i in self.used]
        if found != list(self.strides[: len(found)]) or not found:
            raise UsageError(
                f"the backbone has maps at strides of {', '.join(map(str, backbone.strides))} pixels, and the levels begin "
                f"at {finest}; take finest=, or a backbone such as resnet18"
            )
        self.lateral = nn.ModuleList(
            nn.Conv2d(backbone.channels[i], channels, 1) for i in self.used
        )
        self.join = nn.ModuleList(ConvNorm(channels, channels) for _ in self.used)
        more = levels - len(found)
        self.coarser = nn.ModuleList(ConvNorm(channels, channels, stride=2) for _ in range(more))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        y = [lateral(maps[i]) for lateral, i in zip(self.lateral, self.used, strict=True)]
        for i in range(len(y) - 2, -1, -1):
            y[i] = y[i] + doubled(y[i + 1], y[i])
        levels = [join(m) for join, m in zip(self.join, y, strict=True)]
        for coarser in self.coarser:
            levels.append(coarser(levels[-1]))
        return levels


class Tower(nn.Module):
    """Convolutions that all levels share, each level with batch norms of its own, as their numbers vary differently.

    Source: Tan, Pang, Le, "EfficientDet" (2020), whose heads do so; FCOS has group norm, which looks at the whole image.
    """

    def __init__(self, channels: int, depth: int, levels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(depth)
        )
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(depth)) for _ in range(levels)
        )

    def forward(self, x: Tensor, level: int) -> Tensor:
        norms = self.norms[level]
        assert isinstance(norms, nn.ModuleList)
        for conv, norm in zip(self.convs, norms, strict=True):
            x = F.relu(norm(conv(x)))
        return x


class LevelHead(nn.Module):
    """What the maps of all levels (N, C, h, w) say of their cells: (N, K + 5, h, w) each, see `Levels`.

    Source: Tian et al., "FCOS" (2019), figure 2, with centre-ness beside the distances (their later version).
    """

    def __init__(
        self, channels: int, num_classes: int, strides: tuple[int, ...], depth: int
    ) -> None:
        super().__init__()
        self.strides = strides
        self.classes = Tower(channels, depth, len(strides))
        self.boxes = Tower(channels, depth, len(strides))
        self.heat = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.edges = nn.Conv2d(channels, 4, 3, padding=1)
        self.centred = nn.Conv2d(channels, 1, 3, padding=1)
        self.scales = nn.ParameterList(torch.ones(1) for _ in strides)
        for tower in (self.classes, self.boxes):
            for conv in tower.convs:
                start_layer(conv)
        for layer in (self.heat, self.edges, self.centred):
            start_layer(layer, "linear")
            with torch.no_grad():
                layer.weight.mul_(0.1)
        with torch.no_grad():
            assert self.heat.bias is not None
            self.heat.bias.fill_(math.log(PRIOR / (1 - PRIOR)))

    def forward(self, maps: list[Tensor]) -> Levels:
        out = []
        for level, (x, stride) in enumerate(zip(maps, self.strides, strict=True)):
            a, b = self.classes(x, level), self.boxes(x, level)
            edges = BEGIN * stride * (self.scales[level] * self.edges(b)).exp()
            out.append(torch.cat([self.heat(a), edges, self.centred(b)], 1))
        return Levels(tuple(out), self.strides)


class FCOS(nn.Module):
    """A detector with a level for each size of objects: (N, C, H, W) -> `Levels`.

    backbone: gives the maps. channels: of the levels. finest: pixels between the cells of the first level; each further one
    has twice that. depth: convolutions of each of the two towers. It has batch norm only, and nothing that looks at the
    whole image, so that it gives the same for a tile as for the image around it.
    Source: Tian, Shen, Chen, He, "FCOS: fully convolutional one-stage object detection" (2019).
    """

    def __init__(
        self, backbone: Backbone | Trunk, num_classes: int, *, channels: int = FPN, finest: int = FINEST, levels: int = 5,
        depth: int = 4,
    ) -> None:  # fmt: skip
        super().__init__()
        for name, value in (("finest", finest), ("levels", levels), ("depth", depth)):
            low, high = ENDS[name]
            if type(value) is not int or not low <= value <= high:
                raise UsageError(
                    f"fcos: {name} is a whole number from {low} to {high}, got {value!r:.40}"
                )
        self.backbone = backbone
        self.pyramid = Pyramid(backbone, channels, finest, levels)
        self.head = LevelHead(channels, num_classes, self.pyramid.strides, depth)
        for part in (backbone, self.pyramid) if isinstance(backbone, Trunk) else (self.pyramid,):
            for layer in part.modules():
                if isinstance(layer, nn.Conv2d):
                    start_layer(layer)

    def forward(self, x: Tensor) -> Levels:
        levels: Levels = self.head(self.pyramid(self.backbone(x)))
        return levels
