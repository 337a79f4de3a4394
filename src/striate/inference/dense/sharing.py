"""Sharing: which values of a patch lie on one map of the whole image, and how each is made there.

Position p of a value in the patch at pixel t equals the map of that value at pixel t + p * jump, whatever the patch,
as long as nothing but the pixels around it enters. A map is held on a lattice of pixels, gcd(stride, jump) apart, so
that no position is computed that no patch asks for. What looks beyond a patch's border (padding) breaks this for the
positions along the border; the rest, `inner`, stays shared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil, gcd

from torch import Tensor

from striate.geometry import Box, Geometry, Record, Value
from striate.geometry.box import volume
from striate.geometry.index_map import Same, Window
from striate.geometry.layout import BATCH, axis_atom
from striate.geometry.plan import Step
from striate.geometry.rules.convolution import Convolve
from striate.geometry.rules.pooling import AdaptivePool, AvgPool, MaxPool
from striate.geometry.rules.product import Product
from striate.geometry.rules.reduction import Reduce
from striate.geometry.rules.site import Whole
from striate.inference.dense import maps
from striate.inference.dense.maps import Pair, Sweep

RESHAPED = ("view", "_unsafe_view", "squeeze", "flatten", "reshape", "unsqueeze")
Make = Callable[[list[Tensor], list[Pair | None]], Tensor]  # inputs, rows and columns of each map


@dataclass(frozen=True)
class Map:
    """A value on the image: its jump and lattice in pixels, and the part of a patch's value that it holds."""

    jump: Pair
    lattice: Pair
    inner: Box


@dataclass(frozen=True)
class Shared:
    """A record made for the whole image. `ends`: its result has one entry a patch, and no positions any more."""

    record: Record
    make: Make
    map: Map | None
    macs: float  # multiply-adds a position of the output's map, or a patch
    slides: bool = False  # a window runs over the map, so that its size changes
    takes: tuple[int, ...] = ()  # values, where it is made of others than the record's own

    @property
    def inputs(self) -> tuple[int, ...]:
        """The values that it is made of."""
        return self.takes or self.record.inputs

    @property
    def ends(self) -> bool:
        """Whether the axes of the image end here."""
        return self.map is None


