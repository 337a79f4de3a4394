"""Dossiers: one channel, as it is measured: kernel, strongest crops, tuning, and an image that forms to drive it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.errors import UsageError
from striate.studio.desk import Part
from striate.studio.numbers import text_in, whole_in
from striate.studio.shelf import Network
from striate.units import index_units
from striate.units.contact_sheets import crop_of
from striate.units.filters import kernels_of
from striate.units.layers import UnitLayer, find_unit
from striate.units.maximise import forming
from striate.units.probe import Probe
from striate.units.top_images import LayerIndex
from striate.units.tuning import tune_unit

CROPS = 6
SLICES = 12  # of a kernel that are shown
STEPS, EVERY, SEEDS = 96, 6, 2
BEYOND = 128  # what lies outside the picture


def dossier(one: Network, question: Mapping[str, Any]) -> Iterator[Part]:
    """What is known of one channel of a layer, part by part: `part` says which.

    kernel: array (n, h, w), the input channels with the largest weights. crops: `crop0` ... uint8 (h, w, 1 or 3), where
    there are labelled images. tuning: `orientation` and `response` (O,). synthesis: `images` uint8 (S, h, w, 1 or 3), again
    and again while they form. Raises UsageError for a layer or a channel that does not exist.
    """
    network = one.units
    layer = network.layer(text_in(question, "layer"))
    unit = find_unit(layer, whole_in(question, "unit", 0, 1 << 20))
    told = {"layer": layer.name, "unit": unit, "of": layer.units}
    kernels = kernels_of(network, layer)
    if kernels is not None and kernels.shape[-1] > 1:
        kernel = kernels[unit]
        most = kernel.flatten(1).norm(dim=1).argsort(descending=True)[:SLICES].sort().values
        header = {**told, "part": "kernel", "inputs": most.tolist(), "depth": len(kernel)}
        yield header, {"kernel": kernel[most].numpy().astype(np.float32)}
    index = index_of(one, layer)
    if index is not None:
        yield from crops(one, layer, unit, index, told)
    probe = Probe(network, layer)
    tuning = tune_unit(probe, unit)
    if tuning.driven:
        curve = tuning.curves["orientation"]
        header = {
            **told, "part": "tuning", "kind": tuning.kind, "orientation": tuning.orientation,
            "frequency": tuning.frequency, "modulation": tuning.modulation,
        }  # fmt: skip
        yield header, {
            "orientation": np.asarray(curve.at, np.float32), "response": np.asarray(curve.response, np.float32),
        }  # fmt: skip
    else:
        yield {**told, "part": "tuning", "kind": tuning.kind}, {}
    is_class = layer.response == network.head.response
    for made in forming(
        network, layer, unit, what="class" if is_class else "unit", steps=STEPS, seeds=SEEDS, every=EVERY
    ):  # fmt: skip
        header = {**told, "part": "synthesis", "steps": made.steps, "of_steps": STEPS}
        header |= {"start": float(made.start[0]), "end": float(made.end[0])}
        yield header, {"images": np.stack([levels(i) for i in made.images])}


def index_of(one: Network, layer: UnitLayer) -> LayerIndex | None:
    """What drives the units of a layer among the labelled images; None without any. Kept for the next channel."""
    if layer.name not in one.indices:
        try:
            images, labels = one.labelled
        except UsageError:
            return None
        found = index_units(one.units, [(images, labels)], layers=[layer], classes=len(one.trained.classes))  # fmt: skip
        one.indices[layer.name] = found[layer.name]
    return one.indices[layer.name]


def crops(
    one: Network, layer: UnitLayer, unit: int, index: LayerIndex, told: Mapping[str, Any]
) -> Iterator[Part]:
    """The crops that drive a unit most, and the class that does."""
    images, labels = one.labelled
    peaks = index.top(unit)[:CROPS]
    arrays = {f"crop{i}": levels(crop_of(layer, p, images[p.image])) for i, p in enumerate(peaks)}
    header: dict[str, Any] = {**told, "part": "crops", "count": len(peaks)}
    header["crops"] = [
        {"response": p.response, "truth": one.trained.classes[int(labels[p.image])]} for p in peaks
    ]
    if index.preferred is not None and index.selectivity is not None:
        best = int(index.preferred[unit])
        header["preferred"] = one.trained.classes[best] if best >= 0 else None
        header["selectivity"] = float(index.selectivity[unit])
    header["active"] = float(index.active[unit])
    yield header, arrays


def levels(image: Tensor) -> np.ndarray:
    """(C, h, w) in [0, 1] as uint8 (h, w, 1 or 3); nan, outside the picture, is grey."""
    shown = image if len(image) in (1, 3) else image[:1]
    outside = torch.isnan(shown)
    made = (shown.clamp(0, 1) * 255).round().nan_to_num(BEYOND).to(torch.uint8)
    made[outside] = BEYOND
    found: np.ndarray = np.ascontiguousarray(made.permute(1, 2, 0).numpy())
    return found
