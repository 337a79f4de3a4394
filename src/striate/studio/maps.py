"""Maps: what one layer holds for a picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from striate.errors import UsageError
from striate.geometry import Geometry, Record, replay
from striate.inference.incremental import Moving
from striate.studio.describing import PREFIX, is_of_network
from striate.studio.desk import Part
from striate.studio.shelf import Network

CHANNELS = 64  # maps that are sent at once


def maps_of(one: Network, image: Tensor, layer: str, first: int) -> Part:
    """The maps of a layer for an image (C, H, W) in [0, 1], from channel `first` on, as float16 (channels, H, W).

    A vector comes as maps of one value. `low` and `high` of the header are over all channels. Raises UsageError where there
    is no such layer.
    """
    geometry = one.geometry(image.shape)
    record = _record(geometry, layer)
    with torch.inference_mode():
        kept = replay(geometry, one.module, image[None], keep=True, until=record.index)
    return _told(kept[record.output], layer, first)


def moved_maps(moving: Moving, layer: str, first: int) -> Part:
    """As `maps_of`, of what the last move changed alone: `at` of the header is the box, rows and columns, if it is not all.

    Everything outside `at` is as in the clean picture; `low` and `high` are those of what is sent.
    """
    record = _record(moving.geometry, layer)
    values, box = moving.value(record.output)
    header, arrays = _told(values, layer, first)
    value = moving.geometry.values[record.output]
    return header if box == value.full else {**header, "at": box}, arrays


def _record(geometry: Geometry, layer: str) -> Record:
    named = {r.name.removeprefix(PREFIX): r for r in geometry.layers if is_of_network(r)}
    if layer not in named:
        raise UsageError(f"the network has no layer {layer!r}; load the page again")
    return geometry.records[named[layer].record]


def _told(values: Tensor, layer: str, first: int) -> Part:
    """values: (1, C, rows, columns), or of fewer sides."""
    one = values[0]
    maps = one.float().reshape(
        len(one) if one.dim() else 1, *(one.shape[1:] if one.dim() == 3 else (-1, 1))
    )
    low, high = float(maps.min()), float(maps.max())
    some = maps[first : first + CHANNELS].clamp(-65504, 65504).to(torch.float16).numpy()
    header = {"layer": layer, "first": first, "of": len(maps), "low": low, "high": high}
    return header, {"maps": np.ascontiguousarray(some)}
