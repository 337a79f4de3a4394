"""SegNet: what pooling took away is put back where it came from (Badrinarayanan, Kendall, Cipolla 2017; lecture 004)."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from striate.models.initialise import initialise
from striate.nn.full_size import on_lattice

CONVOLUTIONS = (2, 2, 3, 3, 3)  # a stage, as in VGG-16
WIDTHS = (1, 2, 4, 8, 8)  # times `width`


class Stage(nn.Module):
    """Convolutions of 3 x 3 with batch norm, a ReLU after each but the last, which follows the pooling."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(channels)):
            layers += [nn.ReLU()] if i else []
            layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class SegNet(nn.Module):
    """(N, C, H, W) -> (N, K, H, W) logits, any size.

    The encoder is VGG-16's (with width=64); each of the decoder's stages begins with max-unpooling by the switches of the
    pooling that it mirrors. Pooling and ReLU commute, so the ReLU comes after the pooling: a switch then is the place of
    one maximum even where the ReLU leaves only zeros. Values that are equal before the ReLU share a switch.
    Source: Badrinarayanan, Kendall, Cipolla, "SegNet" (2017); Zeiler and Fergus (2014), section 2.1, for the switches.
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, depth: int = 4, width: int = 32
    ) -> None:
        super().__init__()
        self.stride = 2**depth
        self.margin = 0
        outs = [width * w for w in WIDTHS[:depth]]
        ins = [in_channels, *outs]
        self.encoder = nn.ModuleList(
            Stage([ins[i], *[outs[i]] * CONVOLUTIONS[i]]) for i in range(depth)
        )
        self.decoder = nn.ModuleList(
            Stage([*[outs[i]] * CONVOLUTIONS[i], outs[max(i - 1, 0)]])
            for i in reversed(range(depth))
        )
        self.head = nn.Conv2d(outs[0], num_classes, 1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return on_lattice(self.label, x, self.stride)

    def label(self, x: Tensor) -> Tensor:
        """The network on a multiple of its stride."""
        switches = []
        for stage in self.encoder:
            y = stage(x)
            x = F.max_pool2d(y, 2)
            switches.append(y == F.interpolate(x, scale_factor=2, mode="nearest"))
            x = F.relu(x)
        for stage in self.decoder:
            x = F.interpolate(x, scale_factor=2, mode="nearest") * switches.pop()
            x = F.relu(stage(x))
        return self.head(x)
