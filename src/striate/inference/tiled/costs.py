"""Costs: what a walk takes, in multiply-adds, and the most bytes it holds at once. From integers, before any tensor.

One multiply-add is the unit of time. The other constants say how many of them pass while something else happens; they
were measured on a processor that does 100 thousand million multiply-adds a second and core, and only decide between
plans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from striate.geometry.box import volume
from striate.geometry.relation import Spread, Window
from striate.geometry.rules.convolution import Convolve
from striate.inference.tiled.axis import AxisPlan
from striate.inference.tiled.lines import Line
from striate.inference.tiled.network import Network, Node

MOVE = 6  # a byte written or read
CALL = 1_500_000  # one call of a kernel


@dataclass(frozen=True, slots=True)
class Cost:
    """macs: multiply-adds; moved: bytes that kernels read and write; calls: kernels started."""

    macs: int
    moved: int
    calls: int

    @property
    def total(self) -> float:
        """All of it in multiply-adds."""
        return self.macs + MOVE * self.moved + CALL * self.calls


def per_position(network: Network, v: int) -> float:
    """Bytes of one position of a value."""
    value = network.geometry.values[v]
    return value.bytes / max(volume(value.full), 1)


def cost(network: Network, nodes: Sequence[Node], plans: Sequence[AxisPlan]) -> Cost:
    """The arithmetic of a walk: every box is a product of intervals, so sums over steps multiply."""
    macs = moved = 0.0
    calls = 0
    for node in nodes:
        new = [plan.new[node.output] for plan in plans]
        size = _total(new, plans)
        macs += network.macs(node) * size
        moved += per_position(network, node.output) * size
        for place, read in enumerate(node.reads):
            needs = [plan.needs[node.index, place] for plan in plans]
            moved += per_position(network, read.value) * _total(needs, plans)
        calls += int(
            np.prod([p.steps if n is None else int((n.lengths > 0).sum()) for n, p in zip(new, plans, strict=True)])
        )  # fmt: skip
    return Cost(round(macs), round(moved), calls)


def _total(lines: Sequence[Line | None], plans: Sequence[AxisPlan]) -> float:
    total = 1.0
    for held, plan in zip(lines, plans, strict=True):
        total *= plan.steps if held is None else float(held.lengths.sum())
    return total


def peak(
    network: Network, nodes: Sequence[Node], plans: Sequence[AxisPlan], sources: frozenset[int], last: dict[int, int]
) -> int:
    """The most bytes that a walk holds at once: pieces, what is kept between steps, copies and padding.

    last: for each value the index of the node after which this step does not need it any more (`last_reads`).
    """
    classes = [_classes(network, nodes, plan, sources) for plan in plans]

    def outer(parts: list[np.ndarray | None]) -> np.ndarray:
        shaped = [
            np.ones((1,) * len(parts)) if p is None
            else p.astype(np.float64).reshape([-1 if i == k else 1 for i in range(len(parts))])
            for k, p in enumerate(parts)
        ]  # fmt: skip
        return reduce(np.multiply, shaped)

    extents = network.geometry.values
    carried = [k for k, p in enumerate(plans) if p.carried]
    held = np.zeros([len(c) for c in classes])  # what is kept from earlier steps
    after: dict[int, np.ndarray] = {}
    before: dict[int, np.ndarray] = {}
    for node in nodes:
        v = node.output
        if not carried:
            break
        size = per_position(network, v)
        found: list[np.ndarray] = []
        for moment in ("before", "after"):
            total: np.ndarray | float = 0.0
            for k in carried:
                parts: list[np.ndarray | None] = []
                for m, plan in enumerate(plans):
                    if m == k:
                        parts.append(_pick(plan, classes[m], _held(plan, v, moment)))
                    elif plan.carried and m > k:
                        n = extents[v].extents[m]
                        parts.append(None if n is None else np.full(len(classes[m]), n))
                    else:
                        new = plan.new[v]
                        parts.append(None if new is None else new.lengths[classes[m]])
                total = total + outer(parts) * size
            found.append(np.asarray(total))
        if len(carried) > 1:  # old and new pieces of one row of cells lie side by side
            found = [np.maximum(*found)] * 2
        before[v], after[v] = found
        held = held + before[v]
    alive: dict[int, np.ndarray] = {}
    copies: dict[int, np.ndarray] = {}
    most = held.copy()
    ends: dict[int, list[int]] = {}
    for v, index in last.items():
        ends.setdefault(index, []).append(v)
    for node in nodes:
        v = node.output
        size = per_position(network, v)
        new = [plan.new[v] for plan in plans]
        made = outer([None if n is None else n.lengths[c] for n, c in zip(new, classes, strict=True)]) * size
        passing: np.ndarray | float = made if _widens(node) else 0.0
        for place, read in enumerate(node.reads):
            needs = [plan.needs[node.index, place] for plan in plans]
            taken = outer(
                [None if n is None else n.lengths[c] for n, c in zip(needs, classes, strict=True)]
            ) * per_position(network, read.value)
            if read.value in sources:
                passing = passing + taken
            else:
                outside = reduce(
                    np.logical_or,
                    [
                        _outside(plan, read.value, n, c).reshape([-1 if i == k else 1 for i in range(len(plans))])
                        for k, (plan, n, c) in enumerate(zip(plans, needs, classes, strict=True))
                    ],
                )
                copy = taken * outside
                copies[read.value] = np.maximum(copies.get(read.value, 0.0), copy)
            if place == 0 and isinstance(node.records[0].plan, Convolve):
                border = reduce(
                    np.logical_or,
                    [
                        _uneven(node, plan, n, c).reshape([-1 if i == k else 1 for i in range(len(plans))])
                        for k, (plan, n, c) in enumerate(zip(plans, needs, classes, strict=True))
                    ],
                )
                passing = passing + taken * border
        alive[v] = made
        now = held + sum(alive.values()) + sum(copies.values()) + passing
        most = np.maximum(most, now)
        for u in ends.get(node.index, ()):
            held = held - before.get(u, 0.0) + after.get(u, 0.0)
            alive.pop(u, None)
            copies.pop(u, None)
    return int(most.max()) if most.size else 0


def last_reads(nodes: Sequence[Node], targets: Sequence[int]) -> dict[int, int]:
    """For each computed value the index of the node that reads it last; its own where none does."""
    del targets  # handed out as soon as they are made
    last = {node.output: node.index for node in nodes}
    for node in nodes:
        for read in node.reads:
            if read.value in last:
                last[read.value] = max(last[read.value], node.index)
    return last


def _classes(
    network: Network, nodes: Sequence[Node], plan: AxisPlan, sources: frozenset[int]
) -> np.ndarray:
    """One step of each kind: steps in which every interval has the same length need not be looked at twice."""
    rows = []
    for node in nodes:
        new = plan.new[node.output]
        if new is not None:
            rows.append(new.lengths)
            if plan.carried:
                rows.append(_held(plan, node.output, "before"))
                rows.append(_held(plan, node.output, "after"))
        for place, read in enumerate(node.reads):
            need = plan.needs[node.index, place]
            if need is not None:
                rows.append(need.lengths)
                if read.value not in sources:
                    rows.append(_outside(plan, read.value, need, np.arange(plan.steps)))
                rows.append(_uneven(node, plan, need, np.arange(plan.steps)))
    if not rows or plan.steps <= 2:
        return np.arange(plan.steps)
    _, first = np.unique(np.stack(rows).astype(np.int64), axis=1, return_index=True)
    return np.sort(first)


def _pick(plan: AxisPlan, which: np.ndarray, row: np.ndarray) -> np.ndarray:
    return row[which]


def _held(plan: AxisPlan, v: int, moment: str) -> np.ndarray:
    """How many positions of a carried value are held before or after each step: pieces go when no step wants any of one."""
    new, keep = plan.new[v], plan.keep.get(v)
    if new is None or keep is None:
        return np.zeros(plan.steps, np.int64)
    stops = np.maximum.accumulate(np.where(new.lengths > 0, new.stops, -(1 << 60)))
    starts = np.where(new.lengths > 0, new.starts, stops)
    kept = np.maximum(stops - np.maximum(starts, keep), 0) * (new.lengths > 0)  # trimmed when new
    total = np.concatenate([[0], np.cumsum(kept)])
    gone = np.searchsorted(stops, keep, side="right")
    steps = np.arange(plan.steps)
    after = total[steps + 1] - total[np.minimum(gone, steps + 1)]
    if moment == "after":
        return after
    return np.concatenate([[0], after[:-1]])


def _outside(plan: AxisPlan, v: int, need: Line | None, which: np.ndarray) -> np.ndarray:
    """Whether a step reads more of a value than it computed in this step."""
    new = plan.new[v]
    if need is None or new is None:
        return np.zeros(len(which), bool)
    out = (need.lengths > 0) & ((need.starts < new.starts) | (need.stops > new.stops))
    return out[which]


def _uneven(node: Node, plan: AxisPlan, need: Line | None, which: np.ndarray) -> np.ndarray:
    """Whether a convolution's window hangs over one border more than over the other."""
    relation = node.reads[0].link.relations[plan.axis]
    new = plan.new[node.output]
    if need is None or new is None or not isinstance(relation, Window):
        return np.zeros(len(which), bool)
    some = (new.lengths > 0) & (need.lengths > 0)
    before = need.starts - (new.starts * relation.stride - relation.pad)
    reach = (new.stops - 1) * relation.stride - relation.pad + relation.dilation * (relation.kernel - 1) + 1
    slack = before - (reach - need.stops)
    return (some & ~((slack >= 0) & (slack < relation.stride)))[which]


def _widens(node: Node) -> bool:
    """Whether the node holds a second tensor of its output's size while it works."""
    head = node.records[0].plan
    rest = [r for r in node.records[1:] if r.op != "native_batch_norm"]
    return bool(rest) or not isinstance(head, Convolve) or isinstance(head, Spread)
