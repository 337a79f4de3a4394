"""Describing: a network's layers with their geometry, as the page draws them and reckons with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.geometry.record import Axis, Layer
from striate.studio.scores import has_bars
from striate.studio.shelf import Network

PREFIX = "model."
SMALL = 48  # pixels of a thumbnail's shorter side, at least
NORMALISATION = ("sub", "div")  # of pixels, which stand before the network


def described(one: Network, shape: tuple[int, ...]) -> dict[str, Any]:
    """Name, input, classes and layers for an image (C, H, W) of a shape. A layer's field is one of `axis` a side of it."""
    trained, geometry = one.trained, one.geometry(shape)
    shown = [layer for layer in geometry.layers if is_of_network(layer)]
    return {
        "name": trained.name,
        "answers": has_bars(one),
        "pointed": trained.task.objects or trained.task.axes == 4,
        "about": trained.task.about,
        "classes": list(trained.classes) if len(trained.classes) <= 2000 else [],
        "input": list(shape),
        "parameters": geometry.total_params,
        "macs": geometry.total_macs,
        "layers": [
            {
                "name": layer.name.removeprefix(PREFIX),
                "op": layer.op,
                "kind": layer.kind,
                "shape": list(layer.out_shape[1:]),
                "parameters": layer.params,
                "macs": layer.macs,
                "window": list(layer.window),
                "stride": list(layer.stride),
                "field": [axis(a) for a in layer.receptive_field],
            }
            for layer in shown
        ],
    }


def is_of_network(layer: Layer) -> bool:
    """Whether a layer is the network's own, not of the normalisation before it."""
    return not (layer.module == "" and layer.op in NORMALISATION)


def axis(a: Axis | None) -> dict[str, Any] | None:
    """Along one side: which pixels output i sees; None for all of them.

    Output i of phase p = i mod len(phases) sees the pixels from first[p] + (i div len(phases)) * step to last[p], both
    included, moved alike; may lie outside, in the padding.
    """
    if a is None:
        return None
    phases = a.phases or ((a.start, a.start + a.size - 1),)
    step = a.stride * len(phases)
    return {
        "size": a.size,
        "stride": float(a.stride),
        "phases": [list(map(int, p)) for p in phases],
        "step": float(step),
    }


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """uint8 (C, H, W) as `of_pixels`, made smaller where it is larger than a thumbnail is shown."""
    shown = of_pixels(pixels)
    step = max(1, min(shown.shape[:2]) // SMALL)
    height, width = (n // step * step for n in shown.shape[:2])
    cells = shown[:height, :width].reshape(height // step, step, width // step, step, -1)
    means: np.ndarray = cells.mean((1, 3)).round().astype(np.uint8)
    return means


def of_pixels(pixels: np.ndarray) -> np.ndarray:
    """uint8 (C, H, W) as (H, W, C) with one or three channels, as canvases take it; of other counts the first is shown."""
    shown = pixels if pixels.shape[0] in (1, 3) else pixels[:1]
    return np.ascontiguousarray(shown.transpose(1, 2, 0))
