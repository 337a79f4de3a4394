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
        self.ragged = not bool(self.inside.all())
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
        height, length = rows.share.shape[1], columns.share.shape[1]
        for some in torch.arange(len(which)).split(max(1, AT_ONCE // (height * length))):
            m, r, c = which[some], row[some], column[some]
            base = m * maps[0, 0].numel()
            top, below = base + rows.low[r] * width, base + rows.high[r] * width
            down = rows.share[r]
            # Down first, then across, as `spread` does: a position's own pixel keeps its value to the bit.
            left, right = (
                torch.lerp(values[top + x].unsqueeze(1), values[below + x].unsqueeze(1), down)
                for x in (columns.low[c], columns.high[c])
            )
            limit = thresholds[m % units].unsqueeze(1)
            # Most rows of pixels lie below at both ends, and so everywhere between.
            reaching = (torch.maximum(left, right) > limit) & rows.inside[r]
            line = reaching.view(-1).nonzero().view(-1)
            block = line.div(height, rounding_mode="floor")
            start, end = (v.view(-1)[line].unsqueeze(1) for v in (left, right))
            is_above = torch.lerp(start, end, columns.share[c[block]]) > limit[block]
            if columns.ragged:
                is_above &= columns.inside[c[block]]
            at = is_above.view(-1).nonzero().view(-1)
            of = at.div(length, rounding_mode="floor")
            pixel = (rows.first[r[block]] + line % height) * self.size[1] + columns.first[c[block]]
            of_pixel.append(pixel[of] + at % length)
            of_map.append(m[block[of]])
        if not of_map:
            return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
        return torch.cat(of_map), torch.cat(of_pixel)
