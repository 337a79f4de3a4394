"""Job: a network and an image of any size, planned, then run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import GeometryError, UsageError
from striate.geometry import Box, Weights, trace
from striate.geometry.plan import Step
from striate.geometry.rules.convolution import Convolve, ConvolveTransposed
from striate.geometry.rules.normalisation import BatchNorm
from striate.inference.tiled.choose import check_request, make_plan
from striate.inference.tiled.images import Image, Prepare, open_image
from striate.inference.tiled.kernels import Kernel
from striate.inference.tiled.limits import parse_bytes
from striate.inference.tiled.network import Network, sort
from striate.inference.tiled.plan import Plan, Walk
from striate.inference.tiled.reductions import Gathered
from striate.inference.tiled.store import axis_dims, narrow, spread
from striate.inference.tiled.walking import Sink, Source, Walking
from striate.memory import keep_large_buffers

Progress = Callable[[int, int], None]


class Tiled:
    """A network and an image that are run tile by tile, with the numbers of the whole image.

    plan: what will be done, in integers; certificate: what was done, None before `run`.

    >>> job = Tiled(nn.Conv2d(1, 4, 3, padding=1), torch.rand(1, 64, 64), tile=16)
    >>> job.plan.cells
    16
    """

    def __init__(
        self,
        module: nn.Module,
        image: Any,
        *,
        tile: int | Sequence[int] | None = None,
        memory: int | float | str | None = None,
        strategy: str = "auto",
        prepare: Prepare | None = None,
        to_file: bool = False,
        fuse: bool = True,
        axes: int = 2,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise UsageError(f"tiled takes a torch.nn.Module, got {type(module).__name__}")
        self.module = module
        self.image: Image = open_image(image, axes)
        self.prepare = prepare
        self.fuse = fuse
        first = next(module.parameters(), None)
        self.device = first.device if first is not None else torch.device("cpu")
        self.dtype = first.dtype if first is not None and first.is_floating_point() else None
        pixels = self._pixels(0, tuple([(0, 1)] * axes))
        self.geometry = trace(
            module,
            torch.empty(
                (1, pixels.shape[1], *self.image.shape[1:]), dtype=pixels.dtype, device="meta"
            ),
        )
        _refuse_training(self.geometry, module)
        self.network: Network = sort(self.geometry)
        request = check_request(tile, parse_bytes(memory), strategy, axes)
        values = self.geometry.values
        held = 0 if to_file else sum(values[i].bytes for i in self.network.outputs)
        self.plan: Plan = make_plan(
            self.network, request, result=held * self.image.count, weights=self._laid_out()
        )

    def _laid_out(self) -> int:
        """Bytes of convolution weights that are laid out anew."""
        values = self.geometry.values
        kinds = (Convolve, ConvolveTransposed)
        heads = [n.records[0] for n in self.network.nodes if isinstance(n.records[0].plan, kinds)]
        return sum(values[r.inputs[1]].bytes for r in heads if len(r.inputs) > 1)

    def _pixels(self, number: int, box: Box) -> Tensor:
        """A box of the image as the module reads it."""
        part = self.image.read(number, box)
        if self.prepare is not None:
            part = self.prepare(part)
        if self.dtype is not None and part.dtype != self.dtype:
            part = part.to(self.dtype)
        return part.to(self.device)

    def run(
        self,
        *,
        out: str | Path | None = None,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Any:
        """Run the plan and return what the module returns for the whole image."""
        del out, force
        keep_large_buffers()
        total = self.plan.cells * self.image.count
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, total)

        with torch.no_grad():
            results = [Single(self, number).run(count) for number in range(self.image.count)]
        leaves = []
        for place, leaf in enumerate(self.geometry.outputs):
            if leaf is None:
                leaves.append(None)
                continue
            parts = [r[place] for r in results]
            joined = parts[0] if len(parts) == 1 else torch.cat(parts)
            leaves.append(joined if self.image.batched else joined[0])
        return self.geometry.unflatten(leaves)


class Single:
    """One image on its way through the plan."""

    def __init__(self, job: Tiled, number: int) -> None:
        self.job, self.number = job, number
        self.network = job.network
        self.geometry = job.geometry
        self.weights = Weights(job.geometry, job.module)
        self.device = job.device
        self.last = job.device.type == "cpu" and job.geometry.axes == 2
        self.known: dict[int, Tensor] = {}
        self.moments: dict[int, tuple[Tensor, Tensor]] = {}
        self.stored: dict[int, Tensor] = {}
        self.results: dict[int, Tensor] = {}
        for value in self.geometry.values:
            if value.source in ("parameter", "buffer", "constant"):
                self.known[value.index] = self.weights[value.index].detach()
        for record in self.network.constants:
            self._whole(record)
        self.kernels: dict[int, Kernel] = {}

    def _whole(self, record: Any) -> None:
        """Run a record once, on inputs that are known as a whole."""
        values = self.geometry.values
        inputs = tuple([values[i] for i in record.inputs])
        out = values[record.output]
        step = Step(
            record, tuple([self.known[i] for i in record.inputs]), tuple([v.full for v in inputs]),
            inputs, out, out.full, 1, self.device,
        )  # fmt: skip
        self.known[record.output] = record.plan.run(step)

    def _heads(self, level: int) -> None:
        for head in self.network.heads:
            if head.level == level and head.record.output not in self.known:
                self._whole(head.record)

    def _read(self, box: Box) -> Tensor:
        part = self.job._pixels(self.number, box)
        if self.last and part.dim() == 4:
            return part.contiguous(memory_format=torch.channels_last)
        return part.contiguous()

    def run(self, count: Callable[[], None]) -> list[Tensor | None]:
        self._heads(0)
        for walk in self.job.plan.walks:
            self._walk(walk, count)
            self._heads(walk.work.level + 1)
        leaves: list[Tensor | None] = []
        for leaf in self.geometry.outputs:
            if leaf is None:
                leaves.append(None)
            elif leaf in self.results:
                leaves.append(self.results[leaf])
            else:
                leaves.append(self.known[leaf])
        return leaves

    def _walk(self, walk: Walk, count: Callable[[], None]) -> None:
        values = self.geometry.values
        sinks: dict[int, list[Sink]] = {}
        gathered = []
        for index in walk.work.gathers:
            reduction = self.network.reductions[index]
            if reduction.way == "whole":
                whole = self._empty(reduction.value)
                self.known[reduction.value] = whole
                sinks.setdefault(reduction.value, []).append(self._into(whole, reduction.value))
                continue
            part = Gathered(reduction, values[reduction.value])
            gathered.append(part)
            sinks.setdefault(reduction.value, []).append(lambda box, x, part=part: part.add(x))
        for v in walk.work.stores:
            whole = self._empty(v)
            sinks.setdefault(v, []).append(self._into(whole, v))
            self.stored[v] = whole
        for v in walk.work.outputs:
            whole = self._empty(v)
            self.results[v] = whole
            sinks.setdefault(v, []).append(self._into(whole, v))
        for v in list(self.stored):
            if v not in walk.work.sources and v not in walk.work.stores:
                del self.stored[v]
        sources: dict[int, Source] = {self.network.image: self._read}
        for v in walk.work.sources:
            if v != self.network.image:
                sources[v] = self._from(v)
        if walk.targets:
            for node in walk.work.nodes:
                usual = walk.usual(node)
                if node.index not in self.kernels or self.kernels[node.index].usual != usual:
                    self.kernels[node.index] = Kernel(
                        self.network,
                        node,
                        self.known,
                        self.moments,
                        fuse=self.job.fuse,
                        usual=usual,
                    )
            walking = Walking(walk, values, self.kernels, sources, sinks, self.device, self.last)
            walking.run(walk, lambda cell: count())
        for part in gathered:
            reduction = part.reduction
            if reduction.way == "moments":
                self.moments[reduction.output] = part.moments()
            else:
                out = values[reduction.output]
                self.known[reduction.output] = part.result(out).reshape(out.shape)

    def _empty(self, v: int) -> Tensor:
        value = self.geometry.values[v]
        return torch.empty(value.shape, dtype=value.dtype, device=self.device)

    def _into(self, whole: Tensor, v: int) -> Sink:
        value = self.geometry.values[v]
        dims, full = axis_dims(value), value.full
        wide = spread(whole, value, full)

        def sink(box: Box, tensor: Tensor) -> None:
            narrow(wide, dims, full, box).copy_(spread(tensor, value, box))

        return sink

    def _from(self, v: int) -> Source:
        value = self.geometry.values[v]
        dims, full = axis_dims(value), value.full
        whole = self.stored[v]

        def source(box: Box) -> Tensor:
            from striate.geometry.plan import cut

            return cut(whole, value.layout, full, box, 1)

        del dims
        return source


def _refuse_training(geometry: Any, module: nn.Module) -> None:
    """Raise GeometryError where training mode makes the result depend on chance or on the batch."""
    for record in geometry.records:
        if not record.live:
            continue
        path = geometry.visits[record.visit].path
        if isinstance(record.plan, BatchNorm) and record.plan.training:
            owner = module.get_submodule(path) if path else module
            if isinstance(owner, nn.modules.batchnorm._BatchNorm) and owner.training:
                raise GeometryError(
                    f"{record.name} is in training mode and normalises by its batch; call module.eval() first"
                )
        if record.op in (
            "native_dropout",
            "bernoulli",
            "rand_like",
            "randn_like",
            "uniform",
            "normal_functional",
        ):
            raise GeometryError(
                f"{record.name} ({record.op}) draws random numbers, so no two runs agree; call module.eval() first"
            )


def tiled(
    module: nn.Module,
    image: Any,
    *,
    tile: int | Sequence[int] | None = None,
    memory: int | float | str | None = None,
    strategy: str = "auto",
    prepare: Prepare | None = None,
    progress: Progress | None = None,
) -> Any:
    """What `module(image)` returns, computed tile by tile in bounded memory."""
    job = Tiled(module, image, tile=tile, memory=memory, strategy=strategy, prepare=prepare)
    return job.run(progress=progress)
