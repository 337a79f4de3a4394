"""Sight: what limits a network before it learns, read off its output and its geometry."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from torch import Tensor, nn

from striate.errors import GeometryError, UsageError
from striate.geometry import Geometry, leaves_of, trace
from striate.tasks.detect.forms.table import form_of
from striate.tasks.detect.forward import output_of
from striate.tasks.detect.reach import Sight


def sight_of(network: nn.Module, shape: tuple[int, ...], *, traced: bool = True) -> Sight:
    """What limits a network on images (1, C, H, W) before it learns. traced: whether to say what a cell sees, too."""
    output = output_of(network, shape)
    maps = sum(isinstance(leaf, Tensor) for leaf in leaves_of(output))
    fields: list[int | None] = [None] * maps
    if traced:
        with suppress(GeometryError, UsageError):  # of one that cannot be traced nothing is known
            fields = fields_of(trace(network, shape))
    return form_of(output).sight(output, fields)


def fields_of(geometry: Geometry) -> list[int | None]:
    """How many pixels a cell of each map that a network returns sees along the longer axis; None for all."""
    return [max((axis.size for axis in axes), default=None) for axes in axes_of(geometry)]


def axes_of(geometry: Geometry) -> list[tuple[Any, ...]]:
    """The receptive field of each map that a network returns, an Axis a spatial axis; () where it sees the whole image."""
    made_by = {record.output: record for record in geometry.records}
    known = {layer.record: layer.receptive_field for layer in geometry}
    fields = []
    for value in (v for v in geometry.outputs if v is not None):
        record = made_by.get(value)
        while record is not None and record.index not in known:  # views and the like
            record = made_by.get(record.inputs[0]) if record.inputs else None
        axes = None if record is None else known[record.index]
        fields.append(() if not axes or any(axis is None for axis in axes) else tuple(axes))
    return fields