class Sharing:
    """The records of a traced patch classifier, sorted: `shared` run on the image, `single` on each patch.

    stride: pixels from one patch to the next. image: padding counts at the border of the image only.
    pads: names of the layers that look beyond the border of the patch. stops: names of the layers from which on values
    belong to one patch alone. margin: pixels over which those layers reach beyond it.
    """

    def __init__(self, geometry: Geometry, stride: Pair, *, image: bool) -> None:
        self.geometry, self.stride, self.image = geometry, stride, image
        values = geometry.values
        self.maps: dict[int, Map] = {
            geometry.inputs[0]: Map((1, 1), (1, 1), values[geometry.inputs[0]].full)
        }
        self.shared: list[Shared] = []
        self.single: list[Record] = []
        self.constants: list[Record] = []
        self.positions: set[int] = (
            set()
        )  # values with one entry a patch that were made for the image
        self.pads: list[str] = []
        self.stops: list[str] = []
        self.margin: list[int] = [0, 0]
        for record in geometry.records:
            if not record.live:
                continue
            if not values[record.output].varies:
                self.constants.append(record)
                continue
            place = self._rule(record)
            if place is None:
                if any(i in self.maps for i in record.inputs):
                    self.stops.append(record.name)
                self.single.append(record)
                continue
            self.shared.append(place)
            if place.map is None:
                self.positions.add(record.output)
            else:
                self.maps[record.output] = place.map
        self.shared = [self._with_linear(s) for s in self.shared]

    def _with_linear(self, place: Shared) -> Shared:
        """A mean or sum over positions with the linear layer behind it, where that leaves fewer numbers to add up."""
        if not isinstance(place.make, _Statistic) or place.make.how == "amax":
            return place
        value, passed = place.record.output, []
        while True:
            if value in self.geometry.outputs:
                return place
            readers = [r for r in self.geometry.records if r.live and value in r.inputs]
            if len(readers) != 1 or readers[0] not in self.single:
                return place
            passed.append(readers[0])
            if readers[0].op not in RESHAPED:
                break
            value = readers[0].output
        layer, values = passed[-1], self.geometry.values
        if layer.op not in ("addmm", "mm") or layer.kwargs or layer.inputs[-2] != value:
            return place
        *bias, _, weight = layer.inputs
        if any(values[i].varies for i in (*bias, weight)):
            return place
        channels, outputs = values[weight].shape
        if outputs >= channels or values[value].shape != (1, channels):
            return place
        if values[place.record.output].shape[1] != channels or any(len(values[i].shape) != 1 for i in bias):  # fmt: skip
            return place
        for record in passed:
            self.single.remove(record)
        self.positions = (self.positions - {place.record.output}) | {layer.output}
        make = partial(
            _sizeless, partial(maps.linear_of_statistic, place.make.how, place.make.sweeps)
        )
        takes = (*bias, place.record.inputs[0], weight)
        source = self.maps[place.record.inputs[0]]
        spread = self.stride[0] * self.stride[1] / (source.lattice[0] * source.lattice[1])
        return Shared(layer, make, None, float(layer.macs or 0) * spread, takes=takes)

    def ringed(self, value: int) -> bool:
        """Whether patches have entries of their own along the border of this value."""
        place = self.maps.get(value)
        return place is not None and place.inner != self.geometry.values[value].full

    @property
    def plain(self) -> bool:
        """Whether all maps are laid out as (N, C, rows, columns)."""
        return all(_plain(self.geometry.values[i]) for i in self.maps)

    def _rule(self, record: Record) -> Shared | None:
        values = self.geometry.values
        out = values[record.output]
        varying = [i for i in record.inputs if values[i].varies]
        if any(i not in self.maps for i in varying) or not out.layout:
            return None
        if sum(BATCH in dim for dim in out.layout) != 1 or getattr(
            record.plan, "mixes_batch", False
        ):
            return None
        if isinstance(record.plan, Whole):
            return None
        if not out.spatial:
            return None if any(self.ringed(i) for i in varying) else self._end(record, out)
        if any(n is None for n in out.extents) or record.plan.kind != "local":
            return None
        relations = [r for link in record.links for r in link.relations if r is not None]
        if all(isinstance(r, Same) for r in relations):
            return self._same(record, out, varying)
        if len(varying) == 1 and record.inputs[0] == varying[0]:
            return self._window(record, out)
        return None

    def _macs(self, record: Record, out: Value) -> float:
        return (record.macs or 0) / max(volume(out.full), 1)

    def _same(self, record: Record, out: Value, varying: list[int]) -> Shared | None:
        """Each position by itself."""
        if any(getattr(record.plan, "aligned", ())):
            return None  # a table of positions: the patch's own coordinates enter
        made = [self.maps[i] for i in varying]
        if len({m.jump for m in made}) != 1:
            return None
        inner = tuple(
            (max(m.inner[k][0] for m in made), min(m.inner[k][1] for m in made))  # type: ignore[index]
            for k in range(2)
        )
        if any(a >= b for a, b in inner):
            return None
        if inner != out.full and not _plain(out):
            return None
        make = partial(self._pointwise, record, out)
        return Shared(
            record, make, Map(made[0].jump, made[0].lattice, inner), self._macs(record, out)
        )

    def _pointwise(
        self, record: Record, out: Value, tensors: list[Tensor], sizes: list[Pair | None]
    ) -> Tensor:
        values = [self.geometry.values[i] for i in record.inputs]
        have = [s for s in sizes if s is not None]
        least = (min(s[0] for s in have), min(s[1] for s in have))
        box: Box = ((0, least[0]), (0, least[1]))
        cut = [
            t if s is None or s == least else maps.cut(t, v.layout, s, least)
            for t, s, v in zip(tensors, sizes, values, strict=True)
        ]
        needs = tuple(box if v.spatial else (None, None) for v in values)
        step = Step(record, tuple(cut), needs, tuple(values), out, box, 1, cut[0].device)
        return record.plan.run(step)

    def _window(self, record: Record, out: Value) -> Shared | None:
        """A kernel that slides: convolution, pooling, a border of constants."""
        plan, source = record.plan, self.maps[record.inputs[0]]
        value = self.geometry.values[record.inputs[0]]
        relations = record.links[0].relations
        if (
            not all(isinstance(r, Window) for r in relations)
            or not _plain(out)
            or not _plain(value)
        ):
            return None
        if isinstance(plan, (Convolve, MaxPool, AvgPool, AdaptivePool)):
            if plan.along != (0, 1):
                return None
        elif record.op != "constant_pad_nd":
            return None
        sweeps, inner, jump, lattice = [], [], [], []
        for k, r in enumerate(relations):
            assert isinstance(r, Window)
            side, n = source.inner[k], out.extents[k]
            assert side is not None and n is not None
            start, stop = r.reach((0, n))
            before, after = -start, max(stop - r.n_in, 0)
            if before < 0 or (record.op == "constant_pad_nd" and (r.kernel, r.stride) != (1, 1)):
                return None
            if record.op == "constant_pad_nd":
                after = n - r.n_in - before
                if after < 0:
                    return None
            else:
                after = max(after, before if r.pad else 0)
            span = r.dilation * (r.kernel - 1)
            lo = max(ceil((side[0] + before) / r.stride), 0)
            hi = min((side[1] - 1 - span + before) // r.stride + 1, n)
            if record.op == "constant_pad_nd":
                lo, hi = side[0] + before, side[1] + before
            inner.append((0, n) if self.image else (lo, hi))
            s, g = source.jump[k], source.lattice[k]
            jump.append(s * r.stride)
            lattice.append(gcd(self.stride[k], s * r.stride))
            sweeps.append(
                Sweep(
                    r.kernel, lattice[k] // g, r.dilation * s // g, before * s // g, after * s // g
                )
            )
            hangs = max(stop - r.n_in, 0) if record.op != "constant_pad_nd" else after
            if (before or hangs) and record.name not in self.pads:
                self.pads.append(record.name)
            if self.image:
                self.margin[k] += max(before, after) * s
        if any(a >= b for a, b in inner):
            return None
        run = maps.kernel(record, (sweeps[0], sweeps[1]))
        make = partial(_sizeless, run)
        place = Map((jump[0], jump[1]), (lattice[0], lattice[1]), tuple(inner))
        return Shared(record, make, place, self._macs(record, out), True)

    def _end(self, record: Record, out: Value) -> Shared | None:
        """The axes end: a mean over positions, a linear layer on the flattened map."""
        plan = record.plan
        spatial = [i for i in record.inputs if self.geometry.values[i].spatial]
        if len(spatial) != 1 or out.layout[0] != (BATCH,):
            return None
        value, source = self.geometry.values[spatial[0]], self.maps[spatial[0]]
        if any(n is None for n in value.extents):
            return None
        sweeps = tuple(
            Sweep(
                n or 0,
                self.stride[k] // source.lattice[k],
                source.jump[k] // source.lattice[k],
                0,
                0,
            )
            for k, n in enumerate(value.extents)
        )
        how = ""
        if isinstance(plan, Reduce) and record.op in ("mean", "sum", "amax") and _plain(value):
            places = [value.layout.index((axis_atom(k),)) for k in range(2)]
            how = record.op if sorted(places) == sorted(plan.dims) and not record.kwargs else ""
        elif isinstance(plan, AdaptivePool) and _plain(value):
            how = "amax" if plan.largest else "mean"
        if how:
            return Shared(record, _Statistic(how, (sweeps[0], sweeps[1])), None, 0.0)
        flat = len(value.layout) == 2 and value.layout[0] == (BATCH,)
        if isinstance(plan, Product) and flat and len(value.layout[1]) == 3:
            channels = value.layout[1][0]
            if value.layout[1] != (channels, axis_atom(0), axis_atom(1)) or channels < 1:
                return None
            place = record.inputs.index(spatial[0])
            others = len(record.inputs)
            if record.kwargs or place != others - 2 or record.op not in ("addmm", "mm"):
                return None
            make = partial(maps.flat_linear, channels, value.extents, (sweeps[0], sweeps[1]))
            return Shared(record, make, None, float(record.macs or 0))
        return None


@dataclass(frozen=True)
class _Statistic:
    """The mean, sum or maximum over all positions of each patch, see `maps.statistic`; a `Make`."""

    how: str
    sweeps: tuple[Sweep, Sweep]

    def __call__(self, tensors: list[Tensor], sizes: list[Pair | None]) -> Tensor:
        return maps.statistic(self.how, self.sweeps, tensors)


def _sizeless(
    run: Callable[[list[Tensor]], Tensor], tensors: list[Tensor], sizes: list[Pair | None]
) -> Tensor:
    return run(tensors)


def _plain(value: Value) -> bool:
    """Whether the layout is (N, C, rows, columns)."""
    layout = value.layout
    return (
        len(layout) == 4
        and layout[0] == (BATCH,)
        and len(layout[1]) == 1
        and layout[1][0] > 0
        and layout[2:] == ((axis_atom(0),), (axis_atom(1),))
    )
