"""Resuming: the rest of a walk whose first cells are finished."""

from __future__ import annotations

from dataclasses import replace

from striate.inference.tiled.plan.axis import plan_axis
from striate.inference.tiled.plan.network import Network
from striate.inference.tiled.plan.plan import Walk


def remaining(network: Network, walk: Walk, done: int) -> tuple[Walk, int]:
    """The walk that does the rest, and how many of its cells to skip.

    Tiles with halos are skipped one by one. Where rows are carried, the next row begins with what it would have been left:
    its first step reads back as far as it must, once.
    """
    if done == 0 or not walk.order:
        return walk, 0
    slowest = walk.order[0]
    axis = walk.axes[slowest]
    if not axis.carried:
        return walk, done
    first = done // walk.restart
    if first >= axis.steps:
        return walk, walk.cells
    cuts = {v: c[first:] for v, c in axis.cuts.items()}
    rest = plan_axis(network.geometry, walk.work.nodes, walk.work.sources, cuts, slowest, True)
    axes = tuple([rest if k == slowest else a for k, a in enumerate(walk.axes)])
    return replace(walk, axes=axes), 0
