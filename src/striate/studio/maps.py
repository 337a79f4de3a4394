"""Maps: what one layer holds for a picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from striate.errors import UsageError
from striate.geometry import replay
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
    named = {r.name.removeprefix(PREFIX): r for r in geometry.layers if is_of_network(r)}
    if layer not in named:
        raise UsageError(f"the network has no layer {layer!r}; load the page again")
    last = named[layer].record
    record = geometry.records[last]
    with torch.inference_mode():
        values = replay(geometry, one.module, image[None], keep=True, until=last)[record.output][0]
    maps = values.float().reshape(
        len(values) if values.dim() else 1, *(values.shape[1:] if values.dim() == 3 else (-1, 1))
    )
    low, high = float(maps.min()), float(maps.max())
    some = maps[first : first + CHANNELS].clamp(-65504, 65504).to(torch.float16).numpy()
    header = {"layer": layer, "first": first, "of": len(maps), "low": low, "high": high}
    return header, {"maps": np.ascontiguousarray(some)}
