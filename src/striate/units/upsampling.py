"""Up-sampling: the pixels where a map, laid over the image by exact geometry, is above its threshold, and only those.

The value at the middle of what a position sees is the position's own; between the middles it is interpolated linearly,
beyond the outermost it stays, as in `striate.attribution.layers.spread`. An interpolated value is never above the largest of
the four that it lies between, so that only the blocks of pixels beside a position above the threshold are computed: with the
published quantile about one in fifty.
"""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor

from striate.attribution import places
from striate.geometry import Axis
from striate.units.layers import UnitLayer

AT_ONCE = 2**20  # interpolated values held at once


class _Blocks:
    """An axis of pixels in blocks that lie between the same two positions.

    low, high (B,): the positions. first (B,): its first pixel. share (B, L): of the higher position in each pixel, with
    `inside` (B, L) False beyond the block's end.
    """

    def __init__(self, axis: Axis | None, count: int, pixels: int) -> None:
        at = places(axis, count, pixels)
        low = at.floor().long()
        length = max(1, ceil(pixels / count) if axis is None else ceil(axis.stride))
        starts: list[int] = []
        lengths: list[int] = []
        for start in range(pixels):
            begins = not starts or low[start] != low[starts[-1]] or lengths[-1] == length
            if begins:
                starts.append(start)
                lengths.append(0)
            lengths[-1] += 1
        self.first = torch.tensor(starts)
        self.low = low[self.first]
        self.high = (self.low + 1).clamp(max=count - 1)
        steps = torch.arange(max(lengths))
        self.inside = steps < torch.tensor(lengths).unsqueeze(1)
        pixel = (self.first.unsqueeze(1) + steps).clamp(max=pixels - 1)
        self.share = (at[pixel] - self.low.unsqueeze(1)).masked_fill(~self.inside, 0).float()
        self.between = bool(self.share.any())
        self.same = torch.equal(self.low, torch.arange(count))

    def spread(self, maps: Tensor, dim: int) -> Tensor:
        """Whether a block has either of its positions above: (..., B, ...) of maps (..., count, ...) bool."""
        lower = maps if self.same else maps.index_select(dim, self.low)
        if not self.between:
            return lower
        return lower | maps.index_select(dim, self.high)


class Upsampling:
    """The maps of a layer over images of `size` (height, width)."""

    def __init__(self, layer: UnitLayer, size: tuple[int, int]) -> None:
        self.size = size
        self.rows, self.columns = (
            _Blocks(axis, n, pixels)
            for axis, n, pixels in zip(layer.field, layer.grid, size, strict=True)
        )

    def above(self, maps: Tensor, thresholds: Tensor) -> tuple[Tensor, Tensor]:
        """The pixels above the threshold of maps (n, U, h, w), thresholds (U,): map n * U + u, and flat pixel, both (P,)."""
        _, units, _, width = maps.shape
        rows, columns = self.rows, self.columns
        limits = thresholds.view(1, units, 1, 1)
        blocks = columns.spread(rows.spread(maps > limits, 2), 3).contiguous()
        flat = blocks.view(-1).nonzero().view(-1)
        # Divided in turn: `nonzero` of four axes takes longer than all that follows.
        flat, column = flat.div(blocks.shape[3], rounding_mode="floor"), flat % blocks.shape[3]
        which, row = flat.div(blocks.shape[2], rounding_mode="floor"), flat % blocks.shape[2]
        values = maps.reshape(-1)
        of_map, of_pixel = [], []
        area = rows.share.shape[1] * columns.share.shape[1]
        for some in torch.arange(len(which)).split(max(1, AT_ONCE // area)):
            m, r, c = which[some], row[some], column[some]
            left = rows.low[r] * width, rows.high[r] * width
            low, high = columns.low[c], columns.high[c]
            base = m * maps[0, 0].numel()
            corners = [values[base + y + x] for y in left for x in (low, high)]
            down, across = rows.share[r].unsqueeze(2), columns.share[c].unsqueeze(1)
            a, b, d, e = (v.view(-1, 1, 1) for v in corners)
            # Down first, then across, as `spread` does: a position's own pixel keeps its value to the bit.
            value = (a * (1 - down) + d * down) * (1 - across) + (
                b * (1 - down) + e * down
            ) * across
            is_above = value > thresholds[m % units].view(-1, 1, 1)
            is_above &= rows.inside[r].unsqueeze(2) & columns.inside[c].unsqueeze(1)
            at = is_above.view(-1).nonzero().view(-1)
            block, inner = at.div(area, rounding_mode="floor"), at % area
            y = inner.div(across.shape[2], rounding_mode="floor")
            pixel = (rows.first[r[block]] + y) * self.size[1]
            of_pixel.append(pixel + columns.first[c[block]] + inner % across.shape[2])
            of_map.append(m[block])
        if not of_map:
            return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
        return torch.cat(of_map), torch.cat(of_pixel)
