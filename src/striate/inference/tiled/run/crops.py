"""Crops: one image through something that only knows the whole network, such as an engine, crop by crop.

A crop holds all that its cell is made of, starts on the network's lattice and ends as far from it as the image does, so that
strides fall on the same pixels and an edge inside the image only reaches what is cut away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from math import isqrt, prod
from typing import Any

from torch import Tensor

from striate.errors import GeometryError
from striate.geometry import Box
from striate.geometry.box import hull, is_empty
from striate.inference.tiled.plan.network import Network
from striate.inference.tiled.plan.plan import Walk
from striate.inference.tiled.read.journal import State
from striate.inference.tiled.run.reductions import Gathered
from striate.inference.tiled.run.running import NotFiniteError, Running
from striate.inference.tiled.run.store import axis_dims, narrow, spread
from striate.inference.tiled.run.walking import Sink
from striate.inference.tiled.verify.crops import (
    Region,
    Sample,
    around,
    held_at_once,
    maps,
    needed,
    rates_of,
    units,
)

Elsewhere = Callable[[Tensor], Sequence[Tensor]]
"""(1, C, rows, columns) -> the tensors that the module returns for it, in their order."""
LEAST = 64  # pixels of a tile's side, however little memory is allowed


class Crops(Running):
    """See the module. elsewhere: computes the network's results for a crop; all else is as in Running."""

    def __init__(self, *given: Any, elsewhere: Elsewhere, **more: Any) -> None:
        super().__init__(*given, **more)
        self.elsewhere = elsewhere
        self.pixels = 0  # of all crops

    def _cells(
        self, walk: Walk, sinks: dict[int, list[Sink]], gathered: dict[int, Gathered], state: State | None
    ) -> None:  # fmt: skip
        """See Running."""
        network, image, unit = self.network, self.geometry.image, units(self.network)
        rates, place = rates_of(network, walk.targets), _places(network)
        keeps = bool(walk.work.outputs) and not self.to_file
        done = state.cells if state is not None and not keeps else 0
        self.count(done)
        emits = {v: [_pairs(axis.emitted(v)) for axis in walk.axes] for v in walk.targets}
        try:
            for cell in islice(iter(walk), done, None):
                boxes: dict[int, Box] = {
                    v: tuple(None if p is None else p[t] for p, t in zip(sides, cell, strict=True))
                    for v, sides in emits.items()
                }
                boxes = {v: box for v, box in boxes.items() if not is_empty(box)}
                need: Box | None = None
                for v, box in boxes.items():
                    got = needed(network, v, box)[network.image]
                    need = got if need is None else hull(need, got)
                if need is not None:
                    crop = around(need, image, unit, [1] * len(image))
                    self._hand_out(Sample(boxes, crop, crop, rates), crop, place, sinks)
                done += 1
                if self.journal is not None and not keeps and self.journal.due:
                    self._note(walk, done, {})
                self.count(1)
        except NotFiniteError as error:
            raise self._located(error) from None
        except BaseException:
            if self.journal is not None and not keeps:
                self._note(walk, done, {})
            raise

    def _hand_out(
        self, sample: Sample, crop: Region, place: dict[int, int], sinks: dict[int, list[Sink]]
    ) -> None:
        found = self.elsewhere(self.read(crop))
        self.pixels += prod(b - a for a, b in crop)
        for v, box in sample.boxes.items():
            value, inner = self.geometry.values[v], sample.inside(v, crop)
            whole = found[place[v]]
            if inner is None:
                raise GeometryError(
                    f"{value.name or 'the result'} has no whole number of positions in a crop; leave --engine out"
                )
            extents = tuple(
                (0, whole.shape[d]) if (d := axis_dims(value).get(k)) is not None else None
                for k in range(self.geometry.axes)
            )
            wide = spread(whole, value, extents)
            part = narrow(wide, axis_dims(value), extents, inner)
            for sink in sinks.get(v, ()):
                sink(box, part)


def refuse_global(network: Network) -> None:
    """Raise GeometryError where a result depends on all of the image, or is no map: no crop gives it."""
    outputs = [i for i in network.geometry.outputs if i is not None]
    values = [network.geometry.values[i] for i in outputs]
    if network.reductions or not maps(network) or not all(v.varies for v in values):
        raise GeometryError(
            "its result is made of the whole image (a mean or a statistic over all positions), which no engine gives from "
            "crops; leave --engine out"
        )


def side_within(network: Network, memory: int) -> tuple[int, ...]:
    """Pixels of a tile's sides, so that all that a forward pass of its crop holds stays within `memory` bytes.

    The crop is wider by what the tile sees beyond itself, which is not known before it is planned: half of the memory.
    """
    image = network.geometry.image
    a_pixel = max(held_at_once(network.geometry) / prod(image), 1.0)
    side = max(isqrt(int(memory / 2 / a_pixel)), LEAST)
    return tuple(min(side, n) for n in image)


def _places(network: Network) -> dict[int, int]:
    """Where each result stands among the tensors that the module returns."""
    outputs = [i for i in network.geometry.outputs if i is not None]
    return {v: outputs.index(v) for v in outputs}


def _pairs(line: Any) -> list[tuple[int, int]] | None:
    return None if line is None else line.pairs()
