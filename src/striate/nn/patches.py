"""Patches: an image cut into squares, each described by the same linear map, which is a convolution of stride = kernel."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchEmbedding(nn.Conv2d):
    """(N, C, H, W) -> (N, E, ceil(H / P), ceil(W / P)): each patch of P x P pixels through one linear map.

    An image that P does not divide is padded with zeros, the mean of normalised pixels, as evenly as it goes: half of
    what is missing before, the rest after. Without padding this is exactly `unfold` and a matrix product.
    Raises ValueError for a patch below one pixel.
    """

    def __init__(self, in_channels: int, width: int, patch: int) -> None:
        if isinstance(patch, bool) or not isinstance(patch, int) or patch < 1:
            raise ValueError(f"a patch has a whole number of pixels, at least 1, got {patch!r}")
        super().__init__(in_channels, width, patch, patch)
        if not self.weight.is_meta:
            nn.init.trunc_normal_(self.weight, std=math.sqrt(1 / (in_channels * patch**2)))
            assert self.bias is not None
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, E, rows, columns)."""
        patch = self.kernel_size[0]
        rows, columns = (-n % patch for n in x.shape[-2:])
        if rows or columns:
            x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return super().forward(x)


def grid_of(size: tuple[int, int], patch: int) -> tuple[int, int]:
    """Rows and columns of patches of an image (height, width) in pixels."""
    return -(-size[0] // patch), -(-size[1] // patch)


def resized_positions(positions: Tensor, grid: tuple[int, int], to: tuple[int, int]) -> Tensor:
    """Positions (1, rows * columns, E) of one grid on another, by bicubic interpolation without aliasing.

    As timm's `resample_abs_pos_embed` does it, so that its networks give equal answers at other sizes.
    """
    maps = positions.float().transpose(1, 2).unflatten(2, grid)
    maps = F.interpolate(maps, to, mode="bicubic", antialias=True)
    return maps.flatten(2).transpose(1, 2).to(positions.dtype)


def sinusoids(grid: tuple[int, int], width: int) -> Tensor:
    """Fixed positions (rows * columns, width): sines and cosines of the row in one half, of the column in the other.

    Frequencies fall from 1 to 1/10,000, as in Vaswani et al. (2017), section 3.5; in two dimensions as in Chen, Xie, He,
    "An empirical study of training self-supervised vision transformers" (2021). Raises ValueError where 4 does not
    divide the width.
    """
    if width % 4:
        raise ValueError(f"sinusoidal positions need a width that 4 divides, got {width}")
    frequency = 10_000 ** -(torch.arange(width // 4) / (width // 4))
    rows, columns = (torch.arange(n)[:, None] * frequency for n in grid)
    y = torch.cat([rows.sin(), rows.cos()], 1)[:, None].expand(-1, grid[1], -1)
    x = torch.cat([columns.sin(), columns.cos()], 1)[None].expand(grid[0], -1, -1)
    return torch.cat([y, x], 2).reshape(-1, width)
