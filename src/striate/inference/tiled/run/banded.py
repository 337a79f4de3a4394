"""Banded: one image whose plan several processes share, band by band, through files."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from striate.geometry import Box
from striate.inference.tiled.plan.plan import Walk
from striate.inference.tiled.run.bands import (
    Bands,
    BandWriter,
    band_cells,
    band_count,
    box_of,
    read_band,
    writing_band,
)
from striate.inference.tiled.run.kernels import Kernel
from striate.inference.tiled.run.reductions import Gathered, Tree
from striate.inference.tiled.run.running import NotFiniteError, Running
from striate.inference.tiled.run.walking import Sink, Source, Walking
from striate.inference.tiled.verify.checking import Probe


class Banded(Running):
    """As Running, with bands that anybody may have done.

    A pass whose statistics the next one needs has to be whole, so every process does what of it nobody has done and nobody
    is doing; of the last pass each does its own bands. `bands.number` 0 does none: it reads all, and gives the results.
    probe: what a check looks at.
    """

    def __init__(self, *given: Any, bands: Bands, probe: Probe | None, **more: Any) -> None:
        super().__init__(*given, **more)
        self.bands, self.probe = bands, probe
        self.seconds = 0.0  # that all bands took, wherever

    def run(self) -> list[Tensor | None]:
        """See Running; nothing from a shard."""
        return super().run() if not self.bands.number else self._work()

    def _work(self) -> list[Tensor | None]:
        self._heads(0)
        walks = self.plan.walks
        for at, walk in enumerate(walks):
            make = self._maker(walk)
            self.bands.share(walk, self.bands.mine(walk), make)
            if any(w.targets for w in walks[at + 1 :]):
                if walk.work.gathers:
                    count = band_count(walk)
                    # Each begins elsewhere, so that those who wait do not all do the same.
                    first = (self.bands.number - 1) * count // self.bands.of
                    order = [(first + i) % max(count, 1) for i in range(count)]
                    self.bands.share(walk, order, make)
                    self._collect(walk, {})
                self._heads(walk.work.level + 1)
        return []

    def _walk(self, walk: Walk, state: Any) -> None:
        """See Running: what all bands of the walk hold."""
        del state
        values = self.geometry.values
        sinks: dict[int, list[Sink]] = {}
        for v in walk.work.outputs:
            sinks.setdefault(v, []).extend(self.extra.get(v, ()))
            if not self.to_file:
                value = values[v] if self.finish is None else self.finish.value
                self.results[v] = self._room(value, sinks)
        self._collect(walk, sinks)

    def _collect(self, walk: Walk, sinks: dict[int, list[Sink]]) -> None:
        """Read all bands of a walk in order; `sinks` get what it hands out."""
        values, reductions = self.geometry.values, self.network.reductions
        gathered = {
            i: Gathered(reductions[i], values[reductions[i].value])
            for i in walk.work.gathers
            if reductions[i].way != "whole"
        }
        trees = {i: Tree(part) for i, part in gathered.items()}
        wholes: dict[int, list[Sink]] = {}
        for i in walk.work.gathers:
            if reductions[i].way == "whole":
                v = reductions[i].value
                self.known[v] = self._room(values[v], wholes)
        for band in range(band_count(walk)):
            index, tensors = read_band(self.bands.path(walk.work.level, band), self.bands.digest)
            self.seconds += index["seconds"]
            summaries: dict[int, dict[str, Tensor]] = {i: {} for i in gathered}
            for entry, tensor in tensors:
                kind, v = entry["kind"], entry["value"]
                if kind == "gathered":
                    summaries[v][entry["name"]] = tensor.to(self.device)
                elif kind == "whole":
                    for sink in wholes[v]:
                        sink(box_of(entry), tensor.to(self.device))
                elif kind == "output":
                    for sink in sinks.get(v, ()):
                        sink(box_of(entry), tensor.to(self.device))
                elif self.probe is not None and v in self.probe.targets:
                    self.probe.sink(v, box_of(entry), tensor.to(self.device))
            for i, tree in trees.items():
                tree.add(summaries[i])
            self.count(min(band_cells(walk), walk.cells - band * band_cells(walk)))
        for i, part in gathered.items():
            trees[i].end()
            self._know(part)

    def _maker(self, walk: Walk) -> Callable[[int, Path], None]:
        """What computes a band of a walk and writes its file."""
        values = self.geometry.values
        sources: dict[int, Source] = {self.network.image: self._pixels}
        kernels: dict[int, Kernel] = {}

        def make(band: int, path: Path) -> None:
            if not kernels:
                for node in walk.work.nodes:
                    kernels[node.index] = Kernel(
                        self.network, node, self.known, self.moments, fuse=self.fuse, usual=walk.usual(node)
                    )  # fmt: skip
            began = time.perf_counter()
            with writing_band(path, self.bands.digest) as writer:
                gathered: dict[int, Gathered] = {}
                sinks = self._recording(walk, writer, gathered)
                walking = Walking(walk, values, kernels, sources, sinks, self.device, self.last)
                size = band_cells(walk)
                try:
                    walking.run(
                        islice(iter(walk), band * size, (band + 1) * size), lambda cell: None
                    )
                except NotFiniteError as error:
                    raise self._located(error) from None
                for i, part in gathered.items():
                    for name, tensor in part.summary().items():
                        writer.add("gathered", i, None, tensor, name)
                writer.end(seconds=time.perf_counter() - began)

        return make

    def _recording(
        self, walk: Walk, writer: BandWriter, gathered: dict[int, Gathered]
    ) -> dict[int, list[Sink]]:
        """Sinks that write what a walk hands out, and gather what it gathers."""
        values, reductions = self.geometry.values, self.network.reductions
        sinks: dict[int, list[Sink]] = {v: [] for v in walk.targets}
        for v in walk.targets:
            if self.finite and values[v].dtype.is_floating_point:
                sinks[v].append(self._check(v))
        for i in walk.work.gathers:
            v = reductions[i].value
            if reductions[i].way == "whole":
                sinks[v].append(_written(writer, "whole", v))
            else:
                gathered[i] = Gathered(reductions[i], values[v])
                sinks[v].append(gathered[i].sink)
        for v in walk.work.outputs:
            sink = _written(writer, "output", v)
            sinks[v].append(sink if self.finish is None else self.finish.sink(sink))
        if self.probe is not None:
            for v in self.probe.targets & set(walk.work.outputs):
                sinks[v].append(self._looked(writer, v))
        return sinks

    def _looked(self, writer: BandWriter, v: int) -> Sink:
        """A sink that writes the parts of pieces that a check looks at."""
        probe = self.probe
        assert probe is not None

        def sink(box: Box, tensor: Tensor) -> None:
            for part, piece in probe.parts(v, box, tensor):
                writer.add("probe", v, part, piece)

        return sink


def _written(writer: BandWriter, kind: str, v: int) -> Sink:
    return lambda box, tensor: writer.add(kind, v, box, tensor)
