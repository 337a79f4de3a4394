"""Layers: the records that a reader cares about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.geometry.analysis import BOOKKEEPING
from striate.geometry.relation import Spread, Window

if TYPE_CHECKING:
    from striate.geometry.geometry import Geometry, Layer


def layers(geometry: Geometry) -> tuple[Layer, ...]:
    """The operations that compute something from the input."""
    from striate.geometry.geometry import Layer
    from striate.geometry.reach import receptive_fields

    fields = receptive_fields(geometry)
    names: dict[int, str] = {i: geometry.values[i].name for i in geometry.inputs}
    found = []
    for r in geometry.records:
        value = geometry.values[r.output]
        if not value.varies:
            continue
        if r.op in BOOKKEEPING:
            names[r.output] = names.get(r.inputs[0], r.name) if r.inputs else r.name
            continue
        names[r.output] = r.name
        visit = geometry.visits[r.visit]
        window: list[int | None] = [None] * geometry.axes
        stride: list[int | None] = [None] * geometry.axes
        for k, relation in enumerate(r.links[0].relations if r.links else ()):
            if isinstance(relation, (Window, Spread)):
                window[k], stride[k] = relation.kernel, relation.stride
        found.append(
            Layer(
                r.name, r.op, value.shape, r.params, r.macs, fields[r.output], tuple(window),
                tuple(stride), visit.path, visit.kind,
                tuple(dict.fromkeys(names[i] for i in r.inputs if i in names)), value.bytes, r.index,
            )
        )  # fmt: skip
    return tuple(found)
