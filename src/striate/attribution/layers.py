"""Layers: the values inside a network, by the names of its geometry."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from striate.attribution.images import are_finite
from striate.borrow import borrowed
from striate.errors import StriateError, UsageError
from striate.geometry import Axis, Crop, Geometry, Layer, Weights, apply, trace
from striate.geometry.record import Record

HALFWAY = (
    "convolution",
    "native_batch_norm",
    "cudnn_batch_norm",
    "native_group_norm",
)  # activated later
POSITIONS = 4  # along an axis: a map of fewer shows little of where


def geometry_of(module: nn.Module, images: Tensor) -> Geometry:
    """The geometry for one image of this size, of the module in evaluation form."""
    with borrowed(module):
        return trace(module, (1, *images.shape[1:]))


def last_map(geometry: Geometry) -> Layer:
    """The layer for Grad-CAM: the last of the coarsest maps whose positions still see a part of the image each.

    That is the one in front of the global pooling, of the flattening or, in a U-Net, at its bottom. Statistics over the
    whole image (a global mean, a gate's) make no map; maps of fewer than 4 positions an axis are passed over for finer
    ones, where there are any; a convolution or a norm stands for the activation behind it, where that has the same size.
    Raises UsageError for a network without maps.
    """
    outputs = {geometry.values[i].producer for i in geometry.outputs if i is not None}
    maps = [
        layer for layer in geometry
        if len(layer.out_shape) == 4 and layer.out_shape[1] > 1 and min(layer.out_shape[2:]) > 1
        and all(a is not None for a in layer.local_field) and layer.record not in outputs
    ]  # fmt: skip
    if not maps:
        raise UsageError(
            "Grad-CAM needs a layer whose values still have places, and this network has none: it flattens the image or "
            "pools all of it; use integrated-gradients or occlusion"
        )
    least = min(POSITIONS, max(min(m.out_shape[2:]) for m in maps))
    wide = [m for m in maps if min(m.out_shape[2:]) >= least]
    coarsest = min(m.out_shape[2] * m.out_shape[3] for m in wide)
    level = [m for m in wide if m.out_shape[2] * m.out_shape[3] == coarsest]
    finished = [m for m in level if m.op not in HALFWAY]
    return (finished or level)[-1]


def find_layer(geometry: Geometry, name: str) -> Layer:
    """A layer by its name, or by a submodule's, which stands for its last layer. Raises UsageError."""
    record = geometry.record(name)
    by_record = {layer.record: layer for layer in geometry}
    chosen = by_record.get(record.index)
    if chosen is None:
        inside = [la for la in geometry if la.module == name or la.module.startswith(f"{name}.")]
        if not inside:
            raise UsageError(
                f"{name} computes nothing from the image; `striate summary` lists layers"
            )
        chosen = inside[-1]
    return chosen


def compute(
    geometry: Geometry,
    module: nn.Module,
    known: Mapping[int, Tensor],
    *,
    stop: int | None = None,
) -> dict[int, Tensor]:
    """Values of a network from `known` ones: those of the outputs, or up to the record `stop`.

    Everything is computed with the module's own weights, record by record, so that autograd can follow from any value.
    """
    weights = Weights(geometry, module)
    values = dict(known)
    batch = next(iter(known.values())).shape[0]
    needed = _wanted(geometry, set(known), stop)
    for record in needed:
        crops = []
        for i in record.inputs:
            if i not in values:
                values[i] = weights[i].detach()
            crops.append(Crop(values[i], geometry.values[i].full))
        full = geometry.values[record.output].full
        values[record.output] = apply(geometry, record, crops, full, batch=batch)
    return values


def _wanted(geometry: Geometry, known: set[int], stop: int | None) -> list[Record]:
    """The records that have to run, in order."""
    if stop is not None:
        needed = {geometry.records[stop].output}
    else:
        needed = {i for i in geometry.outputs if i is not None}
    records = []
    for record in reversed(geometry.records):
        if record.output in needed and record.output not in known:
            records.append(record)
            needed.update(record.inputs)
    return records[::-1]


def result(geometry: Geometry, module: nn.Module, values: dict[int, Tensor]) -> object:
    """What the module returns, from the values of its outputs."""
    weights = Weights(geometry, module)
    leaves = [
        None if i is None else values[i] if i in values else weights[i].detach()
        for i in geometry.outputs
    ]
    output = geometry.unflatten(leaves)
    if not are_finite(output):
        raise StriateError("the network's output is not finite, so nothing can be explained")
    return output


def spread(maps: Tensor, layer: Layer, size: tuple[int, int]) -> Tensor:
    """Maps (N, h, w) of a layer over the pixels (N, H, W), each value at the middle of what its position sees.

    Between the middles it is interpolated linearly, beyond the outermost it stays.
    """
    rows, columns = (
        places(axis, n, pixels)
        for axis, n, pixels in zip(layer.local_field, maps.shape[1:], size, strict=True)
    )
    return _along(_along(maps, rows, 1), columns, 2)


def places(axis: Axis | None, count: int, pixels: int) -> Tensor:
    """For each of `pixels` the (fractional) position of the map's `count` that lies over it, (pixels,) float64."""
    at = torch.arange(pixels, dtype=torch.float64)
    if axis is None:
        return ((at + 0.5) * count / pixels - 0.5).clamp(0, count - 1)
    first = axis.start + (axis.size - 1) / 2
    return ((at - first) / float(axis.stride)).clamp(0, count - 1)


def _along(maps: Tensor, places: Tensor, dim: int) -> Tensor:
    low = places.floor().long()
    high = (low + 1).clamp(max=maps.shape[dim] - 1)
    share = (places - low).to(maps)
    shape = [1] * maps.dim()
    shape[dim] = -1
    share = share.view(shape)
    low, high = low.to(maps.device), high.to(maps.device)
    return maps.index_select(dim, low) * (1 - share) + maps.index_select(dim, high) * share
