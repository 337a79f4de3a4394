"""Framed: images of one size brought to the frame at which a task sees them, as `Preprocessing.frame` says, tap by tap."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from striate.data import Preprocessing


class Framed(nn.Module):
    """Images (N, C, H, W) of whole grey levels, float32, of one size, to (N, C, h, w), as `Preprocessing.colours`.

    Each new pixel is the mean of those below a triangle, added up one after another in float32: sums in another order
    would round some pixels to the next grey level. size: (height, width) of all images.
    """

    rows_at: Tensor
    rows_by: Tensor
    columns_at: Tensor
    columns_by: Tensor

    def __init__(self, how: Preprocessing, size: tuple[int, int]) -> None:
        super().__init__()
        for name, of, to in zip(("rows", "columns"), size, how.frame(*size), strict=True):
            places, weights = taps(of, to)
            used = (weights != 0).any(1)
            places, weights = places[used], weights[used]
            self.register_buffer(f"{name}_at", places)
            self.register_buffer(f"{name}_by", weights)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, h, w)."""
        tall = _added(images, 2, self.rows_at, self.rows_by)
        return _added(tall, 3, self.columns_at, self.columns_by).round().clamp(0, 255)


def taps(of: int, to: int) -> tuple[Tensor, Tensor]:
    """(K, to) int64 and float32: which of `of` pixels each of `to` is made of, and how much of each.

    The triangle is as wide as two pixels of the coarser grid, and what of it lies outside the image is left out.
    """
    scale = of / to
    reach = max(scale, 1.0)
    count = int(2 * reach) + 2
    places, shares = [], []
    for new in range(to):
        middle = (new + 0.5) * scale
        first = math.ceil(middle - reach - 0.5)
        row = [
            max(1 - abs(p + 0.5 - middle) / reach, 0.0) if 0 <= p < of else 0.0
            for p in range(first, first + count)
        ]
        total = math.fsum(row)
        places.append([min(max(p, 0), of - 1) for p in range(first, first + count)])
        shares.append([share / total for share in row])
    return torch.tensor(places).T.contiguous(), torch.tensor(
        shares, dtype=torch.float64
    ).float().T.contiguous()


def _added(values: Tensor, axis: int, places: Tensor, weights: Tensor) -> Tensor:
    shape = [1, 1, 1, 1]
    shape[axis] = -1
    total = torch.zeros((), dtype=torch.float32)
    for k in range(len(places)):
        total = total + values.index_select(axis, places[k]) * weights[k].view(shape)
    return total
