"""Layers: the records that a reader cares about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.geometry.index_map import Spread, Window
from striate.geometry.receptive_field import receptive_fields
from striate.geometry.record import BOOKKEEPING, Layer
from striate.geometry.rules.convolution import Convolve, ConvolveTransposed
from striate.geometry.rules.pooling import AvgPool, MaxPool

if TYPE_CHECKING:
    from striate.geometry.geometry import Geometry

KERNELS = (Convolve, ConvolveTransposed, MaxPool, AvgPool)


def layers(geometry: Geometry) -> tuple[Layer, ...]:
    """The operations that compute something from the input, in the order they run."""
    fields, near = receptive_fields(geometry)
    names: dict[int, str] = {i: geometry.values[i].name for i in geometry.inputs}
    none: tuple[None, ...] = (None,) * geometry.axes
    rows = []
    for r in geometry.records:
        value = geometry.values[r.output]
        if not value.varies:
            continue
        if r.op in BOOKKEEPING:
            names[r.output] = names.get(r.inputs[0], r.name) if r.inputs else r.name
            continue
        names[r.output] = r.name
        visit = geometry.visits[r.visit]
        window: tuple[int | None, ...] = none
        stride, dilation, transposed = window, window, False
        if isinstance(r.plan, KERNELS):
            swept = [w if isinstance(w, (Window, Spread)) else None for w in r.links[0].relations]
            window = tuple([None if w is None else w.kernel for w in swept])
            stride = tuple([None if w is None else w.stride for w in swept])
            dilation = tuple([None if w is None else w.dilation for w in swept])
            transposed = isinstance(r.plan, ConvolveTransposed)
        rows.append(
            Layer(
                r.name, r.op, value.shape, r.params, r.macs, fields[r.output], window, stride, dilation,
                transposed, visit.path, visit.kind,
                tuple(dict.fromkeys(names[i] for i in r.inputs if i in names)), value.bytes, r.index, near[r.output],
            )
        )  # fmt: skip
    return tuple(rows)
