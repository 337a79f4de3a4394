"""Store: what a walk holds of every value between its steps, as pieces that lie side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from striate.geometry import Box, Value
from striate.geometry.box import contains, is_empty, volume
from striate.geometry.layout import BATCH, axis_of, sizes
from striate.geometry.plan import cut
from striate.inference.tiled.run.slab import Slab


@dataclass(frozen=True, slots=True)
class Piece:
    """A tensor of any shape that holds `box` of a value."""

    box: Box
    tensor: Tensor


def sides(box: Box) -> list[int | None]:
    """The extent of a box along each axis."""
    return [None if s is None else s[1] - s[0] for s in box]


def spread(tensor: Tensor, value: Value, box: Box) -> Tensor:
    """A view with one dimension an atom of the value's layout, so that every axis has a dimension of its own.

    tensor: the values of `box` in the value's own dimensions, such as (1, C, h * w) where a reshape merged two axes; the
    view is (1, C, h, w) then.
    """
    if all(len(dim) == 1 for dim in value.layout):
        return tensor
    extents = sides(box)
    shape: list[int] = []
    for dim in value.layout:
        shape += sizes(dim, extents, 1)
    return tensor.reshape(shape)


def axis_dims(value: Value) -> dict[int, int]:
    """The dimension of each axis in a `spread` tensor."""
    atoms = [a for dim in value.layout for a in dim]
    return {axis_of(a): d for d, a in enumerate(atoms) if a < BATCH}


def narrow(tensor: Tensor, dims: dict[int, int], have: Box, want: Box) -> Tensor:
    """The part `want` of a spread tensor of any shape that covers `have`; a view. dims: as `axis_dims` gives them."""
    for k, d in dims.items():
        a, b = have[k], want[k]
        if a != b and a is not None and b is not None:
            tensor = tensor.narrow(d, b[0] - a[0], b[1] - b[0])
    return tensor


def overlap(a: Box, b: Box) -> Box | None:
    """What lies in both boxes, None if nothing does."""
    pieces = []
    for s, t in zip(a, b, strict=True):
        if s is None or t is None:
            pieces.append(s)
            continue
        start, stop = max(s[0], t[0]), min(s[1], t[1])
        if start >= stop:
            return None
        pieces.append((start, stop))
    return tuple(pieces)


def room(value: Value, box: Box, device: torch.device, last: bool) -> Tensor:
    """An empty tensor for `box` of a value of any shape; `last`: with channels last in memory, as convolutions
    like it.
    """
    extents = sides(box)
    shape = [prod(sizes(dim, extents, 1)) for dim in value.layout]
    form = torch.channels_last if last and len(shape) == 4 else torch.contiguous_format
    return torch.empty(shape, dtype=value.dtype, device=device, memory_format=form)


def assemble(pieces: Sequence[Piece], value: Value, want: Box, out: Tensor) -> Tensor:
    """The box `want` of a value of any shape, put together from pieces that cover it without overlap; returns `out`.

    out: in the value's own dimensions, with the extents of `want`, as `room` makes it.
    """
    dims = axis_dims(value)
    target = spread(out, value, want)
    missing = volume(want)
    for piece in pieces:
        part = overlap(piece.box, want)
        if part is None:
            continue
        source = narrow(spread(piece.tensor, value, piece.box), dims, piece.box, part)
        narrow(target, dims, want, part).copy_(source)
        missing -= volume(part)
        if not missing:
            break
    assert missing == 0, f"{missing} positions of {want} were dropped too early"
    return out


class Store:
    """The pieces of every value. `keep` says, for a value, from where on later steps want it along each carried axis."""

    def __init__(
        self, values: Sequence[Value], device: torch.device, last: bool, kept: int
    ) -> None:
        self.device = device
        self.slab = Slab(kept, device)
        self.values = values
        self.last = last
        self.pieces: dict[int, list[Piece]] = {}
        self.joined: dict[int, Piece] = {}

    def clear(self) -> None:
        """Forget everything."""
        self.slab.clear()
        self.pieces.clear()
        self.joined.clear()

    def put(self, v: int, box: Box, tensor: Tensor) -> None:
        """Take in a new piece."""
        if self.slab.holds(tensor):  # a view of a kept piece, which may be gone before it
            tensor = tensor.clone(memory_format=torch.preserve_format)
        piece = Piece(box, tensor)
        held = self.pieces.get(v)
        if held is None:
            self.pieces[v] = [piece]
        else:
            held.append(piece)

    def take(self, v: int, want: Box) -> Tensor:
        """The box `want` of a value: a view where one piece holds it, else a copy."""
        if is_empty(want):
            return room(self.values[v], want, self.device, self.last)
        held = self.pieces[v]
        newest = held[-1]
        value = self.values[v]
        if contains(newest.box, want):
            return cut(newest.tensor, value.layout, newest.box, want, 1)
        joined = self.joined.get(v)
        if joined is not None and contains(joined.box, want):
            return cut(joined.tensor, value.layout, joined.box, want, 1)
        for piece in held:
            if contains(piece.box, want):
                return cut(piece.tensor, value.layout, piece.box, want, 1)
        out = room(value, want, self.device, self.last)
        tensor = assemble(held[::-1], value, want, out)
        self.joined[v] = Piece(want, tensor)
        return tensor

    def retire(self, v: int, keeps: Sequence[tuple[int, int, int]], fresh: bool) -> None:
        """Drop what no later step wants, after the value was last read in this step.

        keeps: (axis, first position that later steps along it need, first position that this step needed), slowest axis
        first; empty where nothing is carried. fresh: whether this step made a piece.
        """
        self.joined.pop(v, None)
        if not keeps:
            self.pieces.pop(v, None)
            return
        held = self.pieces.get(v)
        if held is None:
            return
        left = []
        for piece in held[:-1] if fresh else held:
            if _is_needed(piece.box, keeps):
                left.append(piece)
            else:
                self.slab.give_back(piece.tensor)
        if fresh:
            left += self._strips(held[-1], self.values[v], keeps)
        if left:
            self.pieces[v] = left
        else:
            del self.pieces[v]

    def _strips(
        self, piece: Piece, value: Value, keeps: Sequence[tuple[int, int, int]]
    ) -> list[Piece]:
        """The parts of a piece that later steps want, copied if that frees something."""
        strips = []
        rest = list(piece.box)
        for axis, first, _ in keeps:
            side = rest[axis]
            assert side is not None
            if first >= side[1]:
                continue
            if first <= side[0]:
                strips.append(tuple(rest))
                break
            strip = list(rest)
            strip[axis] = (first, side[1])
            rest[axis] = (side[0], first)
            strips.append(tuple(strip))
        return [Piece(box, assemble([piece], value, box, self._kept(value, box))) for box in strips]

    def _kept(self, value: Value, box: Box) -> Tensor:
        """Room for a piece that outlives this step."""
        extents = sides(box)
        shape = [prod(sizes(dim, extents, 1)) for dim in value.layout]
        return self.slab.room(shape, value.dtype, self.last)


def _is_needed(box: Box, keeps: Sequence[tuple[int, int, int]]) -> bool:
    """Whether a later step wants something of a box: along an axis a later step of the same slower steps does."""
    for axis, first, now in keeps:
        side = box[axis]
        assert side is not None
        if side[1] > first:
            return True
        if side[1] <= now:
            return False
    return False
