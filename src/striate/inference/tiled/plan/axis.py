"""One axis of a walk: which positions of every value each step computes, reads and keeps. Integers only.

A walk visits the cells of a grid. Boxes are products of intervals, and how a record reads its input is one relation an
axis, so each axis is planned alone. At step t a value's *needed* interval is what the consumers of that step read. An
axis that is *carried* computes only what lies beyond the earlier steps, and keeps what a later step still wants;
otherwise each step computes all that it wants, again and again (a halo).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from striate.geometry import Geometry
from striate.inference.intervals import FAR, Line, everything, hull, line, nothing, pull
from striate.inference.tiled.plan.network import Node


@dataclass(frozen=True)
class AxisPlan:
    """The steps along axis `axis` of the image.

    cuts: where the steps end in each target, (T+1,) positions.
    new: for each value the interval that a step computes; None where the value has no such axis.
    needed: what the step's consumers read of it, `needs[node, place]` of each read.
    keep: the first position that a later step wants, FAR if none; only along a carried axis.
    """

    axis: int
    carried: bool
    steps: int
    cuts: Mapping[int, tuple[int, ...]]
    new: Mapping[int, Line | None]
    needed: Mapping[int, Line | None]
    needs: Mapping[tuple[int, int], Line | None]
    keep: Mapping[int, np.ndarray]

    def emitted(self, value: int) -> Line | None:
        """The interval of a target that a step hands out: each position in one step alone."""
        cuts = self.cuts.get(value)
        if cuts is None:
            return None
        if not self.carried or value not in self.new:
            ends = np.asarray(cuts, np.int64)
            return line(ends[:-1], ends[1:])
        new = self.new[value]
        assert new is not None
        return line(np.maximum(new.starts, cuts[0]), new.stops)

    def remembers(self, value: int) -> bool:
        """Whether a step wants what an earlier step computed of a carried value."""
        new, keep = self.new[value], self.keep.get(value)
        if new is None or keep is None:
            return False
        return bool((keep < np.maximum.accumulate(new.stops)).any())


def plan_axis(
    geometry: Geometry,
    nodes: Sequence[Node],
    sources: frozenset[int],
    cuts: Mapping[int, tuple[int, ...]],
    axis: int,
    carried: bool,
) -> AxisPlan:
    """Follow the targets' steps back through the nodes.

    sources: values that can be read anywhere, the image and what was stored; nothing of them is computed or kept.
    cuts: for each target that has the axis, increasing positions from the first to the extent.
    """
    steps = max((len(c) - 1 for c in cuts.values()), default=1)
    carried = carried and steps > 1
    values = geometry.values
    needed: dict[int, Line] = {}
    for v, places in cuts.items():
        ends = np.asarray(places, np.int64)
        needed[v] = line(ends[:-1], ends[1:])
    new: dict[int, Line | None] = {}
    needs: dict[tuple[int, int], Line | None] = {}
    keep: dict[int, np.ndarray] = {}
    for node in reversed(nodes):
        v = node.output
        if values[v].extents[axis] is None:
            out: Line | None = None
        else:
            out = needed.get(v, nothing(steps))
            if carried:  # kept from where any later step still reads, computed only past what earlier steps did
                keep[v] = _later(out.starts)
                out = _beyond(out)
        new[v] = out
        for place, read in enumerate(node.reads):
            relation = read.link.relations[axis]
            if relation is None:
                needs[node.index, place] = None
                continue
            # An axis that ends here is read as its one output reads it, whatever the step.
            got = pull(relation, out if out is not None else everything(1, steps))
            needs[node.index, place] = got
            u = read.value
            needed[u] = hull(needed[u], got) if u in needed else got
    return AxisPlan(
        axis, carried, steps, dict(cuts), new,
        {v: needed.get(v) for v in [*new, *sources]}, needs, keep,
    )  # fmt: skip


def _beyond(needed: Line) -> Line:
    """What of the needed intervals earlier steps have not computed."""
    first = needed.starts.min()
    if first >= FAR:
        return needed
    stops = np.maximum(np.maximum.accumulate(needed.stops), first)
    starts = np.concatenate([[first], stops[:-1]])
    return line(starts, stops)


def _later(starts: np.ndarray) -> np.ndarray:
    """The smallest start of the steps that follow each step."""
    least = np.minimum.accumulate(starts[::-1])[::-1]
    return np.concatenate([least[1:], [FAR]])


def cut(extent: int, step: int) -> tuple[int, ...]:
    """Steps of `step` positions, from 0 to the extent."""
    return (*range(0, extent, step), extent)


def follow(cuts: Sequence[int], extent: int, other: int) -> tuple[int, ...]:
    """The same steps in a value of another extent."""
    return tuple([-(-c * other // extent) for c in cuts])
