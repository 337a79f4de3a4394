"""Fetch: what a node reads, for a batch of positions: crops of the clean map with the changed boxes pasted in."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from striate.inference.incremental.cache import Cache

Slices = tuple[slice, ...]


@dataclass(frozen=True)
class Patch:
    """Where the box of a value lies at each position of a group: one start a position and one size, by axis.

    `whole`: the box is the whole map. Axes that the value does not have are None.
    """

    starts: tuple[np.ndarray | None, ...]
    sizes: tuple[int | None, ...]
    whole: bool


class Crops:
    """Cuts crops of one size out of a map (*axes, entries), one for each of `starts`."""

    def __init__(self, source: Tensor, starts: Sequence[np.ndarray], sizes: Sequence[int]) -> None:
        *leading, last = source.shape[:-1]
        width, entries = sizes[-1], source.shape[-1]
        index = np.zeros((len(starts[0]), *[1] * len(leading)), np.int64)
        for j, (n, size, first) in enumerate(zip(leading, sizes, starts, strict=False)):
            shape = [1] * (len(leading) + 1)
            shape[1 + j] = size
            places = np.arange(size).reshape(shape) + first.reshape(-1, *[1] * len(leading))
            index = index * n + places
        index = index * last + starts[-1].reshape(-1, *[1] * len(leading))
        # A row of a crop is contiguous in the map: one index each, into a view of rows that overlap.
        rows = source.numel() // entries - width + 1
        self.rows = source.as_strided((rows, width * entries), (entries, 1))
        self.index = torch.from_numpy(np.ascontiguousarray(index)).to(source.device)
        self.shape = (*sizes, entries)

    def __call__(self, a: int, b: int) -> Tensor:
        """Crops a to b - 1: (b - a, *sizes, entries)."""
        crops = self.rows.index_select(0, self.index[a:b].reshape(-1))
        return crops.view(b - a, *self.shape)


class Placement:
    """Where boxes of the size `have` lie in crops of the size `want`, `offsets` (one a position, by axis) from their start.

    alike: all positions have the same offset. covers: each box covers its whole crop.
    """

    def __init__(
        self, offsets: Sequence[np.ndarray], have: Sequence[int], want: Sequence[int]
    ) -> None:
        # Neighbouring positions with the same offset are pasted in one go.
        if not offsets:
            self.breaks, self.covers, self.alike = [0], True, True
            self._into: list[list[list[int]]] = [[]]
            self._of: list[list[list[int]]] = [[]]
            return
        table = np.stack(offsets, 1)
        breaks = np.concatenate([[0], np.flatnonzero((table[1:] != table[:-1]).any(1)) + 1])
        offset = table[breaks]
        first = np.maximum(offset, 0)
        last = np.maximum(np.minimum(offset + np.array(have), want), first)
        self.breaks = breaks.tolist()
        self._into = np.stack([first, last], 2).tolist()
        self._of = np.stack([first - offset, last - offset], 2).tolist()
        self.covers = bool(((first == 0) & (last == np.array(want))).all())
        self.alike = len(self.breaks) == 1

    def of(self, run: int) -> Slices:
        """The part of the box that lies in the crop."""
        return tuple([slice(a, b) for a, b in self._of[run]])

    def paste(self, crops: Tensor, boxes: Tensor, a: int, b: int) -> None:
        """Write the boxes of positions a to b - 1 into their crops, both (positions, *axes, ...)."""
        i = bisect_right(self.breaks, a) - 1
        while i < len(self.breaks) and self.breaks[i] < b:
            stop = self.breaks[i + 1] if i + 1 < len(self.breaks) else b
            here = slice(max(self.breaks[i], a) - a, min(stop, b) - a)
            into = tuple([slice(s, t) for s, t in self._into[i]])
            crops[(here, *into)] = boxes[(here, *self.of(i))]
            i += 1


class Fetch:
    """Builds the crop of one value at `starts` (one a position, by axis) of one size, for any slice of a group.

    fresh: whether the result is a new tensor, that may be written into.
    """

    def __init__(
        self, cache: Cache, value: int, patch: Patch, starts: Sequence[np.ndarray | None],
        sizes: Sequence[int | None], fill: float = 0.0,
    ) -> None:  # fmt: skip
        self.value = value
        self.form = cache.form(value)
        axes = self.form.axes
        self.have = [_int(patch.sizes[k]) for k in axes]
        self.want = [_int(sizes[k]) for k in axes]
        offsets = [_array(patch.starts[k]) - _array(starts[k]) for k in axes]
        self.place = Placement(offsets, self.have, self.want)
        self.direct = self.place.alike and self.place.covers
        self.same = self.direct and self.have == self.want
        self.fresh = not self.direct
        self.clean: Crops | None = None
        if self.fresh and 0 not in self.want and not self.place.covers:
            margins = cache.margins(value, fill)
            corner = [_array(starts[k]) + m[0] for k, m in zip(axes, margins, strict=True)]
            self.clean = Crops(cache.map(value, fill), corner, self.want)
        like = cache[value]
        self.dtype, self.device = like.dtype, like.device

    def __call__(self, tensor: Tensor, a: int, b: int) -> Tensor:
        """The crops of positions a to b - 1, from the tensor of their changed boxes."""
        if self.same:
            return tensor
        form = self.form
        patch = form.canonical(tensor, b - a, self.have)
        if self.direct:
            return form.restore(patch[(slice(None), *self.place.of(0))])
        if self.clean is not None:
            crop = self.clean(a, b).view(b - a, *self.want, *form.plain)
        else:
            crop = torch.empty(
                (b - a, *self.want, *form.plain), dtype=self.dtype, device=self.device
            )
        self.place.paste(crop, patch, a, b)
        return form.restore(crop)


def _int(n: int | None) -> int:
    assert n is not None
    return n


def _array(a: np.ndarray | None) -> np.ndarray:
    assert a is not None
    return a
