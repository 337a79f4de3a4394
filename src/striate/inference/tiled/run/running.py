"""Running: one image on its way through a plan."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor, nn

from striate.errors import GeometryError
from striate.geometry import Box, Crop, Record, Value, Weights, apply
from striate.geometry.box import is_empty, volume
from striate.geometry.plan import Step, compute, cut
from striate.geometry.rules.normalisation import GroupNorm
from striate.inference.tiled.plan.network import Network
from striate.inference.tiled.plan.plan import Plan, Walk
from striate.inference.tiled.read.journal import Journal, State
from striate.inference.tiled.run.finishing import Finishing
from striate.inference.tiled.run.kernels import Kernel
from striate.inference.tiled.run.reductions import Gathered
from striate.inference.tiled.run.resuming import remaining
from striate.inference.tiled.run.store import axis_dims, narrow, spread
from striate.inference.tiled.run.walking import Sink, Source, Walking
from striate.inference.tiled.verify.crops import needed

Count = Callable[[int], None]


class NotFiniteError(Exception):
    """A target holds a value that is not finite: which target, and at which position."""

    def __init__(self, target: int, box: Box) -> None:
        self.target, self.box = target, box
        super().__init__(target, box)


class Running:
    """Walks one image through a plan.

    read: gives a box of the image, (1, C, *size), in the module's kind of number and on its device.
    finish: what is made of the network's one map before it is kept.
    extra: sinks of the caller, for targets of the last walks (a file, a probe). count: hears of finished cells.
    """

    def __init__(
        self,
        network: Network,
        module: nn.Module,
        plan: Plan,
        read: Callable[[Box], Tensor],
        *,
        device: torch.device,
        fuse: bool,
        finite: bool,
        finish: Finishing | None,
        extra: dict[int, list[Sink]],
        to_file: bool,
        count: Count,
        journal: Journal | None,
        state: State | None,
        number: int,
    ) -> None:
        self.network, self.module, self.plan = network, module, plan
        self.geometry = network.geometry
        self.device, self.fuse, self.finite = device, fuse, finite
        self.finish = finish
        self.read, self.extra, self.to_file, self.count = read, extra, to_file, count
        self.journal, self.state, self.number = journal, state, number
        self.last = device.type == "cpu" and self.geometry.axes == 2
        self.known: dict[int, Tensor] = {}
        self.moments: dict[int, tuple[Tensor, Tensor]] = {}
        self.stored: dict[int, Tensor] = {}
        self.results: dict[int, Tensor] = {}
        self.kernels: dict[int, Kernel] = {}
        weights = Weights(self.geometry, module)
        for value in self.geometry.values:
            if value.source in ("parameter", "buffer", "constant"):
                self.known[value.index] = weights[value.index].detach()
        for record in network.constants:
            self._once(record)

    def run(self) -> list[Tensor | None]:
        """What the network returns, one entry a leaf; None for a leaf that goes to a file."""
        self._heads(0)
        start = self.state
        for walk in self.plan.walks:
            level = walk.work.level
            if start is not None and level < start.level:
                self._recall(walk, start)
            else:
                self._walk(walk, start if start is not None and level == start.level else None)
            self._heads(level + 1)
        leaves: list[Tensor | None] = []
        for leaf in self.geometry.outputs:
            if leaf is None or (self.to_file and leaf in self.network.outputs):
                leaves.append(None)
            elif leaf in self.results:
                leaves.append(self.results[leaf])
            else:
                leaves.append(self.known[leaf])
        return leaves

    def _once(self, record: Record) -> None:
        """Run a record on inputs that are known as a whole."""
        values = self.geometry.values
        inputs = tuple([values[i] for i in record.inputs])
        out = values[record.output]
        step = Step(
            record, tuple([self.known[i] for i in record.inputs]), tuple([v.full for v in inputs]),
            inputs, out, out.full, 1, self.device,
        )  # fmt: skip
        made = compute(step)
        if self.finite and out.varies and not _finite(made):
            raise GeometryError(
                f"{record.name} ({record.op}) gives a value that is not finite{_kind(self, record)}"
            )
        self.known[record.output] = made

    def _heads(self, level: int) -> None:
        for head in self.network.heads:
            if head.level == level and head.record.output not in self.known:
                self._once(head.record)

    def _recall(self, walk: Walk, state: State) -> None:
        """A walk that an earlier run finished: its statistics are known; what it stored is made again."""
        reductions = [self.network.reductions[i] for i in walk.work.gathers]
        for r in reductions:
            if r.way == "moments":
                self.moments[r.output] = state.moments[r.output]
            elif r.way != "whole":
                self.known[r.output] = state.known[r.output]
        wholes = any(r.way == "whole" for r in reductions)
        if walk.work.stores or walk.work.outputs or wholes:
            self._walk(walk, None)
        else:
            self.count(walk.cells)

    def _walk(self, walk: Walk, state: State | None) -> None:
        values = self.geometry.values
        sinks: dict[int, list[Sink]] = {}
        gathered: dict[int, Gathered] = {}
        for index in walk.work.gathers:
            reduction = self.network.reductions[index]
            if reduction.way == "whole":
                self.known[reduction.value] = self._room(values[reduction.value], sinks)
                continue
            part = Gathered(reduction, values[reduction.value])
            gathered[index] = part
            sinks.setdefault(reduction.value, []).append(part.sink)
        for v in walk.work.stores:
            self.stored[v] = self._room(values[v], sinks)
        for v in walk.work.outputs:
            if not self.to_file:
                self.results[v] = self._room(values[v], sinks, self.finish)
        for v in walk.targets:
            sinks.setdefault(v, []).extend(self.extra.get(v, ()))
            if self.finite and values[v].dtype.is_floating_point:
                sinks[v].insert(0, self._check(v))
        for v in list(self.stored):
            if v not in walk.work.sources and v not in walk.work.stores:
                del self.stored[v]
        if walk.targets:
            self._cells(walk, sinks, gathered, state)
        for part in gathered.values():
            self._know(part)

    def _know(self, part: Gathered) -> None:
        """Keep what was gathered over all positions."""
        reduction = part.reduction
        if reduction.way == "moments":
            self.moments[reduction.output] = part.moments()
        else:
            out = self.geometry.values[reduction.output]
            self.known[reduction.output] = part.result(out).reshape(out.shape)

    def _cells(
        self,
        walk: Walk,
        sinks: dict[int, list[Sink]],
        gathered: dict[int, Gathered],
        state: State | None,
    ) -> None:
        """Compute the cells of a walk, from where an earlier run stopped."""
        done = 0
        keeps = bool(walk.work.stores) or any(
            self.network.reductions[i].way == "whole" for i in walk.work.gathers
        )
        if walk.work.outputs and not self.to_file:
            keeps = True  # what lay in memory is gone
        if state is not None and not keeps:
            done = state.cells
            for index, part in gathered.items():
                part.parts = dict(state.parts.get(index, {}))
        walk, skip = remaining(self.network, walk, done)
        self.count(done)
        sources: dict[int, Source] = {self.network.image: self._pixels}
        for v in walk.work.sources:
            if v != self.network.image:
                sources[v] = self._from(v)
        for node in walk.work.nodes:
            usual = walk.usual(node)
            if node.index not in self.kernels or self.kernels[node.index].usual != usual:
                self.kernels[node.index] = Kernel(
                    self.network, node, self.known, self.moments, fuse=self.fuse, usual=usual
                )
        walking = Walking(
            walk, self.geometry.values, self.kernels, sources, sinks, self.device, self.last
        )
        row = walk.restart
        # A row of cells can be finished again; a part of one that is carried cannot.
        finished, parts = done, {i: dict(g.parts) for i, g in gathered.items()}
        if self.journal is not None and not keeps:
            self._note(walk, finished, parts)  # so that even a killed run can be taken up

        def hear(cell: tuple[int, ...]) -> None:
            nonlocal done, finished, parts
            done += 1
            if self.journal is not None and done % row == 0:
                finished, parts = done, {i: dict(g.parts) for i, g in gathered.items()}
                if self.journal.due:
                    self._note(walk, finished, parts)
            self.count(1)

        try:
            walking.run(islice(iter(walk), skip, None), hear)
        except NotFiniteError as error:
            raise self._located(error) from None
        except BaseException:
            if self.journal is not None and not keeps:
                self._note(walk, finished, parts)
            raise

    def _note(self, walk: Walk, cells: int, parts: dict[int, dict[str, Tensor]]) -> None:
        assert self.journal is not None
        reduced = {r.output for r in self.network.reductions if r.way not in ("moments", "whole")}
        known = {v: t for v, t in self.known.items() if v in reduced}
        self.journal.save(
            State(self.number, walk.work.level, cells, parts, known, dict(self.moments))
        )

    def _pixels(self, box: Box) -> Tensor:
        part = self.read(box)
        if self.last and part.dim() == 4:
            return part.contiguous(memory_format=torch.channels_last)
        return part.contiguous()

    def _from(self, v: int) -> Source:
        value, whole = self.geometry.values[v], self.stored[v]
        return lambda box: cut(whole, value.layout, value.full, box, 1)

    def _room(
        self, value: Value, sinks: dict[int, list[Sink]], finish: Finishing | None = None
    ) -> Tensor:
        """A tensor for the whole of a value, filled by a sink; finished on the way if asked."""
        v = value.index
        value = value if finish is None else finish.value
        whole = torch.empty(value.shape, dtype=value.dtype, device=self.device)
        dims, full = axis_dims(value), value.full
        wide = spread(whole, value, full)

        def sink(box: Box, tensor: Tensor) -> None:
            narrow(wide, dims, full, box).copy_(spread(tensor, value, box))

        sinks.setdefault(v, []).append(sink if finish is None else finish.sink(sink))
        return whole

    def _check(self, v: int) -> Sink:
        def sink(box: Box, tensor: Tensor) -> None:
            if not _finite(tensor):
                raise NotFiniteError(v, self._first(v, box, tensor))

        return sink

    def _first(self, v: int, box: Box, tensor: Tensor) -> Box:
        """The first position of a piece that is not finite."""
        value = self.geometry.values[v]
        wide = spread(tensor, value, box)
        place = (~torch.isfinite(wide)).nonzero()[0].tolist()
        sides = list(box)
        for k, d in axis_dims(value).items():
            side = box[k]
            assert side is not None
            sides[k] = (side[0] + place[d], side[0] + place[d] + 1)
        return tuple(sides)

    def _located(self, error: NotFiniteError) -> GeometryError:
        """Compute one bad position again, record by record, to name the layer that spoils it."""
        values = self.geometry.values
        none: Box = (None,) * self.geometry.axes
        boxes = needed(self.network, error.target, error.box)
        # Norms of the whole image and chains are followed by their records; all read the box of their node.
        image = boxes.get(self.network.image)
        done: dict[int, Crop] = {}
        if image is not None and not is_empty(image):
            pixels = self.read(image)
            if not _finite(pixels):
                place = (~torch.isfinite(pixels)).nonzero()[0].tolist()
                where = [s[0] + p for s, p in zip(image, place[2:], strict=True) if s is not None]
                return GeometryError(
                    f"the image holds a value that is not finite at {tuple(where)}; mend or mask it first"
                )
            done[self.network.image] = Crop(pixels, image)
        for node in self.network.nodes:
            box = boxes.get(node.output)
            if box is None or is_empty(box) or volume(box) == 0:
                continue
            for record in node.records:
                crops = [
                    Crop(self.known[i], none) if not values[i].spatial else done.get(i)
                    for i in record.inputs
                ]
                for i in record.inputs:
                    known = self.known.get(i)
                    if known is not None and not _finite(known):
                        return GeometryError(
                            f"{record.name} ({record.op}) has a parameter that is not finite: "
                            f"{values[i].name or 'one made from others'}"
                        )
                if any(c is None for c in crops):
                    break
                if record.output in self.moments:
                    made = self._normalised(record, box, crops)  # type: ignore[arg-type]
                else:
                    made = apply(self.geometry, record, crops, box, batch=1)  # type: ignore[arg-type]
                if not _finite(made):
                    return GeometryError(
                        f"{record.name} ({record.op}{_kind(self, record)}) gives a value that is not finite for a finite "
                        "input; check its weights and the range of the image, or allow it with finite=False"
                    )
                done[record.output] = Crop(made, box)
        name = values[error.target].name or "the result"
        return GeometryError(f"{name} holds a value that is not finite at {error.box}")

    def _normalised(self, record: Record, box: Box, crops: list[Crop]) -> Tensor:
        value = self.geometry.values[record.inputs[0]]
        tensors = [
            cut(crops[0].tensor, value.layout, crops[0].box, box, 1),
            *[c.tensor for c in crops[1:]],
        ]
        return normalised(record, tensors, *self.moments[record.output])


def normalised(record: Record, tensors: list[Tensor], mean: Tensor, var: Tensor) -> Tensor:
    """A norm of a crop (1, C, *axes) with the statistics of the whole image, mean and var (C,), computed in float64."""
    x, weight, bias = [
        tensors[a.position] if hasattr(a, "position") else None for a in record.args[:3]
    ]
    assert x is not None
    eps = record.plan.eps if isinstance(record.plan, GroupNorm) else record.args[7]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    y = (x.double() - mean.view(shape)) / (var.view(shape) + eps).sqrt()
    if weight is not None:
        y = y * weight.double().view(shape)
    if bias is not None:
        y = y + bias.double().view(shape)
    return y.to(x.dtype)


def _kind(run: Running, record: Record) -> str:
    kind = run.geometry.visits[record.visit].kind
    return f" in {kind}" if kind else ""


def _finite(tensor: Tensor) -> bool:
    """Whether all values are finite; the sum shows it at once unless it overflows by itself."""
    if not tensor.dtype.is_floating_point or not tensor.numel():
        return True
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())
