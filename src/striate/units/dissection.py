"""Dissection: which named concept each unit finds, by the overlap of its strongest responses with annotated pixels.

Network dissection (Bau et al. 2017, 2020): a unit is thresholded at its own top quantile, its map is laid over the image,
and the concept of the largest intersection over union names it. Two passes: the first finds the thresholds, the second
counts pixels. What is held depends on units and concepts, not on images, but for maps of the deepest layers up to HELD
bytes, which need not be computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from striate.errors import DataError, UsageError
from striate.units.concepts import ConceptSet, Regions, in_order
from striate.units.counting import Batch, Counter
from striate.units.layers import UnitLayer
from striate.units.network import Network, evaluating
from striate.units.quantiles import TopValues
from striate.units.surrogates import Surrogates
from striate.units.top_images import batch_of

QUANTILE = 0.005  # of the published work
LEAST = 0.04  # IoU from which a unit counts as named in the published work
BY_CHANCE = 0.01  # share of chance's best overlaps that a name must be above
RESAMPLES = 100
SHUFFLES = 4  # times that the masks of other images are laid over the maps
RANDOM = 8  # phase-shuffled units of a layer
HELD = 2**29  # bytes of maps that are kept from the first pass to the second, at most
TOP = 4  # strongest images kept a unit

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class LayerDissection:
    """What the units of one layer find; U units, K concepts.

    thresholds (U,). iou (U, K) float64, nan for a concept without pixels. best (U,): the concept of the largest, -1 where a
    unit is nowhere above its threshold. low, high (U,): 95 % interval of that IoU, of resampled images. chance: the IoU that
    the best concept of a unit exceeds with probability 0.01 when masks of other images, of any folder of concepts, are laid
    over it; p (U,): how often those are as high as the unit's own, among `shuffled` such units and itself, so never below
    1 / (1 + shuffled). Of a single image there are none: chance is 0 and p is 1. random (R,): the best IoU of units with the
    same spectrum and random phases.
    images (U, T): where each responds most, strongest first.
    """

    layer: UnitLayer
    thresholds: Tensor
    iou: np.ndarray
    best: np.ndarray
    low: np.ndarray
    high: np.ndarray
    chance: float
    p: np.ndarray
    shuffled: int
    random: np.ndarray
    images: Tensor

    @property
    def score(self) -> np.ndarray:
        """(U,) the largest IoU, 0 where there is none."""
        return best_of(self.iou)

    @property
    def least_p(self) -> float:
        """The smallest p that there can be."""
        return 1 / (1 + self.shuffled)

    @property
    def bar(self) -> float:
        """The IoU from which a unit is named: the published 0.04, or what chance reaches where that is higher."""
        return max(LEAST, self.chance)

    @property
    def named(self) -> np.ndarray:
        """(U,) whether a unit has a name: above the bar, and not for the sake of one image that a resample lacks."""
        return (self.score > self.bar) & (self.best >= 0) & (self.low > 0)


@dataclass(frozen=True, eq=False)
class Dissection:
    """The units of some layers with their concepts. areas (K,): share of the annotated pixels that show each.

    images: how many were looked at. state_bytes: what was held between images, without the maps that were kept.
    """

    concepts: ConceptSet
    layers: tuple[LayerDissection, ...]
    areas: np.ndarray
    images: int
    quantile: float
    state_bytes: int


def best_of(iou: np.ndarray) -> np.ndarray:
    """The largest IoU over concepts (..., K), 0 where all are nan: (...)."""
    return np.nan_to_num(iou, nan=0.0).max(-1)


def mapped_layers(network: Network) -> list[UnitLayer]:
    """The layers whose units have a map over the image. Raises UsageError where there are none."""
    layers = [x for x in network.layers if len(x.grid) == 2 and x.grid[0] * x.grid[1] > 1]
    if not layers:
        raise UsageError(
            f"{network.geometry.kind} has no layer with maps over the image, and without places no overlap can be measured; "
            "dissect a convolutional network"
        )
    return layers


def dissect_units(
    network: Network,
    concepts: ConceptSet,
    *,
    layers: Sequence[UnitLayer] | None = None,
    quantile: float = QUANTILE,
    seed: int = 0,
    held_bytes: int = HELD,
    progress: Progress = lambda what, done, of: None,
) -> Dissection:
    """Name the units of layers by the concepts that they find.

    layers: which, all with maps if not given. quantile: share of a unit's responses that counts as on.
    held_bytes: of maps that are kept instead of being computed again, at most. Raises UsageError for
    a network or a layer without maps, DataError for a set without images or where no concept has a pixel, and for responses
    that are not finite.
    """
    chosen = mapped_layers(network) if layers is None else list(layers)
    for layer in chosen:
        if len(layer.grid) != 2:
            raise UsageError(
                f"{layer.name} has no map over the image, and without places there is no overlap; choose another layer"
            )
    if not concepts.count:
        raise DataError(f"{concepts.where} has no images; give concepts with at least one")
    at_once = max(SHUFFLES + 1, batch_of(network, [x.response for x in chosen]))
    # Folders of concepts come one after the other; in this order masks of one are shuffled over images of others, too.
    order = np.random.default_rng([seed, 1]).permutation(concepts.count)
    given, concepts = concepts, in_order(concepts, order)
    surrogates = {
        x.name: Surrogates(x, RANDOM, seed=seed + number) for number, x in enumerate(chosen)
    }
    tops = {
        x.name: TopValues(
            x.units + surrogates[x.name].count, x.grid[0] * x.grid[1], concepts.count, quantile, seed
        )
        for x in chosen
    }  # fmt: skip

    kept = _kept(chosen, surrogates, concepts.count, held_bytes)
    held: dict[int, dict[str, Tensor]] = {}
    starts = range(0, concepts.count, at_once)
    for start in starts:
        progress("thresholds", start, concepts.count)
        stop = min(start + at_once, concepts.count)
        maps = _maps(network, concepts, chosen, surrogates, start, stop)
        for name, values in maps.items():
            tops[name].take(values)
        held[start] = {name: maps[name] for name in kept}
    counters = {
        x.name: Counter(
            x, tops[x.name].thresholds(), concepts, network.size, shuffles=SHUFFLES, resamples=RESAMPLES, top=TOP
        )
        for x in chosen
    }  # fmt: skip
    rng = np.random.default_rng(seed)
    areas = np.zeros(len(concepts.names))
    known = np.zeros(len(concepts.names))
    again = [x for x in chosen if x.name not in kept]
    for start in starts:
        progress("overlaps", start, concepts.count)
        stop = min(start + at_once, concepts.count)
        maps = held.pop(start)
        if again:
            maps |= _maps(network, concepts, again, surrogates, start, stop)
        regions = [_fitting(concepts, i, network.size) for i in range(start, stop)]
        drawn = torch.from_numpy(rng.poisson(1, (len(regions), RESAMPLES)))
        rolls = [int(v) for v in rng.permutation(np.arange(1, len(regions)))[:SHUFFLES]]
        batch = Batch.of(regions, concepts)
        areas += batch.areas.sum(0).numpy()
        known += batch.known_pixels.sum(0).numpy()
        for name, values in maps.items():
            counters[name].take(values, batch, start, drawn, rolls)
    if not areas.any():
        raise DataError(
            f"no pixel of {concepts.where} shows a concept; look at the masks: what is shown must be above 0 in them"
        )
    return Dissection(
        concepts=given,
        layers=tuple(_finish(counters[x.name], x, surrogates[x.name].count, order) for x in chosen),
        areas=areas / np.maximum(known, 1),
        images=concepts.count,
        quantile=quantile,
        state_bytes=sum(c.bytes + tops[n].bytes for n, c in counters.items()),
    )


def _finish(counter: Counter, layer: UnitLayer, random: int, order: np.ndarray) -> LayerDissection:
    iou = counter.iou()
    if not bool(torch.isfinite(counter.thresholds).all()):
        raise DataError(
            f"{layer.name} gives responses that are not finite; check the images and the weights"
        )
    units = layer.units
    score = best_of(iou)[:units]
    best = np.where(score > 0, np.nan_to_num(iou[:units], nan=-1.0).argmax(-1), -1)
    low, high = counter.interval(best)
    shuffled = counter.shuffled(units)
    images = counter.images(units)
    images = torch.where(images < 0, images, torch.from_numpy(order)[images.clamp(min=0)])
    p = np.ones(units)
    chance = 0.0
    if shuffled.size:
        ordered = np.sort(shuffled)
        as_high = len(ordered) - np.searchsorted(ordered, score, side="left")
        p = (1 + as_high) / (1 + len(ordered))
        chance = float(np.quantile(ordered, 1 - BY_CHANCE))
    return LayerDissection(
        layer=layer, thresholds=counter.thresholds[:units], iou=iou[:units], best=best, low=low, high=high,
        chance=chance, p=p, shuffled=shuffled.size, random=best_of(iou)[units : units + random], images=images,
    )  # fmt: skip


def _kept(
    layers: Sequence[UnitLayer], surrogates: dict[str, Surrogates], images: int, most: int
) -> frozenset[str]:
    """The layers whose maps are kept from the first pass to the second, the deepest first: the rest is then cheap."""
    names, taken = set(), 0
    for layer in reversed(layers):
        taken += 4 * images * (layer.units + surrogates[layer.name].count) * prod(layer.grid)
        if taken > most:
            break
        names.add(layer.name)
    return frozenset(names)


def _maps(
    network: Network,
    concepts: ConceptSet,
    layers: Sequence[UnitLayer],
    surrogates: dict[str, Surrogates],
    start: int,
    stop: int,
) -> dict[str, Tensor]:
    """The maps of images `start` to `stop`, (n, U + R, h, w) of each layer, with those of its random units behind."""
    images = torch.from_numpy(np.stack([concepts.image(i) for i in range(start, stop)]))
    by_value: dict[int, list[UnitLayer]] = {}
    for layer in layers:
        by_value.setdefault(layer.response, []).append(layer)
    found: dict[str, Tensor] = {}

    def seen(index: int, tensor: Tensor) -> None:
        maps = network.maps(index, tensor, len(images)).cpu().float()
        for layer in by_value[index]:
            found[layer.name] = surrogates[layer.name].behind(maps, start)

    with evaluating(network.module), torch.inference_mode():
        pixels = network.images(images).contiguous(memory_format=torch.channels_last)
        network.forward(pixels, by_value, seen=seen)
    return found


def _fitting(concepts: ConceptSet, number: int, size: tuple[int, int]) -> Regions:
    regions = concepts.regions(number)
    if regions.number.shape != size:
        raise DataError(
            f"a mask of {concepts.where} has {regions.number.shape} pixels and its image {size}; export both at one size"
        )
    return regions
