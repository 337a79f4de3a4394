"""Silencing: what a unit is for, by the accuracy of each class without it, against silencing a random one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from striate.errors import DataError, UsageError
from striate.geometry import Crop
from striate.units.layers import UnitLayer, find_unit
from striate.units.network import Network, evaluating
from striate.units.top_images import batch_of

OTHERS = 8
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Silenced:
    """Accuracy with and without a unit; M classes.

    accuracy, without: of all images. change: their difference, with a 95 % interval from resampled images.
    per_class, without_per_class (M,), nan for a class without images. random: changes when one of `others` is silenced
    instead, random_interval: the range of the middle 95 % of them. counts (M,).
    """

    accuracy: float
    without: float
    interval: tuple[float, float]
    per_class: np.ndarray
    without_per_class: np.ndarray
    counts: np.ndarray
    others: tuple[int, ...]
    random: np.ndarray
    random_per_class: np.ndarray

    @property
    def change(self) -> float:
        """Accuracy without the unit minus accuracy with it."""
        return self.without - self.accuracy

    @property
    def random_interval(self) -> tuple[float, float]:
        """Lowest and highest change among the random units; (0, 0) where there are none."""
        if not len(self.random):
            return 0.0, 0.0
        low, high = np.quantile(self.random, [0.025, 0.975])
        return float(low), float(high)


def predictions(
    network: Network,
    layer: UnitLayer,
    units: Sequence[int | None],
    images: Tensor,
) -> Tensor:
    """Predicted classes (U, N) int64 of images (N, C, H, W), once for each of U `units`: its responses are 0; None: none is.

    What stands in front of the layer runs once; only what follows it runs again.
    """
    for unit in units:
        if unit is not None:
            find_unit(layer, unit)
    geometry = network.geometry
    output = network.output
    if layer.response == output:
        raise UsageError(
            f"{layer.name} is the network's output; silence a unit of a layer before it"
        )
    network.images(images[:1])
    # A residual branch goes around the layer: what it carries is kept beside the response.
    handed = crossing(network, layer.response)
    parts = []
    at_once = batch_of(network, [layer.response])
    with evaluating(network.module), torch.inference_mode():
        for part in images.split(at_once):
            pixels = network.images(part).contiguous(memory_format=torch.channels_last)
            values = network.forward(pixels, handed)
            rows = []
            for unit in units:
                given = {i: Crop(t, network.value(i).full) for i, t in values.items()}
                if unit is not None:
                    silent = values[layer.response].clone()
                    network.maps(layer.response, silent, len(part)).select(1, unit).zero_()
                    given[layer.response] = Crop(silent, network.value(layer.response).full)
                logits = network.run([output], given, batch=len(part))[output]
                if logits.dim() != 2:
                    shape = tuple(logits.shape)
                    raise UsageError(
                        f"silencing counts correctly predicted images, but {geometry.kind} gives {shape}; use a classifier"
                    )
                rows.append(logits.argmax(1).cpu())
            parts.append(torch.stack(rows))
    return torch.cat(parts, 1)


def crossing(network: Network, response: int) -> list[int]:
    """The values that what follows a response reads from before it, and itself."""
    geometry = network.geometry
    after: set[int] = {response}
    needed: set[int] = {response}
    for record in geometry.records:
        if record.live and any(i in after for i in record.inputs):
            after.add(record.output)
            needed |= {i for i in record.inputs if geometry.values[i].varies and i not in after}
    return sorted(needed)


def silence(
    network: Network,
    layer: UnitLayer,
    unit: int,
    images: Tensor,
    labels: Tensor,
    classes: int,
    *,
    others: int = OTHERS,
    among: Iterable[int] | None = None,
    seed: int = 0,
) -> Silenced:
    """How accuracy changes, class by class, when one unit's responses are 0 everywhere.

    images (N, C, H, W), labels (N,). others: how many random units of the same layer are silenced in turn to compare;
    among: from which, all others if not given. Raises DataError for a set without images.
    """
    find_unit(layer, unit)
    if not len(images) or len(images) != len(labels):
        raise DataError(
            f"silencing needs images with a label each, got {len(images)} and {len(labels)}"
        )
    rng = np.random.default_rng(seed)
    pool = [u for u in (range(layer.units) if among is None else among) if u != unit]
    chosen = sorted(rng.permutation(pool)[:others].tolist()) if pool else []
    predicted = predictions(network, layer, [None, unit, *chosen], images)
    is_correct = (predicted == labels.unsqueeze(0)).numpy()
    truth = labels.numpy()
    counts = np.bincount(truth, minlength=classes)

    def by_class(row: np.ndarray) -> np.ndarray:
        hits = np.bincount(truth, weights=row, minlength=classes)
        return np.divide(hits, counts, out=np.full(classes, np.nan), where=counts > 0)

    difference = is_correct[1].astype(float) - is_correct[0]
    # Images change by -1, 0 or 1: their counts are drawn instead of the images.
    share = [(difference == d).mean() for d in (-1, 0, 1)]
    drawn = rng.multinomial(len(truth), share, size=RESAMPLES)
    low, high = np.quantile((drawn[:, 2] - drawn[:, 0]) / len(truth), [0.025, 0.975])
    return Silenced(
        accuracy=float(is_correct[0].mean()),
        without=float(is_correct[1].mean()),
        interval=(float(low), float(high)),
        per_class=by_class(is_correct[0]),
        without_per_class=by_class(is_correct[1]),
        counts=counts,
        others=tuple(chosen),
        random=is_correct[2:].mean(1) - is_correct[0].mean() if chosen else np.zeros(0),
        random_per_class=np.array(
            [by_class(r) - by_class(is_correct[0]) for r in is_correct[2:]]
        ).reshape(len(chosen), classes),
    )
