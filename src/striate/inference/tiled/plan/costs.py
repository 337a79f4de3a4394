"""Costs: what a walk takes, in multiply-adds, and the most bytes it holds at once. From integers, before any tensor.

One multiply-add is the unit of time. The other constants say how many of them pass while something else happens, and only
decide between plans. They were measured on a processor with AVX2, 25 thousand million multiply-adds a second and core, over
two networks and 24 grids each: there a byte took 6 to 54 and a call 4 to 30 million, whatever else was going on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.geometry.box import volume
from striate.geometry.index_map import Window
from striate.geometry.rules.convolution import Convolve
from striate.inference.intervals import Line
from striate.inference.tiled.plan.axis import AxisPlan
from striate.inference.tiled.plan.network import Network, Node

MOVE = 24  # a byte written or read
CALL = 16_000_000  # one call of a kernel
HEAP = 2.0  # bytes of a process for each byte of short-lived tensors, at most, as measured


@dataclass(frozen=True, slots=True)
class Cost:
    """macs: multiply-adds; moved: bytes that kernels read and write, weights included; calls: kernels started."""

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


@dataclass(frozen=True)
class Ledger:
    """What does not depend on the grid, for the nodes of a pass: arrays (N,) of nodes, or (R,) of reads.

    last: for each node the place of the node that reads its value last (its own where none does).
    owner, source: for each read the place of the node that reads, and of the node that made the value, -1 if it is stored.
    copies: tensors of its size that a read makes, 0 where a node has made it.
    """

    nodes: tuple[Node, ...]
    macs: np.ndarray
    weights: np.ndarray
    bytes: np.ndarray
    read_bytes: np.ndarray
    last: np.ndarray
    owner: np.ndarray
    source: np.ndarray
    copies: np.ndarray
    head: np.ndarray  # whether a read is the image of a convolution
    wide: np.ndarray  # whether a node holds a second tensor of its output's size while it works


def ledger(
    network: Network, nodes: tuple[Node, ...], sources: frozenset[int], reading: float
) -> Ledger:
    """Look up what the costs of every grid share."""
    place = {node.output: i for i, node in enumerate(nodes)}
    last = np.arange(len(nodes))
    read_bytes, owner, source, copies, head = [], [], [], [], []
    for i, node in enumerate(nodes):
        for p, read in enumerate(node.reads):
            made = -1 if read.value in sources else place[read.value]
            if made >= 0:
                last[made] = i
            read_bytes.append(per_position(network, read.value))
            owner.append(i)
            source.append(made)
            copies.append(reading if read.value == network.image else float(made < 0))
            head.append(p == 0 and isinstance(node.records[0].plan, Convolve))
    return Ledger(
        nodes,
        np.array([network.macs(n) for n in nodes], float),
        np.array([_weights(network, n) for n in nodes], float),
        np.array([per_position(network, n.output) for n in nodes], float),
        np.array(read_bytes, float),
        last,
        np.array(owner, np.int64),
        np.array(source, np.int64),
        np.array(copies, float),
        np.array(head, bool),
        np.array([_widens(n) for n in nodes], bool),
    )


@dataclass(frozen=True)
class AxisTable:
    """One axis of a walk: sums over its steps (N,) or (R,), of nodes or reads, and (N, steps) or (R, steps) by kind of step.

    new_sum, need_sum: positions computed of each node and read, over all steps; calls: steps in which a node computes any.
    new, need: the same for each kind of step; before, after: positions of each node that are kept before and after such a
    step; outside: whether a read goes beyond what the step computes; uneven: whether a window hangs over one border more.
    extent: positions of each node's value.
    """

    carried: bool
    new_sum: np.ndarray
    need_sum: np.ndarray
    calls: np.ndarray
    new: np.ndarray
    need: np.ndarray
    before: np.ndarray
    after: np.ndarray
    outside: np.ndarray
    uneven: np.ndarray
    extent: np.ndarray


def axis_table(network: Network, book: Ledger, plan: AxisPlan) -> AxisTable:
    """Bring the plan of one axis into arrays."""
    steps = plan.steps
    values = network.geometry.values
    ones, no = np.ones(steps, np.int64), np.zeros(steps, np.int64)
    new, need, before, after, outside, uneven, extent = [], [], [], [], [], [], []
    for node in book.nodes:
        made = plan.new[node.output]
        new.append(ones if made is None else made.lengths)
        extent.append(values[node.output].extents[plan.axis] or 1)
        held = _held(plan, node.output) if plan.carried else None
        before.append(no if held is None else held[0])
        after.append(no if held is None else held[1])
        for p, read in enumerate(node.reads):
            got = plan.needs[node.index, p]
            need.append(ones if got is None else got.lengths)
            there = plan.new.get(read.value)
            if got is None or there is None:
                outside.append(no)
            else:
                beyond = (got.starts < there.starts) | (got.stops > there.stops)
                outside.append(((got.lengths > 0) & beyond).astype(np.int64))
            relation = read.link.relations[plan.axis]
            if got is None or made is None or not isinstance(relation, Window):
                uneven.append(no)
            else:
                uneven.append(_uneven(relation, made, got))
    parts = [
        np.stack(p) if p else np.zeros((0, steps), np.int64)
        for p in (new, need, before, after, outside, uneven)
    ]
    columns = np.ascontiguousarray(np.concatenate(parts).T)
    first: dict[bytes, int] = {}  # a fifth of the time that np.unique takes along an axis
    for i, column in enumerate(columns):
        first.setdefault(column.tobytes(), i)
    kind = [p[:, list(first.values())].astype(float) for p in parts]
    return AxisTable(
        carried=plan.carried,
        new_sum=parts[0].sum(1).astype(float),
        need_sum=parts[1].sum(1).astype(float),
        calls=(parts[0] > 0).sum(1).astype(float),
        new=kind[0],
        need=kind[1],
        before=kind[2],
        after=kind[3],
        outside=kind[4],
        uneven=kind[5],
        extent=np.array(extent, float),
    )


def _held(plan: AxisPlan, v: int) -> tuple[np.ndarray, np.ndarray] | None:
    """How many positions of a carried value are kept before and after each step; pieces go when no step wants them."""
    new, keep = plan.new[v], plan.keep.get(v)
    if new is None or keep is None:
        return None
    stops = np.maximum.accumulate(np.where(new.lengths > 0, new.stops, -(1 << 60)))
    starts = np.where(new.lengths > 0, new.starts, stops)
    kept = np.maximum(stops - np.maximum(starts, keep), 0) * (new.lengths > 0)  # trimmed when new
    total = np.concatenate([[0], np.cumsum(kept)])
    gone = np.searchsorted(stops, keep, side="right")
    after = total[1:] - total[np.minimum(gone, np.arange(plan.steps) + 1)]
    return np.concatenate([[0], after[:-1]]), after


def _uneven(relation: Window, new: Line, need: Line) -> np.ndarray:
    """Whether a window hangs over one border more than over the other, so that padding is a copy."""
    some = (new.lengths > 0) & (need.lengths > 0)
    first, final = np.where(some, new.starts, 0), np.where(some, new.stops, 1)
    before = need.starts - (first * relation.stride - relation.pad)
    reach = (
        (final - 1) * relation.stride - relation.pad + relation.dilation * (relation.kernel - 1) + 1
    )
    slack = before - (reach - need.stops)
    return (some & ~((slack >= 0) & (slack < relation.stride))).astype(np.int64)


def cost(book: Ledger, tables: Sequence[AxisTable]) -> Cost:
    """The arithmetic of a walk: every box is a product of intervals, so sums over the cells are products of sums."""
    size = np.prod([t.new_sum for t in tables], axis=0)
    reads = np.prod([t.need_sum for t in tables], axis=0)
    calls = np.prod([t.calls for t in tables], axis=0)
    moved = (
        (book.weights * calls).sum() + (book.bytes * size).sum() + (book.read_bytes * reads).sum()
    )
    return Cost(round((book.macs * size).sum()), round(moved), round(calls.sum()))


@dataclass(frozen=True, slots=True)
class Room:
    """kept: bytes of what is kept between steps, at most; passing: of values, copies and padding within a step."""

    kept: int
    passing: int

    @property
    def total(self) -> int:
        """What the process grows by: the heap does not fill every gap that short-lived tensors leave."""
        return self.kept + round(HEAP * self.passing)


def peak(book: Ledger, tables: Sequence[AxisTable]) -> Room:
    """The most bytes that a walk holds at once."""
    count = len(book.nodes)
    if not count:
        return Room(0, 0)
    axes = len(tables)

    def along(k: int, array: np.ndarray) -> np.ndarray:
        return array.reshape([len(array), *[-1 if m == k else 1 for m in range(axes)]])

    def outer(arrays: Sequence[np.ndarray], rate: np.ndarray) -> np.ndarray:
        total = rate.reshape([-1] + [1] * axes)
        for k, array in enumerate(arrays):
            total = total * along(k, array)
        return total

    kinds = [t.new.shape[1] for t in tables]
    made = outer([t.new for t in tables], book.bytes)
    taken = outer([t.need for t in tables], book.read_bytes)
    change = np.zeros([count + 1, *kinds])  # from one node to the next
    np.add.at(change, np.arange(count), made)
    np.add.at(change, book.last + 1, -made)
    held = np.zeros(kinds)
    for k, t in enumerate(tables):
        if t.carried:  # what one step leaves may lie beside what the last one left
            before, after = (outer(_kept(tables, k, m), book.bytes) for m in (t.before, t.after))
            held = held + np.maximum(before, after).sum(0)
    outside = np.zeros(taken.shape, bool)
    uneven = np.zeros(taken.shape, bool)
    for k, t in enumerate(tables):
        outside = outside | (along(k, t.outside) > 0)
        uneven = uneven | (along(k, t.uneven) > 0)
    passing = np.where(book.wide.reshape([-1] + [1] * axes), made, 0.0)
    copies = book.copies.reshape([-1] + [1] * axes)
    head = book.head.reshape([-1] + [1] * axes)
    np.add.at(passing, book.owner, copies * taken + np.where(head & uneven, taken, 0.0))
    # A value is put together once, and held while it is read.
    copied: dict[int, tuple[int, np.ndarray]] = {}
    for r in np.flatnonzero(outside.any(axis=tuple(range(1, axes + 1))) & (book.source >= 0)):
        u = int(book.source[r])
        copy = np.where(outside[r], taken[r], 0.0)
        first, most = copied.get(u, (int(book.owner[r]), 0.0))
        copied[u] = (first, np.maximum(most, copy))
    for u, (first, copy) in copied.items():
        change[first] += copy
        change[book.last[u] + 1] -= copy
    now = np.cumsum(change[:count], axis=0) + passing
    return Room(int(held.max() * 1.02), int(now.max()))


def _kept(tables: Sequence[AxisTable], k: int, kept: np.ndarray) -> list[np.ndarray]:
    """Positions along each axis of what is kept for later steps along axis k: all of the axes that vary faster."""
    kept_values = []
    for m, t in enumerate(tables):
        if m == k:
            kept_values.append(kept)
        elif t.carried and m > k:
            kept_values.append(np.repeat(t.extent[:, None], t.new.shape[1], axis=1))
        else:
            kept_values.append(t.new)
    return kept_values


def _weights(network: Network, node: Node) -> int:
    """Bytes that every call of a node reads again: they do not stay in the cache from tile to tile."""
    values = network.geometry.values
    return sum(values[i].bytes for r in node.records for i in r.inputs if not values[i].spatial)


def _widens(node: Node) -> bool:
    rest = [r for r in node.records[1:] if r.op != "native_batch_norm"]
    return bool(rest) or not isinstance(node.records[0].plan, Convolve)
