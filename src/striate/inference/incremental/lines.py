"""Lines: many intervals along one axis at once, pushed and pulled through a relation together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from striate.geometry.index_map import All, Point, Ranges, Relation, Same, Spread, Window


@dataclass(frozen=True, slots=True)
class Line:
    """Half-open intervals `starts[i]` to `stops[i]`, int64; an empty one is (0, 0)."""

    starts: np.ndarray
    stops: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """How many positions each interval holds."""
        return self.stops - self.starts

    def __len__(self) -> int:
        return len(self.starts)


def line(starts: np.ndarray, stops: np.ndarray, n: int) -> Line:
    """Intervals clipped to 0 .. n-1; every empty one is written alike."""
    starts, stops = np.maximum(starts, 0), np.minimum(stops, n)
    empty = starts >= stops
    return Line(np.where(empty, 0, starts), np.where(empty, 0, stops))


def everything(n: int, count: int) -> Line:
    """All n positions, `count` times."""
    return Line(np.zeros(count, np.int64), np.full(count, n, np.int64))


def hull(a: Line | None, b: Line) -> Line:
    """The smallest intervals that hold both."""
    if a is None:
        return b
    no_a, no_b = a.starts >= a.stops, b.starts >= b.stops
    starts = np.where(no_a, b.starts, np.where(no_b, a.starts, np.minimum(a.starts, b.starts)))
    return Line(starts, np.maximum(a.stops, b.stops))


def push(relation: Relation, inp: Line) -> Line:
    """The output intervals that the input intervals can change: `relation.push` of each."""
    if isinstance(relation, Same):
        return inp
    a, b = inp.starts, inp.stops
    empty = a >= b
    n = relation.n_out
    if isinstance(relation, (All, Point)):
        starts, stops = np.zeros_like(a), np.full_like(b, max(n, 1))
        n = max(n, 1)
    elif isinstance(relation, Window):
        span = relation.dilation * (relation.kernel - 1)
        starts = -((span - a - relation.pad) // relation.stride)
        stops = (b - 1 + relation.pad) // relation.stride + 1
    elif isinstance(relation, Spread):
        span = relation.dilation * (relation.kernel - 1)
        starts = a * relation.stride - relation.pad
        stops = (b - 1) * relation.stride - relation.pad + span + 1
    elif isinstance(relation, Ranges):
        starts = np.searchsorted(np.asarray(relation.stops), a, side="right")
        stops = np.searchsorted(np.asarray(relation.starts), b, side="left")
    else:
        intervals = [relation.push((int(i), int(j))) for i, j in zip(a, b, strict=True)]
        starts = np.array([f[0] for f in intervals], np.int64)
        stops = np.array([f[1] for f in intervals], np.int64)
    return line(np.where(empty, 0, starts), np.where(empty, 0, stops), n)


def pull(relation: Relation, out: Line) -> Line:
    """The input intervals that the output intervals need: `relation.pull` of each. No interval may be empty."""
    if isinstance(relation, Same):
        return out
    a, b = out.starts, out.stops
    if isinstance(relation, (All, Point)):
        place = relation.place if isinstance(relation, Point) else 0
        size = 1 if isinstance(relation, Point) else relation.n_in
        return Line(np.full_like(a, place), np.full_like(b, place + size))
    if isinstance(relation, Window):
        starts, stops = reach(relation, out)
    elif isinstance(relation, Spread):
        span = relation.dilation * (relation.kernel - 1)
        starts = -((span - a - relation.pad) // relation.stride)
        stops = (b - 1 + relation.pad) // relation.stride + 1
    elif isinstance(relation, Ranges):
        starts, stops = np.asarray(relation.starts)[a], np.asarray(relation.stops)[b - 1]
    else:
        intervals = [relation.pull((int(i), int(j))) for i, j in zip(a, b, strict=True)]
        starts = np.array([f[0] for f in intervals], np.int64)
        stops = np.array([f[1] for f in intervals], np.int64)
    return line(starts, stops, relation.n_in)


def reach(relation: Window, out: Line) -> tuple[np.ndarray, np.ndarray]:
    """`pull` through a window without clipping at the border: what hangs over is padding."""
    starts = out.starts * relation.stride - relation.pad
    stops = (out.stops - 1) * relation.stride - relation.pad
    return starts, stops + relation.dilation * (relation.kernel - 1) + 1
