"""Plan: the walks, their grids and what they will take, decided before any tensor exists. Integers only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Literal

import numpy as np

from striate.inference.tiled.plan.axis import AxisPlan
from striate.inference.tiled.plan.costs import Cost
from striate.inference.tiled.plan.limits import show_bytes
from striate.inference.tiled.plan.network import Node
from striate.inference.tiled.plan.passes import Pass

Strategy = Literal["whole", "halo", "carry", "mixed"]


@dataclass(frozen=True)
class Walk:
    """One pass over the image, cell by cell.

    step: positions of the first target that a cell takes along each axis.
    carried: the axes along which values are kept from cell to cell instead of computed again.
    cost: what it takes; bytes: the most that it holds at once; kept: those that are kept from cell to cell.
    """

    work: Pass
    targets: tuple[int, ...]
    step: tuple[int, ...]
    carried: tuple[bool, ...]
    cost: Cost
    bytes: int
    kept: int
    axes: tuple[AxisPlan, ...] = field(repr=False)

    @property
    def cells(self) -> int:
        """How many cells the walk has."""
        return prod(a.steps for a in self.axes)

    def usual(self, node: Node) -> tuple[int, ...] | None:
        """How many positions of its first input most cells read for a node along each axis."""
        shape = []
        for axis in self.axes:
            need = axis.needs[node.index, 0]
            if need is None:
                return None
            lengths = need.lengths[need.lengths > 0]
            if not len(lengths):
                return None
            sizes, counts = np.unique(lengths, return_counts=True)
            shape.append(int(sizes[counts.argmax()]))
        return tuple(shape)

    @property
    def order(self) -> tuple[int, ...]:
        """The axes from the slowest to the fastest: those that are carried vary fastest, or nothing could be kept."""
        places = range(len(self.axes))
        return tuple(sorted(places, key=lambda k: self.axes[k].carried))

    @property
    def restart(self) -> int:
        """After how many cells, and their multiples, the walk can be taken up again from nothing."""
        if not any(a.carried for a in self.axes):
            return 1
        return self.cells // max(self.axes[self.order[0]].steps, 1)

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        """The cells in the order of the walk, one step an axis."""
        order = self.order
        for steps in product(*[range(self.axes[k].steps) for k in order]):
            cell = [0] * len(order)
            for k, step in zip(order, steps, strict=True):
                cell[k] = step
            yield tuple(cell)


@dataclass(frozen=True)
class Plan:
    """What a tiled run will do.

    image: (C, *spatial) of the image; strategy: of the last walk, "whole" if it is one cell.
    tile: pixels of the image that lie under one cell; lattice: positions of the output that its sides are multiples of.
    halo: pixels that an inner tile sees beyond its own, before and after, along each axis.
    macs: multiply-adds that the walks do, and whole_macs those of one forward pass.
    bytes: the most memory above the module and the image, in bytes; limit: what was allowed, None for no limit.
    """

    image: tuple[int, ...]
    strategy: Strategy
    tile: tuple[int, ...]
    lattice: tuple[int, ...]
    halo: tuple[tuple[int, int], ...]
    walks: tuple[Walk, ...]
    macs: int
    whole_macs: int
    bytes: int
    limit: int | None

    @property
    def cells(self) -> int:
        """Cells of all walks."""
        return sum(w.cells for w in self.walks)

    @property
    def overlap(self) -> float:
        """How much arithmetic the plan does for each multiply-add of one forward pass."""
        return self.macs / self.whole_macs if self.whole_macs else 1.0

    def __str__(self) -> str:
        tile = " x ".join(map(str, self.tile))
        passes = f", {len(self.walks)} passes" if len(self.walks) > 1 else ""
        return (
            f"{self.strategy}: tiles of {tile} pixels, {self.cells:,} cells{passes}, "
            f"{self.overlap:.2f}x the arithmetic, at most {show_bytes(self.bytes)}"
        )
