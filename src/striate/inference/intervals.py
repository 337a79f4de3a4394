"""Lines: many intervals along one axis at once, as two arrays. An interval whose stop is not above its start is empty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from striate.geometry.index_map import All, Ranges, Relation, Same, Spread, Window

FAR = 1 << 60  # the start of an empty interval, so that minima and maxima ignore it


@dataclass(frozen=True, slots=True)
class Line:
    """Half-open intervals `starts[t]` to `stops[t]`, one a step: both (T,) int64."""

    starts: np.ndarray
    stops: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """How many positions each interval holds."""
        return np.maximum(self.stops - self.starts, 0)

    def at(self, step: int) -> tuple[int, int]:
        """One interval, (0, 0) if it is empty."""
        start, stop = int(self.starts[step]), int(self.stops[step])
        return (start, stop) if start < stop else (0, 0)

    def pairs(self) -> list[tuple[int, int]]:
        """All intervals as plain integers."""
        return [
            (a, b) if a < b else (0, 0)
            for a, b in zip(self.starts.tolist(), self.stops.tolist(), strict=True)
        ]


def line(starts: np.ndarray, stops: np.ndarray) -> Line:
    """A line of starts and stops (T,) in which every empty interval is written alike."""
    empty = starts >= stops
    return Line(np.where(empty, FAR, starts), np.where(empty, -FAR, stops))


def nothing(steps: int) -> Line:
    """Empty at every step."""
    return Line(np.full(steps, FAR), np.full(steps, -FAR))


def everything(n: int, steps: int) -> Line:
    """All n positions at every step."""
    return line(np.zeros(steps, np.int64), np.full(steps, n, np.int64))


def hull(a: Line, b: Line) -> Line:
    """The smallest intervals that hold both, step by step."""
    return Line(np.minimum(a.starts, b.starts), np.maximum(a.stops, b.stops))


def pull(relation: Relation, out: Line) -> Line:
    """`relation.pull` of every interval."""
    if isinstance(relation, Same):
        return out
    empty = out.starts >= out.stops
    a, b = np.where(empty, 0, out.starts), np.where(empty, 1, out.stops)
    if isinstance(relation, All):
        starts, stops = np.zeros_like(a), np.full_like(b, relation.n_in)
    elif isinstance(relation, Window):
        starts = a * relation.stride - relation.pad
        stops = (
            (b - 1) * relation.stride - relation.pad + relation.dilation * (relation.kernel - 1) + 1
        )
    elif isinstance(relation, Spread):
        span = relation.dilation * (relation.kernel - 1)
        starts = -((span - a - relation.pad) // relation.stride)
        stops = (b - 1 + relation.pad) // relation.stride + 1
    elif isinstance(relation, Ranges):
        starts = np.asarray(relation.starts, np.int64)[a]
        stops = np.asarray(relation.stops, np.int64)[b - 1]
    else:
        intervals = [relation.pull((int(i), int(j))) for i, j in zip(a, b, strict=True)]
        starts = np.array([f[0] for f in intervals], np.int64)
        stops = np.array([f[1] for f in intervals], np.int64)
    starts, stops = np.maximum(starts, 0), np.minimum(stops, relation.n_in)
    return line(np.where(empty, FAR, starts), np.where(empty, -FAR, stops))
