"""Batches: several images are run one after another, which is right where no image enters another's result."""

from __future__ import annotations

import torch
from torch import nn

from striate.errors import GeometryError
from striate.geometry import Geometry, Record, Value, trace
from striate.geometry.layout import BATCH, Layout
from striate.geometry.rules.normalisation import BatchNorm
from striate.geometry.rules.pointwise import Pointwise


def places(module: nn.Module, geometry: Geometry, count: int) -> tuple[int | None, ...]:
    """For each result the dimension along which those of `count` images lie side by side; None for what no image enters.

    `geometry` is that of one image; the module is traced with all of them, which shows what becomes of the batch. Raises
    GeometryError where images are mixed.
    """
    values = geometry.values
    first = values[geometry.inputs[0]]
    if count == 1:
        return tuple([None if v is None else _place(values[v].layout) for v in geometry.outputs])
    shape = (count, *first.shape[1:])
    together = trace(module, torch.empty(shape, dtype=first.dtype, device="meta"))
    alone = [r for r in geometry.records if r.live]
    joined = [r for r in together.records if r.live]
    for record in joined:
        if _mixes(together, record):
            raise _refusal(record, count)
    for one, all_ in zip(alone, joined, strict=False):
        differs = (one.op, type(one.plan)) != (all_.op, type(all_.plan))
        differs = differs or (isinstance(one.plan, Pointwise) and one.args != all_.args)
        if differs or not _grows(values[one.output], together.values[all_.output], count):
            raise _refusal(all_, count)
    if len(alone) != len(joined):
        raise _refusal(joined[-1], count)
    places = []
    for leaf in together.outputs:
        value = None if leaf is None else together.values[leaf]
        place = None if value is None else _place(value.layout)
        if value is not None and value.varies and place is None:
            assert value.producer is not None
            raise _refusal(together.records[value.producer], count)
        places.append(place)
    return tuple(places)


def _grows(one: Value, several: Value, count: int) -> bool:
    """Whether a value of several images is that of one, but for the dimension that holds the images.

    A size that the module fixes, as in reshape(2, -1, w), puts them elsewhere.
    """
    if not one.varies or len(one.shape) != len(several.shape):
        return not one.varies
    grown = [d for d, (a, b) in enumerate(zip(one.shape, several.shape, strict=True)) if a != b]
    held = [d for d, dim in enumerate(several.layout) if BATCH in dim]
    return grown == held and all(several.shape[d] == count * one.shape[d] for d in held)


def _place(layout: Layout) -> int | None:
    """The dimension whose slowest part is the batch."""
    return next((d for d, dim in enumerate(layout) if dim[0] == BATCH), None)


def _mixes(geometry: Geometry, record: Record) -> bool:
    """Whether an image of the batch enters another's values."""
    values = geometry.values
    out = values[record.output]
    if not out.varies:
        return False
    held = [_batched(values[i].layout) for i in record.inputs if values[i].varies]
    lost = any(held) and not _batched(out.layout)
    norm = isinstance(record.plan, BatchNorm) and record.plan.training and not record.plan.each
    return lost or norm or (any(held) and bool(getattr(record.plan, "mixes_batch", False)))


def _batched(layout: Layout) -> bool:
    return any(BATCH in dim for dim in layout)


def _refusal(record: Record, count: int) -> GeometryError:
    return GeometryError(
        f"{record.name} ({record.op}) mixes the images of a batch, so {count} images cannot be run one after another; "
        "give one image at a time"
    )
