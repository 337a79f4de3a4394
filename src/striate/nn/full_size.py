"""From any size of image to the sizes that a network takes, and back: pad, never resize."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn


def on_lattice(network: Callable[[Tensor], Tensor], x: Tensor, stride: int) -> Tensor:
    """`network(x)` with x (N, C, H, W) padded by zeros below and at the right to multiples of `stride`, cut back."""
    height, width = x.shape[-2:]
    more = -height % stride, -width % stride
    if not any(more):
        return network(x)
    return network(F.pad(x, (0, more[1], 0, more[0])))[..., :height, :width]


def fit(x: Tensor, like: Tensor) -> Tensor:
    """x (N, C, H, W) with the height and width of `like`: its middle, or with its border repeated on all sides."""
    for axis in (-2, -1):
        more = like.shape[axis] - x.shape[axis]
        if more < 0:
            x = x.narrow(axis, -more // 2, like.shape[axis])
        elif more > 0:
            sides = (more // 2, more - more // 2)
            x = F.pad(x, (*sides, 0, 0) if axis == -1 else (0, 0, *sides), mode="replicate")
    return x


class FullSize(nn.Module):
    """A network that loses `margin` pixels on each side, made to give a value for every pixel: (N, C, H, W) -> (N, K, H, W).

    The image is mirrored at its borders, as Ronneberger, Fischer and Brox do (2015, section 3), so far that the network
    gives `least` plus a multiple of `stride` pixels. Borders that are wider than the image repeat its edge.
    """

    def __init__(self, network: nn.Module, *, margin: int, stride: int, least: int = 0) -> None:
        super().__init__()
        self.network = network
        self.margin = margin
        self.stride = stride
        self.least = least

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        m = self.margin
        right, below = (m + (self.least - n) % self.stride for n in (width, height))
        mode = "reflect" if max(right, m) < width and max(below, m) < height else "replicate"
        y: Tensor = self.network(F.pad(x, (m, right, m, below), mode=mode))
        return y[..., :height, :width]
