"""CenterNet with masks: pixels that belong to an object vote for its centre (lecture 001's instance segmentation)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.models.backbones import Backbone
from striate.models.centernet import (
    FPN,
    REACH,
    STRIDE,
    BackboneCenterNet,
    CenterNet,
    ConvNorm,
    doubled,
)
from striate.models.initialise import start_layer

VOTERS = 2  # pixels a side of the squares that vote together
PIXELS, VOTES = STRIDE**2, 2 * (STRIDE // VOTERS) ** 2
BESIDE = 4 + PIXELS + VOTES
"""Channels beside one a class: four distances, the pixels of the cell, and the votes of its squares."""

RARE = -2.0  # the logit with which every pixel begins: most belong to no object


class PixelHead(nn.Module):
    """What a map (N, C, H / 4, W / 4) and one of twice its size say of pixels: (N, PIXELS + VOTES, H / 4, W / 4).

    Channel r * 4 + c of the first 16: the logit that the cell's pixel in row r and column c belongs to an object. Then, for
    its four squares of 2 x 2 pixels in reading order, how far to the right of the square's middle the centre of that object
    lies, and likewise how far below, in pixels. Masks are as fine as the image, and no layer is finer than half of it.
    Source: Cheng et al., "Panoptic-DeepLab" (2020), for the votes; Shi et al. (2016) for pixels as channels.
    """

    def __init__(self, channels: int, fine: int, *, wide: int) -> None:
        super().__init__()
        self.up = nn.Conv2d(channels, wide, 1)
        self.fine = nn.Conv2d(fine, wide, 1) if fine else None
        joins = ConvNorm(wide, wide), ConvNorm(wide, wide)
        self.join = nn.Sequential(*joins)
        self.out = nn.Conv2d(wide, PIXELS + VOTES, 3, stride=2, padding=1)
        for layer in (self.up, self.fine, joins[0][0], joins[1][0]):
            if layer is not None:
                start_layer(layer)
        start_layer(self.out, "linear")
        assert self.out.bias is not None
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            self.out.bias[:PIXELS] = RARE
            self.out.bias[PIXELS:] = 0.0

    def forward(self, x: Tensor, half: Tensor) -> Tensor:
        """half: (N, fine, ceil(H / 2), ceil(W / 2)); of its size alone where there is nothing finer."""
        y = doubled(self.up(x), half)
        y = self.out(self.join(y if self.fine is None else y + self.fine(half)))
        return torch.cat([y[:, :PIXELS], REACH * y[:, PIXELS:]], 1)


class MaskCenterNet(CenterNet):
    """CenterNet with a mask for each object: (N, C, H, W) -> (N, K + BESIDE, ceil(H / 4), ceil(W / 4)).

    The first K + 4 channels are CenterNet's, see `Head`; the rest as `PixelHead` has them.
    """

    def __init__(self, in_channels: int, num_classes: int, *, width: int = 32, wide: int | None = None) -> None:  # fmt: skip
        super().__init__(in_channels, num_classes, width=width)
        self.pixels = PixelHead(2 * width, width, wide=wide or width)

    def forward(self, x: Tensor) -> Tensor:
        half = self.stem[0](x)
        y = self.joined(half)
        return torch.cat([self.head(y), self.pixels(y, half)], 1)


class BackboneMaskCenterNet(BackboneCenterNet):
    """The same on the maps of a classification network; masks are the finer where it has one at half the size."""

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__(backbone, num_classes)
        self.halved = backbone.strides.index(2) if 2 in backbone.strides else None
        fine = 0 if self.halved is None else backbone.channels[self.halved]
        self.pixels = PixelHead(FPN, fine, wide=FPN // 4)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.backbone(x)
        y = self.joined(maps)
        half = x[..., ::2, ::2] if self.halved is None else maps[self.halved]
        return torch.cat([self.head(y), self.pixels(y, half)], 1)
