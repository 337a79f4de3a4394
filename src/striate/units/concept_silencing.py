"""Silencing the units of a concept together: what the classes lose, against as many random units of the same layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from striate.errors import DataError
from striate.units.dissection import Dissection
from striate.units.layers import UnitLayer
from striate.units.network import Network, evaluating
from striate.units.top_images import batch_of

CONCEPTS = 8  # silenced, those of most units first
DRAWS = 3  # of random units
RESAMPLES = 1000

Units = Mapping[str, Sequence[int]]
"""Units by the name of their layer."""


@dataclass(frozen=True, eq=False)
class SilencedConcept:
    """Accuracy with and without the units of one concept; M classes.

    units: how many. accuracy, without: of all images; low, high: 95 % of their difference, of resampled images. per_class
    (M,): change of each class's recall, nan for a class without images. random (D,): change when as many random units of
    the same layers are silenced.
    """

    concept: str
    units: int
    accuracy: float
    without: float
    low: float
    high: float
    per_class: np.ndarray
    random: np.ndarray

    @property
    def change(self) -> float:
        """Accuracy without the units minus accuracy with them."""
        return self.without - self.accuracy


def predict_without(
    network: Network, layers: Sequence[UnitLayer], units: Units, images: Tensor
) -> np.ndarray:
    """Predicted classes (N,) of images (N, C, H, W) when the responses of `units` are 0 everywhere."""
    by_name = {layer.name: layer for layer in layers}
    changes = {
        by_name[name].response: partial(_silent, network, by_name[name], sorted(which))
        for name, which in units.items()
    }
    at_once = batch_of(network, [network.output, *changes])
    parts = []
    with evaluating(network.module), torch.inference_mode():
        for part in images.split(at_once):
            pixels = network.images(part).contiguous(memory_format=torch.channels_last)
            logits = network.forward(pixels, [network.output], changes=changes)[network.output]
            parts.append(logits.argmax(1).cpu())
    return torch.cat(parts).numpy()


def _silent(network: Network, layer: UnitLayer, units: list[int], tensor: Tensor) -> Tensor:
    changed = tensor.clone()
    # A view: what is written into it is written into the value.
    network.maps(layer.response, changed, len(tensor))[:, units] = 0
    return changed


def units_by_concept(dissection: Dissection, network: Network) -> dict[str, dict[str, list[int]]]:
    """The named units of each concept, by layer; those of most units first. The network's output has none."""
    found: dict[str, dict[str, list[int]]] = {}
    for one in dissection.layers:
        if one.layer.response == network.output:
            continue
        for unit in np.flatnonzero(one.named).tolist():
            name = dissection.concepts.names[int(one.best[unit])]
            found.setdefault(name, {}).setdefault(one.layer.name, []).append(unit)
    order = sorted(found, key=lambda name: (-sum(map(len, found[name].values())), name))
    return {name: found[name] for name in order}


def silence_concepts(
    network: Network,
    dissection: Dissection,
    images: Tensor,
    labels: Tensor,
    classes: int,
    *,
    concepts: int = CONCEPTS,
    seed: int = 0,
) -> list[SilencedConcept]:
    """What the classes lose without the units of each concept, those of most units first.

    images (N, C, H, W), labels (N,) in M `classes`. Raises DataError for a set without images.
    """
    if not len(images) or len(images) != len(labels):
        raise DataError(
            f"silencing needs images with a label each, got {len(images)} and {len(labels)}"
        )
    rng = np.random.default_rng(seed)
    layers = [one.layer for one in dissection.layers]
    truth = labels.numpy()
    counts = np.bincount(truth, minlength=classes)[:classes]
    plain = predict_without(network, layers, {}, images) == truth
    done = []
    for name, units in list(units_by_concept(dissection, network).items())[:concepts]:
        right = predict_without(network, layers, units, images) == truth
        random = []
        for _ in range(DRAWS):
            drawn = {
                x.name: rng.permutation(x.units)[: len(units[x.name])].tolist()
                for x in layers
                if x.name in units
            }
            random.append((predict_without(network, layers, drawn, images) == truth).mean())
        difference = right.astype(float) - plain
        share = [(difference == d).mean() for d in (-1, 0, 1)]
        draws = rng.multinomial(len(truth), share, size=RESAMPLES)
        low, high = np.quantile((draws[:, 2] - draws[:, 0]) / len(truth), [0.025, 0.975])
        change = np.bincount(truth, weights=difference, minlength=classes)[:classes]
        done.append(
            SilencedConcept(
                concept=name,
                units=sum(map(len, units.values())),
                accuracy=float(plain.mean()),
                without=float(right.mean()),
                low=float(low),
                high=float(high),
                per_class=np.divide(change, counts, out=np.full(classes, np.nan), where=counts > 0),
                random=np.array(random) - plain.mean(),
            )
        )
    return done
