"""The two halves of a U-Net: down by pooling, up by transposed convolution, bridged."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import UsageError


class DoubleConv(nn.Sequential):
    """Two 3 x 3 convolutions, a ReLU after each.

    (N, C, H, W) -> (N, O, H - 4, W - 4), or (N, O, H, W) if padded.
    norm: batch norm before each ReLU, which the paper of 2015 did not have yet.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, padded: bool = False, norm: bool = False
    ) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            layers.append(nn.Conv2d(channels, out_channels, 3, padding=int(padded), bias=not norm))
            if norm:
                layers.append(nn.BatchNorm2d(out_channels))
            layers.append(nn.ReLU())
        super().__init__(*layers)


class UNetDown(nn.Module):
    """Two convolutions, then 2 x 2 max pooling: (N, C, H, W) -> (pooled maps, the bridge's maps).

    The bridge is (N, O, H - 4, W - 4), or (N, O, H, W) if padded; the pooled maps are half as
    large, rounded down.
    Source: Ronneberger, Fischer, Brox, "U-Net" (2015), figure 1; lecture 001, "UNet".
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, padded: bool = False, norm: bool = False
    ) -> None:
        super().__init__()
        self.conv = DoubleConv(in_channels, out_channels, padded=padded, norm=norm)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        bridge = self.conv(x)
        return self.pool(bridge), bridge


UPS = ("transposed", "bilinear", "nearest")  # ways to twice the size


def up_twice(in_channels: int, out_channels: int, up: str = "transposed") -> nn.Module:
    """(N, C, H, W) -> (N, O, 2H, 2W): a transposed convolution of 2 x 2, or interpolation and a 1 x 1 convolution.

    Source: Odena, Dumoulin, Olah, "Deconvolution and checkerboard artifacts" (2016), for the second kind.
    """
    if up not in UPS:
        raise UsageError(f"up must be one of {', '.join(UPS)}, got {up!r}")
    if up == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
    corners = {"align_corners": False} if up == "bilinear" else {}
    # The 1 x 1 convolution first: the two commute, and it costs a quarter on the smaller map.
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1), nn.Upsample(scale_factor=2, mode=up, **corners)
    )


class UNetUp(nn.Module):
    """Twice the size by a transposed convolution (or interpolation), the bridge beside it, two convolutions.

    (N, C, H, W) and a bridge (N, O, HB, WB) -> (N, O, 2H - 4, 2W - 4), the bridge's centre being
    cut out; if padded (N, O, HB, WB), where a bridge with an odd side is one pixel larger than 2H
    and the last row or column is repeated.
    Raises UsageError for a bridge that is too small to cut from, or, if padded, of another size
    than this.
    Source: Ronneberger, Fischer, Brox, "U-Net" (2015), figure 1; lecture 001, "UNet".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        padded: bool = False,
        norm: bool = False,
        up: str = "transposed",
    ) -> None:
        super().__init__()
        self.padded = padded
        self.up = up_twice(in_channels, out_channels, up)
        self.conv = DoubleConv(2 * out_channels, out_channels, padded=padded, norm=norm)

    def forward(self, x: Tensor, bridge: Tensor) -> Tensor:
        x = self.up(x)
        more = [b - n for b, n in zip(bridge.shape[-2:], x.shape[-2:], strict=True)]
        if self.padded:
            if not all(n in (0, 1) for n in more):  # of exported graphs they are no numbers
                raise UsageError(_no_bridge(x, bridge, "the same size, or one pixel more"))
            if any(more):
                x = F.pad(x, (0, more[1], 0, more[0]), mode="replicate")
        else:
            if min(more) < 0:
                raise UsageError(_no_bridge(x, bridge, "at least that size"))
            top, left = (n // 2 for n in more)
            bridge = bridge[..., top : top + x.shape[-2], left : left + x.shape[-1]]
        return self.conv(torch.cat([bridge, x], 1))


def _no_bridge(x: Tensor, bridge: Tensor, expected: str) -> str:
    got, come = ("{} x {}".format(*t.shape[-2:]) for t in (bridge, x))
    return (
        f"UNetUp: {come} pixels come from below, so the bridge must have {expected}, got {got}; "
        "take the bridge of the UNetDown at the same height"
    )
