"""Moving: one box that a person drags over an image: what the network gives, and what every layer holds, move by move.

`Incremental.outputs` plans for many boxes at once, which takes longer than the arithmetic of one. Here a plan is made for a
size of the box and serves every place of it: in each layer what the box can change has one size, the largest of all places,
so that the kernels' weights are packed once. Each layer has a working copy of its clean map; a move puts the clean values
back where the last one wrote, and writes what it changes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.geometry import Crop, apply
from striate.geometry.box import Box, hull
from striate.geometry.index_map import Window
from striate.inference.incremental.cache import run_whole
from striate.inference.incremental.content import Content
from striate.inference.incremental.incremental import Incremental
from striate.inference.incremental.network import Node, filling, windowed
from striate.inference.incremental.program import WHOLE, pool_of
from striate.inference.incremental.scoring import rebuilt

PLANS = 16  # sizes of the box whose plans are kept
Slices = tuple[slice, ...]


@dataclass(frozen=True)
class _Boxed:
    """A node that is computed for its box. starts: of the box, by axis and by the place of the moved box along it.

    read: first pixel of the crop for a start, as stride and shift, by axis, and its sizes; None for what is no window.
    """

    node: Node
    starts: tuple[list[int], ...]
    sizes: tuple[int, ...]
    read: tuple[tuple[tuple[int, int, int], ...], float] | None
    pool: Callable[[Tensor], Tensor] | None


Plan = list[_Boxed | Node]


class Moving:
    """A box over the clean image of a session. The session's own scores and outputs are not touched by it.

    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
    >>> moving = Moving(Incremental(network, torch.ones(1, 8, 8)))
    >>> hidden = torch.ones(1, 1, 8, 8)
    >>> hidden[..., 2:5, 3:6] = 0
    >>> torch.allclose(moving.move(((2, 5), (3, 6)), 0.0), network(hidden), atol=1e-6)
    True
    """

    def __init__(self, session: Incremental) -> None:
        self.session = session
        self.network, self.cache, self.geometry = session.network, session.cache, session.geometry
        self._plans: OrderedDict[tuple[int, ...], Plan] = OrderedDict()
        self._clean: dict[int, dict[float, Tensor]] = {}
        self._work: dict[int, dict[float, Tensor]] = {}
        self._boxes: dict[int, Box] = {}  # of the values that the last move wrote into
        self._whole: dict[int, Tensor] = {}  # values that it made anew
        self._fills: dict[int, list[float]] = {}
        for value, fill in self.network.margins:
            self._fills.setdefault(value, []).append(fill)

    def move(self, box: Any, content: Content) -> Any:
        """What the network returns with the box hidden, as the module returns it for one image.

        box: ((row, row), (column, column)), in pixels; content: as in `Incremental.scores`. Raises UsageError for a box
        outside the image or a content that does not fit.
        """
        session, network = self.session, self.network
        regions = session._regions([box])
        (inside,) = session._contents([content], regions)
        region = regions[0].tolist()
        with torch.inference_mode():
            self._put_back()
            place = tuple(slice(a, b) for a, b in region)
            sizes = tuple(b - a for a, b in region)
            if inside[0].numel() > 1 and tuple(inside.shape[1:]) != sizes:
                inside = inside[(slice(None), *place)]
            self._write(network.image, tuple(map(tuple, region)), inside[None])
            for step in self._plan(sizes):
                if isinstance(step, Node):
                    self._whole[step.output] = self._run_whole(step)
                else:
                    start = [s[a] for s, (a, _) in zip(step.starts, region, strict=True)]
                    at = tuple((s, s + n) for s, n in zip(start, step.sizes, strict=True))
                    self._write(step.node.output, at, self._run(step, start, at))
            outputs = {v: self._tensor(v).clone() for v in network.outputs}
            return rebuilt(network, outputs)

    def value(self, index: int) -> tuple[Tensor, Box]:
        """What the last move changed of a value of the trace, (1, C, rows, columns) of a box, and the box.

        Everything outside the box is as in the clean image. The box is the whole value where that was made anew.
        """
        with torch.inference_mode():
            box = self._changed(index)
            crop = self._crop(index, box)
            if crop.box == box:
                return crop.tensor, box
            cut = [slice(s[0], s[1]) for s in box if s is not None]
            return crop.tensor[(slice(None), slice(None), *cut)].clone(), box

    # What is known

    def _tensor(self, value: int) -> Tensor:
        """A value in full, as it stands after the last move."""
        if value in self._whole:
            return self._whole[value]
        if value in self._boxes:
            return self._inner(value)
        return self.cache[value] if value in self.cache.values else self.network.constants[value]

    def _changed(self, value: int) -> Box:
        of = self.geometry.values[value]
        if value in self._boxes:
            return self._boxes[value]
        if value in self._whole or of.producer is None:
            return of.full
        record = self.geometry.records[of.producer]
        box: Box | None = None
        for i, link in zip(record.inputs, record.links, strict=True):
            if self.geometry.values[i].varies:
                got = link.push(self._changed(i), of.extents)
                box = got if box is None else hull(box, got)
        return of.full if box is None or not self._plain(value) else box

    def _crop(self, value: int, box: Box) -> Crop:
        """At least `box` of a value: what no node makes, inside a chain, is computed from what its node reads."""
        of = self.geometry.values[value]
        known = value in self._boxes or value in self._whole or value in self.cache.values
        if known or not of.varies or of.producer is None:
            return Crop(self._tensor(value), of.full)
        record = self.geometry.records[of.producer]
        crops = [
            self._crop(i, link.pull(box))
            for i, link in zip(record.inputs, record.links, strict=True)
        ]
        return Crop(apply(self.geometry, record, crops, box, batch=1), box)

    def _plain(self, value: int) -> bool:
        """Whether a value is maps (1, C, *axes) that have all axes of the image."""
        form = self.cache.form(value)
        axes = self.geometry.axes
        return form.simple and form.order == [0, *range(2, axes + 2), 1]

    # The working copies

    def _copies(self, value: int) -> dict[float, Tensor]:
        """A value's working copy for each number that padding is filled with, (1, C, *axes) with margins."""
        if value not in self._work:
            back = (0, self.geometry.axes + 1, *range(1, self.geometry.axes + 1))
            fills = self._fills.get(value, [0.0])
            clean = {fill: self.cache.map(value, fill)[None] for fill in fills}
            self._clean[value] = {fill: one.permute(back) for fill, one in clean.items()}
            self._work[value] = {fill: one.clone().permute(back) for fill, one in clean.items()}
        return self._work[value]

    def _place(self, value: int, fill: float, box: Box) -> Slices:
        margins = self.cache.margins(value, fill)
        sides = [s for s in box if s is not None]
        cut = [slice(a + m[0], b + m[0]) for (a, b), m in zip(sides, margins, strict=True)]
        return (slice(None), slice(None), *cut)

    def _inner(self, value: int) -> Tensor:
        fill, copy = next(iter(self._copies(value).items()))
        return copy[self._place(value, fill, self.geometry.values[value].full)]

    def _write(self, value: int, box: Box, made: Tensor) -> None:
        for fill, copy in self._copies(value).items():
            copy[self._place(value, fill, box)] = made
        self._boxes[value] = box

    def _put_back(self) -> None:
        for value, box in self._boxes.items():
            for fill, copy in self._work[value].items():
                place = self._place(value, fill, box)
                copy[place] = self._clean[value][fill][place]
        self._boxes.clear()
        self._whole.clear()

    # What is computed

    def _run_whole(self, node: Node) -> Tensor:
        tensors = [self._tensor(r.value) for r in node.reads]
        if node.kernel is not None and len(tensors) > 1:
            tensors[1] = tensors[1].clone()  # the kernel adds into it
        return run_whole(self.network, node, tensors, 1)

    def _run(self, step: _Boxed, start: list[int], box: Box) -> Tensor:
        node = step.node
        if step.read is not None:
            windows, fill = step.read
            cut = [
                slice(s * stride + shift, s * stride + shift + size)
                for s, (stride, shift, size) in zip(start, windows, strict=True)
            ]
            source = self._copies(node.reads[0].value)[fill][(slice(None), slice(None), *cut)]
            if node.kernel is None:
                assert step.pool is not None
                return step.pool(source)
            # A fresh copy has the strides that oneDNN knows, and may be written into.
            crop = source.clone(memory_format=node.kernel.like)
            other = None
            if len(node.reads) > 1:
                value = node.reads[1].value
                fill, copy = next(iter(self._copies(value).items()))
                other = copy[self._place(value, fill, box)].clone(memory_format=node.kernel.like)
            return node.kernel(crop, False, other, True)
        if node.join is not None:
            place = self._place
            parts = [(r.value, *next(iter(self._copies(r.value).items()))) for r in node.reads]
            return torch.cat([copy[place(v, fill, box)] for v, fill, copy in parts], 1)
        given = {r.place: self._inner(r.value) for r in node.reads}
        values = self.geometry.values
        crops = [
            Crop(tensor, values[i].full)
            for i, tensor in zip(node.record.inputs, self.network.given(node, given), strict=True)
        ]
        return apply(self.geometry, node.record, crops, box, batch=1)

    def _plan(self, sizes: tuple[int, ...]) -> Plan:
        if sizes not in self._plans:
            self._plans[sizes] = self._planned(sizes)
            while len(self._plans) > PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(sizes)
        return self._plans[sizes]

    def _planned(self, sizes: tuple[int, ...]) -> Plan:
        """What is computed for a box of a size, at any place: the place along an axis is its first pixel there."""
        extents = self.session.image.shape[2:]
        free = [n - s for n, s in zip(extents, sizes, strict=True)]
        starts = np.minimum(np.arange(max(free) + 1)[:, None], free)
        lines, _ = self.session._lines(np.stack([starts, starts + np.array(sizes)], 2))
        boxed = {self.network.image}
        plan: Plan = []
        for node in self.network.nodes:
            step = self._boxed(node, lines) if all(r.value in boxed for r in node.reads) else None
            if step is None:
                plan.append(node)
            else:
                boxed.add(node.output)
                plan.append(step)
        return plan

    def _boxed(self, node: Node, lines: list[dict[int, Any]]) -> _Boxed | None:
        """The step that computes the box of a node alone; None where it covers most of its map, or is no map."""
        value = self.geometry.values[node.output]
        if not value.spatial or 0 in value.shape or not self._plain(node.output):
            return None
        share, starts, sizes = 1.0, [], []
        for n, line in zip(value.extents, lines, strict=True):
            assert n is not None
            size = max(int(line[node.output].sizes.max()), 1)
            share *= size / max(n, 1)
            sizes.append(size)
            starts.append(np.minimum(line[node.output].starts, n - size).tolist())
        if share >= WHOLE:
            return None
        read = None
        if windowed(node):
            source, fill = node.reads[0], filling(node)
            margins = self.cache.margins(source.value, fill)
            windows = []
            for relation, size, margin in zip(source.link.relations, sizes, margins, strict=True):
                assert isinstance(relation, Window)
                span = relation.dilation * (relation.kernel - 1) + 1
                shift = margin[0] - relation.pad
                windows.append((relation.stride, shift, (size - 1) * relation.stride + span))
            read = (tuple(windows), fill)
        pool = pool_of(node.record) if read is not None and node.kernel is None else None
        return _Boxed(node, tuple(starts), tuple(sizes), read, pool)
