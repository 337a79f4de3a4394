"""The nearest pixel that torch reads: found in float32 for every kind of number, with two special sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate.geometry import Box, Crop, apply, trace


class Resized(nn.Module):
    """Rows stay; columns are resized."""

    def __init__(self, mode: str, size: int | None = None, scale: float | None = None) -> None:
        super().__init__()
        self.mode, self.size, self.scale = mode, size, scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.scale is not None:
            return F.interpolate(x, scale_factor=(1.0, self.scale), mode=self.mode)
        return F.interpolate(x, size=(x.shape[2], self.size), mode=self.mode)


def read(network: nn.Module, columns: int, dtype: torch.dtype) -> list[int]:
    """Which column each column of the result is, computed one by one from the columns that its rule asks for."""
    x = torch.arange(columns, dtype=dtype).expand(1, 1, 2, columns).contiguous()
    geometry = trace(network, x)
    (record,) = [r for r in geometry.records if r.live]
    found = []
    for at in range(geometry.values[record.output].shape[-1]):
        box: Box = ((0, 2), (at, at + 1))
        rows, cols = record.links[0].pull(box)
        assert rows is not None
        assert cols is not None
        crop = Crop(x[:, :, slice(*rows), slice(*cols)], (rows, cols))
        found.append(int(apply(geometry, record, [crop], box, batch=1)[0, 0, 0, 0]))
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("columns", "mode", "size", "scale"),
    [
        (
            26,
            "nearest-exact",
            11,
            None,
        ),  # 5.5 x 26 / 11 is 13 in float64, and just below in float32
        (49, "nearest", 61, None),
        (3, "nearest", None, 1.3),  # three columns become three: a copy, not floor(o / 1.3)
        (8, "nearest", None, 1.1),
        (7, "nearest", None, 2.1),  # 14, twice as many: each column twice
        (9, "nearest", None, 0.45),
        (13, "nearest-exact", None, 1.7),
    ],
)
def test_the_nearest_pixel_is_the_one_that_torch_reads(
    columns: int, mode: str, size: int | None, scale: float | None, dtype: torch.dtype
) -> None:
    network = Resized(mode, size, scale)
    want = network(torch.arange(columns, dtype=dtype).expand(1, 1, 2, columns))[0, 0, 0]
    assert read(network, columns, dtype) == want.long().tolist()
