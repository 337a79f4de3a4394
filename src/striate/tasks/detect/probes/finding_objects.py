"""Finding objects: what a probe's network finds in changed images, and which objects are found, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from striate.borrow import forward
from striate.tasks.detect.evaluation.kinds import Judged, judge
from striate.tasks.detect.evaluation.matching import box_overlap
from striate.tasks.detect.evaluation.threshold import USUAL, best_threshold
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.probes.placing import inside, measure_of

PIXELS = 2**18  # of images that go through the network at once


class Share(NamedTuple):
    """A share of objects with its 95 % interval over resampled images, and of how many objects it is."""

    value: float
    low: float
    high: float
    objects: int


def truths_of(context: Any) -> list[Objects]:
    """The annotated objects of the context's images."""
    truths: list[Objects] = context.metric.truths(context.targets)
    return truths


def predictions_of(context: Any, images: Tensor) -> list[Objects]:
    """What the network finds in images (N, C, H, W) in [0, 1], which may have another size than the context's."""
    size = (images.shape[-2], images.shape[-1])
    found: list[Objects] = []
    for part in images.split(max(1, PIXELS // (size[0] * size[1]))):
        with torch.inference_mode():
            made = context.metric.decode(forward(context.model, part), len(context.classes))
        found += [inside(objects, size) for objects in made]  # a map's last cells may reach beyond
    return found


def judged_of(
    predictions: Sequence[Objects], truths: Sequence[Objects], sure: float
) -> list[Judged]:
    """Every image's predictions of a score of `sure` and more, judged by masks where objects have them, else by boxes."""
    measure = measure_of(truths)
    return [judge(p.sure(sure), t, measure) for p, t in zip(predictions, truths, strict=True)]


def sure_of(predictions: Sequence[Objects], truths: Sequence[Objects]) -> float:
    """The score from which on an object counts: the one of the best F1 on images as they are."""
    measure = measure_of(truths)
    chosen = best_threshold(
        [judge(p, t, measure) for p, t in zip(predictions, truths, strict=True)]
    )
    return USUAL if chosen is None else chosen


def share_of(context: Any, hits: np.ndarray, counts: np.ndarray) -> Share:
    """The share of objects that are hits, with its interval. hits, counts: (N,) of each of the context's images."""
    total = int(counts.sum())
    if not total:
        return Share(float("nan"), float("nan"), float("nan"), 0)
    drawn = context.draws
    asked = drawn @ counts
    shares = (drawn @ hits)[asked > 0] / asked[asked > 0]
    low, high = np.quantile(shares, (0.025, 0.975))
    return Share(float(hits.sum() / total), float(low), float(high), total)


def what_of(truths: Sequence[Objects]) -> str:
    """What of an object is judged, in a word."""
    return "box" if measure_of(truths) is box_overlap else "mask"


def regular(objects: Objects) -> np.ndarray:
    """(n,) indices of the objects that are to be found."""
    return np.flatnonzero(~objects.crowd)
