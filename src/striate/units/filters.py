"""Filters: the kernels of a layer as units first; `striate.kernels` examines them."""

from __future__ import annotations

from torch import Tensor

from striate.kernels import Filters, duplicates, examine
from striate.units.layers import UnitLayer
from striate.units.network import Network

__all__ = ["Filters", "duplicates", "examine", "groups_of", "kernels_of"]


def groups_of(network: Network, layer: UnitLayer) -> int:
    """Groups of a layer's kernels, which see different channels; 1 where all see the same."""
    record = None if layer.weighted is None else network.geometry.records[layer.weighted]
    return int(record.args[8]) if record is not None and record.op == "convolution" else 1


def kernels_of(network: Network, layer: UnitLayer) -> Tensor | None:
    """The kernels (U, C, h, w) of a layer, a copy on the CPU; None for a layer without kernels of its own.

    Those of a transposed convolution are turned to stand unit first.
    """
    if layer.weighted is None:
        return None
    geometry = network.geometry
    record = geometry.records[layer.weighted]
    place = 2 if record.op == "addmm" else 1
    index = record.inputs[place]
    while geometry.values[index].source == "record":  # the transpose of a linear layer's weight
        maker = geometry.records[geometry.values[index].producer or 0]
        if not maker.inputs:
            return None
        index = maker.inputs[0]
    if geometry.values[index].source not in ("parameter", "buffer", "constant"):
        return None
    weight = network.weights[index].detach().cpu().float().clone()
    if record.op == "convolution" and bool(record.args[6]):
        groups = int(record.args[8])
        weight = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    if weight.dim() == 2:
        if weight.shape[0] != layer.units and weight.shape[1] == layer.units:
            weight = weight.T
        weight = weight[:, :, None, None]
    return weight if weight.dim() == 4 and len(weight) == layer.units else None
