"""Ways to twice the size, and one network that takes any of them (lecture 004, figure 10; 001, transposed convolution)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.geometry import trace

STRIDE = 2
WIDTHS = (16, 32, 64)


class Unpool(nn.Module):
    """A 1 x 1 convolution, then each value back to where its maximum stood: (N, C, H, W) -> (N, O, 2H, 2W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, switches: Tensor) -> Tensor:
        """switches: (N, O, H, W), where in its map each maximum stood, as `F.max_pool2d` returns them."""
        return F.max_unpool2d(self.conv(x), switches, [STRIDE, STRIDE])


def transposed(kernel: int) -> Callable[[int, int], nn.Module]:
    """Transposed convolutions of `kernel` and stride 2 that twice the size exactly."""
    padding = (kernel - 1) // 2
    spare = STRIDE - kernel + 2 * padding
    return lambda a, b: nn.ConvTranspose2d(a, b, kernel, STRIDE, padding, spare)


def interpolated(a: int, b: int) -> nn.Module:
    """Bilinear interpolation, then a 3 x 3 convolution (Odena, Dumoulin and Olah 2016)."""
    return nn.Sequential(
        nn.Upsample(scale_factor=STRIDE, mode="bilinear", align_corners=False),
        nn.Conv2d(a, b, 3, padding=1, padding_mode="replicate"),
    )


@dataclass(frozen=True)
class Way:
    """One way up: what makes its layer from numbers of channels, and its kernel where the overlap has one."""

    make: Callable[[int, int], nn.Module]
    kernel: int | None = None


WAYS: dict[str, Way] = {
    "max-unpooling": Way(Unpool),
    "transposed 2 x 2": Way(transposed(2), 2),
    "transposed 3 x 3": Way(transposed(3), 3),
    "transposed 4 x 4": Way(transposed(4), 4),
    "bilinear + 3 x 3": Way(interpolated),
}


def overlap(kernel: int, size: int = 8) -> np.ndarray:
    """How many values of the smaller map each position (size, size) of a transposed convolution adds up, by its geometry."""
    layer = transposed(kernel)(1, 1)
    geometry = trace(layer, (1, 1, size // STRIDE, size // STRIDE))
    name = geometry.layers[-1].name
    counts = np.zeros((size, size), dtype=int)
    for place in np.ndindex(counts.shape):
        counts[place] = geometry.receptive_field(name, place).count
    return counts


def phases(counts: np.ndarray) -> np.ndarray:
    """The overlap (2, 2) of one period, away from the border."""
    middle = len(counts) // 2 // STRIDE * STRIDE
    return counts[middle : middle + STRIDE, middle : middle + STRIDE]


def block(a: int, b: int) -> nn.Sequential:
    """A 3 x 3 convolution that repeats the border, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(a, b, 3, padding=1, padding_mode="replicate", bias=False),
        nn.BatchNorm2d(b),
        nn.ReLU(),
    )


class Segmenter(nn.Module):
    """(N, 3, H, W) -> (N, 2, H, W): two poolings down, two steps up of one kind, no bridges, so that all detail comes up.

    H and W are multiples of 4. Source: the plain encoder and decoder of Badrinarayanan, Kendall, Cipolla, "SegNet" (2017).
    """

    def __init__(self, way: Way) -> None:
        super().__init__()
        a, b, c = WIDTHS
        self.down = nn.ModuleList([nn.Sequential(block(3, a), block(a, a)), block(a, b)])
        self.bottom = nn.Sequential(block(b, c), block(c, c))
        self.up = nn.ModuleList([way.make(c, b), way.make(b, a)])
        self.after = nn.ModuleList([block(b, b), block(a, a)])
        self.head = nn.Conv2d(a, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        switches = []
        for stage in self.down:
            x, at = F.max_pool2d(stage(x), STRIDE, return_indices=True)
            switches.append(at)
        x = self.bottom(x)
        for up, after in zip(self.up, self.after, strict=True):
            at = switches.pop()
            x = after(up(x, at) if isinstance(up, Unpool) else up(x))
        return self.head(x)


def pattern_strength(maps: Tensor, period: int = STRIDE) -> Tensor:
    """Root mean square (N,) of what repeats with `period` in maps (N, H, W): each phase's mean, less the mean of all.

    What varies slowly, as a ramp does, is taken off first, by the mean over a period around each position.
    """
    n = len(maps)
    x = maps[:, None]
    # The mean over period + 1 positions with half weight at both ends is centred and blind to the period.
    row = torch.ones(period + 1)
    row[0] = row[-1] = 0.5
    box = torch.outer(row, row)[None, None] / period**2
    margin = period // 2
    slow = F.conv2d(x, box)
    fast = x[..., margin : margin + slow.shape[-2], margin : margin + slow.shape[-1]] - slow
    rows, columns = slow.shape[-2] // period * period, slow.shape[-1] // period * period
    cut = fast[:, 0, :rows, :columns].reshape(n, rows // period, period, columns // period, period)
    mean = cut.mean((1, 3))
    return (mean - mean.mean((1, 2), keepdim=True)).square().mean((1, 2)).sqrt()
