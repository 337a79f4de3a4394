"""U-Net: down by pooling, up again, with a bridge at every height (Ronneberger, Fischer, Brox 2015; lecture 001)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.models.backbones import Backbone
from striate.models.initialise import initialise, start_layer
from striate.nn.full_size import fit, on_lattice
from striate.nn.unet import DoubleConv, UNetDown, UNetUp, up_twice

DEPTHS = range(1, 8)
LEAST = 4  # pixels: sides of the output of a U-Net of valid convolutions are 4 + a multiple of its stride


class UNet(nn.Module):
    """(N, C, H, W) -> (N, K, H, W) logits; of valid convolutions (padded=False) smaller by `margin` on each side.

    depth: poolings. width: channels at the top, twice as many after each pooling. up: "transposed", "bilinear" or
    "nearest". norm: batch norm. dropout: at the bottom, as in the paper. Padded, it takes any size; valid, those for which
    every pooling finds an even side, such as 572 x 572, which gives 388 x 388.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        depth: int = 4,
        width: int = 32,
        padded: bool = True,
        norm: bool = True,
        up: str = "transposed",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if depth not in DEPTHS:
            raise UsageError(f"depth must be {DEPTHS[0]} to {DEPTHS[-1]}, got {depth}")
        widths = [width * 2**i for i in range(depth + 1)]
        self.stride = 2**depth
        self.padded = padded
        # Each double convolution costs 4 pixels of its map, on the way down and up; above the bottom both ways.
        lost = 4 * self.stride + sum(8 * 2**i for i in range(depth))
        self.margin = 0 if padded else lost // 2
        self.least = LEAST
        form = {"padded": padded, "norm": norm}
        ins = [in_channels, *widths]
        self.down = nn.ModuleList(UNetDown(ins[i], widths[i], **form) for i in range(depth))
        self.bottom = DoubleConv(widths[-2], widths[-1], **form)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList(
            UNetUp(widths[i + 1], widths[i], up=up, **form) for i in reversed(range(depth))
        )
        self.head = nn.Conv2d(width, num_classes, 1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        if self.padded:
            return on_lattice(self.label, x, self.stride)
        least = 2 * self.margin + LEAST
        if any(n < least or (n - least) % self.stride for n in x.shape[-2:]):
            raise UsageError(
                f"a U-Net of valid convolutions takes sides of {least} + a multiple of {self.stride} pixels, got "
                f"{x.shape[-2]} x {x.shape[-1]}; take padded=True, or FullSize around it"
            )
        return self.label(x)

    def label(self, x: Tensor) -> Tensor:
        """The network on a size that it takes."""
        bridges = []
        for down in self.down:
            x, bridge = down(x)
            bridges.append(bridge)
        x = self.dropout(self.bottom(x))
        for up in self.up:
            x = up(x, bridges.pop())
        return self.head(x)


class EncoderUNet(nn.Module):
    """A U-Net whose way down is a classification network: (N, C, H, W) -> (N, K, H, W), any size.

    Each step up: twice the size, the encoder's map of that size beside it, two convolutions with batch norm.
    Source: Iglovikov, Shvets, "TernausNet" (2018), with any encoder.
    """

    def __init__(self, backbone: Backbone, num_classes: int, *, up: str = "bilinear") -> None:
        super().__init__()
        self.backbone = backbone
        self.stride = backbone.strides[-1]
        self.margin = 0
        channels = backbone.channels[-1]
        levels: list[nn.Module] = []
        doubles: list[nn.Module] = []
        bridges = dict(zip(backbone.strides, backbone.channels, strict=True))
        stride = self.stride
        while stride > 1:
            stride //= 2
            wide = max(16, min(256, 8 * stride * 2))
            levels.append(up_twice(channels, wide, up))
            doubles.append(DoubleConv(wide + bridges.get(stride, 0), wide, padded=True, norm=True))
            channels = wide
        self.up, self.conv = nn.ModuleList(levels), nn.ModuleList(doubles)
        self.head = nn.Conv2d(channels, num_classes, 1)
        for layer in self.conv.modules():
            if isinstance(layer, nn.Conv2d):
                start_layer(layer)
        start_layer(self.head, "linear")

    def forward(self, x: Tensor) -> Tensor:
        return on_lattice(self.label, x, self.stride)

    def label(self, x: Tensor) -> Tensor:
        """The network on a multiple of its stride."""
        maps = dict(zip(self.backbone.strides, self.backbone(x), strict=True))
        y, stride = maps[self.stride], self.stride
        for up, conv in zip(self.up, self.conv, strict=True):
            stride //= 2
            y = up(y)
            if stride in maps:
                y = torch.cat([maps[stride], fit(y, maps[stride])], 1)
            y = conv(y)
        return self.head(fit(y, x))
