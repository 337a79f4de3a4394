"""Walking: one pass over the image, cell by cell. Here the plan's integers meet tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.geometry import Box, Value
from striate.geometry.box import is_empty
from striate.geometry.plan import cut
from striate.inference.intervals import Line
from striate.inference.tiled.plan.network import Node
from striate.inference.tiled.plan.plan import Walk
from striate.inference.tiled.run.kernels import Kernel
from striate.inference.tiled.run.store import Store

Sink = Callable[[Box, Tensor], None]
Source = Callable[[Box], Tensor]


@dataclass(frozen=True, slots=True)
class Reading:
    """A read of a node with its intervals, a list an axis."""

    value: int
    needs: tuple[list[tuple[int, int]] | None, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """A node with everything that a cell asks of it, looked up once."""

    node: Node
    kernel: Kernel
    new: tuple[list[tuple[int, int]] | None, ...]
    readings: tuple[Reading, ...]
    emits: tuple[list[tuple[int, int]] | None, ...] | None
    retires: tuple[int, ...]


class Walking:
    """The walk of one pass.

    sources: where the image and stored values are read. sinks: what takes the boxes of each target.
    """

    def __init__(
        self,
        walk: Walk,
        values: Sequence[Value],
        kernels: Mapping[int, Kernel],
        sources: Mapping[int, Source],
        sinks: Mapping[int, Sequence[Sink]],
        device: torch.device,
        last: bool,
    ) -> None:
        self.walk, self.values = walk, values
        self.sources, self.sinks = sources, sinks
        self.store = Store(values, device, last, walk.kept)
        axes = walk.axes
        ends: dict[int, list[int]] = {}
        for v, index in _last_reads(walk.work.nodes).items():
            ends.setdefault(index, []).append(v)
        self.work = tuple(
            Work(
                node,
                kernels[node.index],
                _pairs([a.new[node.output] for a in axes]),
                tuple(
                    Reading(r.value, _pairs([a.needs[node.index, p] for a in axes]))
                    for p, r in enumerate(node.reads)
                ),
                _pairs([a.emitted(node.output) for a in axes]) if node.output in sinks else None,
                tuple(ends.get(node.index, ())),
            )
            for node in walk.work.nodes
        )
        self.carried = [k for k in walk.order if axes[k].carried]
        self.slow = [k for k in walk.order if not axes[k].carried]
        self.keeps = {
            node.output: [
                (k, axes[k].keep[node.output].tolist(), axes[k].needed[node.output])
                for k in self.carried
            ]
            for node in walk.work.nodes
        }
        self.kept = {v: any(axes[k].remembers(v) for k in self.carried) for v in self.keeps}
        direct = [v for v in sinks if v in sources]
        self.direct = [(v, _pairs([a.emitted(v) for a in axes])) for v in direct]

    def run(
        self, cells: Iterable[tuple[int, ...]], done: Callable[[tuple[int, ...]], None]
    ) -> None:
        """Compute the cells in the order of the walk; `done` hears of each when its targets were handed out."""
        before: tuple[int, ...] | None = None
        for cell in cells:
            slow = tuple([cell[k] for k in self.slow])
            if slow != before:  # nothing is carried along these axes
                self.store.clear()
                before = slow
            self.cell(cell)
            done(cell)
        self.store.clear()

    def cell(self, cell: tuple[int, ...]) -> None:
        """Compute one cell and hand out its targets."""
        store, sources = self.store, self.sources
        fresh = set()
        for work in self.work:
            box = _box(work.new, cell)
            v = work.node.output
            if not is_empty(box):
                crops, needs = [], []
                for reading in work.readings:
                    need = _box(reading.needs, cell)
                    source = sources.get(reading.value)
                    crops.append(
                        store.take(reading.value, need) if source is None else source(need)
                    )
                    needs.append(need)
                out = work.kernel(crops, needs, box)
                del crops
                store.put(v, box, out)
                fresh.add(v)
                if work.emits is not None:
                    self._emit(v, box, _box(work.emits, cell), out)
                del out
            for u in work.retires:
                store.retire(u, self._keeps(u, cell) if self.kept[u] else (), u in fresh)
        for v, emits in self.direct:
            part = _box(emits, cell)
            if not is_empty(part):
                self._emit(v, part, part, sources[v](part))

    def _emit(self, v: int, have: Box, part: Box, tensor: Tensor) -> None:
        if is_empty(part):
            return
        piece = cut(tensor, self.values[v].layout, have, part, 1)
        for sink in self.sinks[v]:
            sink(part, piece)

    def _keeps(self, v: int, cell: tuple[int, ...]) -> list[tuple[int, int, int]]:
        kept = []
        for k, keep, needed in self.keeps[v]:
            now = 0 if needed is None else int(needed.starts[cell[k]])
            kept.append((k, keep[cell[k]], now))
        return kept


def _last_reads(nodes: Sequence[Node]) -> dict[int, int]:
    """For each computed value the index of the node that reads it last; of its own where none does."""
    last = {node.output: node.index for node in nodes}
    for node in nodes:
        for read in node.reads:
            if read.value in last:
                last[read.value] = max(last[read.value], node.index)
    return last


def _pairs(lines: Sequence[Line | None]) -> tuple[list[tuple[int, int]] | None, ...]:
    return tuple([None if line is None else line.pairs() for line in lines])


def _box(lists: Sequence[list[tuple[int, int]] | None], cell: tuple[int, ...]) -> Box:
    return tuple([None if p is None else p[t] for p, t in zip(lists, cell, strict=True)])
