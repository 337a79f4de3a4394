"""One-dimensional relations: which input positions an output position reads, along one spatial axis.

Everything that geometry knows about an operation is, for each of its inputs and each axis, one relation between
the output positions `0 .. n_out-1` and the input positions `0 .. n_in-1`. Intervals are half-open pairs of integers
`(start, stop)`; an interval with `stop <= start` is empty and is written `EMPTY`.

`index` is the exact set; `pull` and `push` are the smallest intervals that the closed forms give, and always contain
the exact set (they equal its hull except inside a dilated window that hangs over the border).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Interval = tuple[int, int]
EMPTY: Interval = (0, 0)


def _clip(start: int, stop: int, n: int) -> Interval:
    start, stop = max(start, 0), min(stop, n)
    return (start, stop) if start < stop else EMPTY


@dataclass(frozen=True, slots=True)
class Pattern:
    """A relation without its borders, for output `o = phase + period * m` of the endless line.

    Output `o` reads inputs `lo[phase] + step * m` to `hi[phase] + step * m`, both included.
    """

    period: int
    step: int
    lo: tuple[int, ...]
    hi: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """Base of the relations; `n_in` and `n_out` are the extents of the axis before and after."""

    n_in: int
    n_out: int

    def index(self, o: int) -> tuple[int, ...]:
        """The exact set of input positions that output position `o` reads, in increasing order."""
        raise NotImplementedError

    def pull(self, out: Interval) -> Interval:
        """The input interval that the output interval `out` needs."""
        raise NotImplementedError

    def push(self, inp: Interval) -> Interval:
        """The output interval that the input interval `inp` can change."""
        raise NotImplementedError

    def pattern(self) -> Pattern | None:
        """The relation on an endless line, or None where it has no such form (everything, a flip)."""
        return None


@dataclass(frozen=True, slots=True)
class Same(Relation):
    """Output o reads input o."""

    def index(self, o: int) -> tuple[int, ...]:
        return (o,)

    def pull(self, out: Interval) -> Interval:
        return out

    def push(self, inp: Interval) -> Interval:
        return inp

    def pattern(self) -> Pattern:
        return Pattern(1, 1, (0,), (0,))


@dataclass(frozen=True, slots=True)
class All(Relation):
    """Every output reads every input; with n_out = 0 the output has no such axis and, as a whole, reads everything."""

    def index(self, o: int) -> tuple[int, ...]:
        return tuple(range(self.n_in))

    def pull(self, out: Interval) -> Interval:
        return (0, self.n_in) if out[0] < out[1] else EMPTY

    def push(self, inp: Interval) -> Interval:
        return (0, self.n_out) if inp[0] < inp[1] else EMPTY


@dataclass(frozen=True, slots=True)
class Point(Relation):
    """The output has no such axis (n_out = 0) and reads input `place` of it alone: a selected row."""

    place: int

    def index(self, o: int) -> tuple[int, ...]:
        return (self.place,)

    def pull(self, out: Interval) -> Interval:
        return (self.place, self.place + 1) if out[0] < out[1] else EMPTY

    def push(self, inp: Interval) -> Interval:
        return (0, 1) if inp[0] <= self.place < inp[1] else EMPTY


@dataclass(frozen=True, slots=True)
class Window(Relation):
    """Output o reads inputs `o * stride - pad + dilation * j` for j in 0 .. kernel-1: convolution and pooling.

    With kernel 1 it is also a slice (`stride` = step, `pad` = -start), a constant pad, and a piece of a
    concatenation along the axis. `pad` may be negative.
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    pad: int = 0

    def index(self, o: int) -> tuple[int, ...]:
        start = o * self.stride - self.pad
        taps = range(start, start + self.dilation * self.kernel, self.dilation)
        return tuple(i for i in taps if 0 <= i < self.n_in)

    def reach(self, out: Interval) -> Interval:
        """`pull` without clipping at the border: what hangs over is padding."""
        return (
            out[0] * self.stride - self.pad,
            (out[1] - 1) * self.stride - self.pad + self.dilation * (self.kernel - 1) + 1,
        )

    def pull(self, out: Interval) -> Interval:
        if out[0] >= out[1]:
            return EMPTY
        start, stop = self.reach(out)
        return _clip(start, stop, self.n_in)

    def push(self, inp: Interval) -> Interval:
        if inp[0] >= inp[1]:
            return EMPTY
        span = self.dilation * (self.kernel - 1)
        first = -((span - inp[0] - self.pad) // self.stride)  # ceil((inp[0] + pad - span) / stride)
        last = (inp[1] - 1 + self.pad) // self.stride
        return _clip(first, last + 1, self.n_out)

    def pattern(self) -> Pattern:
        span = self.dilation * (self.kernel - 1)
        return Pattern(1, self.stride, (-self.pad,), (span - self.pad,))


@dataclass(frozen=True, slots=True)
class Spread(Relation):
    """Input i is written to outputs `i * stride - pad + dilation * j`: transposed convolution, pixel shuffle.

    The transpose of `Window` (lecture 004: transposed convolution is the transpose of the convolution matrix).
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    pad: int = 0

    def index(self, o: int) -> tuple[int, ...]:
        taps = (o + self.pad - self.dilation * j for j in range(self.kernel))
        offsets = {t // self.stride for t in taps if t % self.stride == 0}
        return tuple(sorted(i for i in offsets if 0 <= i < self.n_in))

    def reach(self, out: Interval) -> Interval:
        """`pull` without clipping at the border."""
        span = self.dilation * (self.kernel - 1)
        first = -((span - out[0] - self.pad) // self.stride)
        last = (out[1] - 1 + self.pad) // self.stride
        return (first, last + 1)

    def pull(self, out: Interval) -> Interval:
        if out[0] >= out[1]:
            return EMPTY
        start, stop = self.reach(out)
        return _clip(start, stop, self.n_in)

    def push(self, inp: Interval) -> Interval:
        if inp[0] >= inp[1]:
            return EMPTY
        span = self.dilation * (self.kernel - 1)
        start = inp[0] * self.stride - self.pad
        stop = (inp[1] - 1) * self.stride - self.pad + span + 1
        return _clip(start, stop, self.n_out)

    def pattern(self) -> Pattern:
        lo, hi = [], []
        span = self.dilation * (self.kernel - 1)
        for o in range(self.stride):
            taps = [o + self.pad - self.dilation * j for j in range(self.kernel)]
            offsets = sorted(t // self.stride for t in taps if t % self.stride == 0)
            # A position that no input writes to sees nothing: an interval that ends before it starts.
            first = -((span - o - self.pad) // self.stride)
            lo.append(offsets[0] if offsets else first)
            hi.append(offsets[-1] if offsets else first - 1)
        return Pattern(self.stride, 1, tuple(lo), tuple(hi))


@dataclass(frozen=True, slots=True)
class Ranges(Relation):
    """Output o reads inputs `starts[o]` to `stops[o] - 1`, both sequences never falling: adaptive pooling, resizing.

    `sets` holds the exact sets where they are not all of that (a cubic weight between two others can be zero).
    """

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    ideal: Pattern | None = None
    sets: tuple[tuple[int, ...], ...] = ()

    def index(self, o: int) -> tuple[int, ...]:
        return self.sets[o] if self.sets else tuple(range(self.starts[o], self.stops[o]))

    def pull(self, out: Interval) -> Interval:
        if out[0] >= out[1]:
            return EMPTY
        return (self.starts[out[0]], self.stops[out[1] - 1])

    def push(self, inp: Interval) -> Interval:
        if inp[0] >= inp[1]:
            return EMPTY
        first = bisect_right(self.stops, inp[0])
        stop = bisect_left(self.starts, inp[1])
        return _clip(first, stop, self.n_out)

    def pattern(self) -> Pattern | None:
        return self.ideal


@dataclass(frozen=True, slots=True)
class Gather(Relation):
    """Output o reads the one input `sources[o]`, or none where that is -1: reflect, replicate, circular, roll, flip."""

    sources: tuple[int, ...]
    shift: int | None = (
        None  # sources[o] = o - shift away from the border, None where there is no such form
    )

    def index(self, o: int) -> tuple[int, ...]:
        return (self.sources[o],) if self.sources[o] >= 0 else ()

    def pull(self, out: Interval) -> Interval:
        sources = [s for s in self.sources[out[0] : out[1]] if s >= 0]
        return (min(sources), max(sources) + 1) if sources else EMPTY

    def push(self, inp: Interval) -> Interval:
        sources = _array(self.sources)
        outputs = np.flatnonzero((sources >= inp[0]) & (sources < inp[1]))
        return (int(outputs[0]), int(outputs[-1]) + 1) if len(outputs) else EMPTY

    def pattern(self) -> Pattern | None:
        return None if self.shift is None else Pattern(1, 1, (-self.shift,), (-self.shift,))


@lru_cache(maxsize=256)
def _array(values: tuple[int, ...]) -> np.ndarray:
    return np.asarray(values, dtype=np.int64)


@lru_cache(maxsize=256)
def matrix(relation: Relation) -> np.ndarray:
    """The relation as a read-only 0/1 matrix (n_out, n_in) of int64: entry (o, i) is 1 where output o reads input i.

    An axis that the output no longer has (n_out = 0) gives one row.
    """
    if isinstance(relation, All):
        table = np.ones((max(relation.n_out, 1), relation.n_in), dtype=np.int64)
    elif isinstance(relation, Point):
        table = np.zeros((1, relation.n_in), dtype=np.int64)
        table[0, relation.place] = 1
    else:
        table = np.zeros((relation.n_out, relation.n_in), dtype=np.int64)
        for o in range(relation.n_out):
            table[o, list(relation.index(o))] = 1
    table.flags.writeable = False
    return table
