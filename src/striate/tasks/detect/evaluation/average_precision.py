"""Average precision: the area under the curve of precision over recall, as COCO reckons it, with weighted images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.tasks.detect.evaluation.matching import MOST, SIZES, THRESHOLDS, Matches

RECALLS = np.linspace(0.0, 1.0, 101)
"""Recalls at which precision is read."""

AT_ONCE = 2**20  # numbers of curves that are reckoned at once


@dataclass(frozen=True, eq=False)
class Curves:
    """Precision and recall of every class.

    precision: (S, T, R, K) at the recalls of RECALLS, for each size range and threshold; -1 where a class has no object
    that counts. recall: (S, T, K) the highest recall; -1 likewise.
    """

    precision: np.ndarray
    recall: np.ndarray


@dataclass(frozen=True, eq=False)
class Pooled:
    """The predictions of one class in all images, best first.

    images: (D,) which image each is from. found, ignored: (S, T, D). positives: (S, N) objects of each image that count.
    """

    images: np.ndarray
    scores: np.ndarray
    found: np.ndarray
    ignored: np.ndarray
    positives: np.ndarray


def pool(matches: Sequence[Matches], classes: int, *, most: int = MOST) -> list[Pooled]:
    """The matches of N images sorted into classes; of each image only the `most` best predictions of a class."""
    n = len(matches)
    sizes = len(SIZES)
    thresholds = matches[0].found.shape[1] if n else len(THRESHOLDS)
    counts = [len(m.scores) for m in matches]
    images = np.repeat(np.arange(n), counts)
    labels = _joined([m.labels for m in matches], np.zeros(0, dtype=np.int64))
    scores = _joined([m.scores for m in matches], np.zeros(0))
    ranks = _joined([m.ranks for m in matches], np.zeros(0, dtype=np.int64))
    empty = np.zeros((sizes, thresholds, 0), dtype=bool)
    found = _joined([m.found for m in matches], empty)
    ignored = _joined([m.ignored for m in matches], empty)
    positives = np.zeros((classes, sizes, n), dtype=np.int64)
    for i, m in enumerate(matches):
        for s in range(sizes):
            positives[:, s, i] = np.bincount(m.truth[m.counted[s]], minlength=classes)[:classes]
    pooled = []
    for label in range(classes):
        at = np.flatnonzero((labels == label) & (ranks < most))
        # Within an image best first, images in their order: ties fall as in COCO.
        at = at[np.argsort(-scores[at], kind="stable")]
        pooled.append(
            Pooled(images[at], scores[at], found[..., at], ignored[..., at], positives[label])
        )
    return pooled


def _joined(parts: list[np.ndarray], empty: np.ndarray) -> np.ndarray:
    return np.concatenate(parts, -1) if parts else empty


def curves(pooled: Sequence[Pooled], weights: np.ndarray | None = None) -> Curves:
    """Precision and recall of K classes. weights: (N,) how often each image counts; once if None."""
    k = len(pooled)
    sizes, thresholds = pooled[0].found.shape[:2] if k else (len(SIZES), len(THRESHOLDS))
    precision = np.full((sizes, thresholds, len(RECALLS), k), -1.0)
    recall = np.full((sizes, thresholds, k), -1.0)
    for label, one in enumerate(pooled):
        often = np.ones(one.positives.shape[1]) if weights is None else weights
        objects = one.positives @ often
        each = often[one.images]
        right = np.cumsum((one.found & ~one.ignored) * each, -1, dtype=np.float64)
        wrong = np.cumsum((~one.found & ~one.ignored) * each, -1, dtype=np.float64)
        for s in np.flatnonzero(objects > 0):
            for t in range(thresholds):
                precision[s, t, :, label], recall[s, t, label] = curve(
                    right[s, t], wrong[s, t], objects[s]
                )
    return Curves(precision, recall)


def curve(right: np.ndarray, wrong: np.ndarray, objects: float) -> tuple[np.ndarray, float]:
    """(precision at RECALLS (R,), highest recall) from how many of the best (D,) predictions are right and wrong."""
    values = np.zeros(len(RECALLS))
    if not len(right):
        return values, 0.0
    recalls = right / objects
    precisions = right / (right + wrong + np.spacing(1))
    # Precision at a recall is the best that any higher recall reaches.
    best = np.maximum.accumulate(precisions[::-1])[::-1]
    at = np.searchsorted(recalls, RECALLS, side="left")
    reached = at < len(best)
    values[reached] = best[at[reached]]
    return values, float(recalls[-1])


def weighted(pooled: Sequence[Pooled], weights: np.ndarray) -> np.ndarray:
    """Average precision of each class at each threshold, whatever the objects' size: (R, T, K); nan without objects.

    weights: (R, N), how often each image counts, such as in R resamples.
    """
    thresholds = pooled[0].found.shape[1] if pooled else len(THRESHOLDS)
    scores = np.full((len(weights), thresholds, len(pooled)), np.nan)
    for label, one in enumerate(pooled):
        # Most thresholds leave the same predictions out.
        kinds, which = np.unique(one.ignored[0], axis=0, return_inverse=True)
        rows = max(1, AT_ONCE // max(1, one.found.shape[-1]))
        for start in range(0, len(weights), rows):
            often = weights[start : start + rows].astype(np.float64)
            objects = often @ one.positives[0]
            known = objects > 0
            for kind, ignored in enumerate(kinds):
                counts = np.flatnonzero(~ignored)
                each = often[:, one.images[counts]]
                seen = np.cumsum(each, 1)
                for t in np.flatnonzero(which.ravel() == kind):
                    # Precision rises at hits alone, and is read at the first one that reaches a recall.
                    hits = np.flatnonzero(one.found[0, t, counts])
                    right = np.cumsum(each[:, hits], 1)
                    means = _mean_precision(
                        right, seen[:, hits] - right, np.maximum(objects, 1)[:, None]
                    )
                    scores[start : start + rows, t, label] = np.where(known, means, np.nan)
    return scores


def _mean_precision(right: np.ndarray, wrong: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """(R,) mean over RECALLS of what `curve` gives, of many curves (R, D) at once."""
    *shape, depth = right.shape
    if not depth:
        return np.zeros(shape)
    recalls = (right / objects).reshape(-1, depth)
    precisions = (right / (right + wrong + np.spacing(1))).reshape(-1, depth)
    best = np.maximum.accumulate(precisions[:, ::-1], 1)[:, ::-1]
    # One search for all curves, each moved by 2 to lie above the one before; what rounding moved is put right: back to the
    # first prediction that reaches the same recall, or on to the next.
    rises = np.diff(recalls, axis=1, prepend=-1.0) > 0
    first = np.maximum.accumulate(np.where(rises, np.arange(depth), 0), 1)
    following = np.minimum.accumulate(np.where(rises, np.arange(depth), depth)[:, ::-1], 1)[:, ::-1]
    following = np.concatenate([following[:, 1:], np.full((len(rises), 1), depth)], 1)
    rows = np.arange(len(recalls))[:, None]
    at = np.searchsorted((recalls + 2.0 * rows).ravel(), (RECALLS[None] + 2.0 * rows).ravel())
    at = at.reshape(-1, len(RECALLS)) - rows * depth
    before = np.take_along_axis(recalls, (at - 1).clip(0), 1)
    back = np.take_along_axis(first, (at - 1).clip(0), 1)
    at = np.where((at > 0) & (before >= RECALLS), back, at)
    here = np.take_along_axis(recalls, at.clip(max=depth - 1), 1)
    on = np.take_along_axis(following, at.clip(max=depth - 1), 1)
    at = np.where((at < depth) & (here < RECALLS), on, at)
    values = np.take_along_axis(best, at.clip(max=depth - 1), 1)
    means: np.ndarray = np.where(at < depth, values, 0.0).mean(1).reshape(shape)
    return means


def mean(values: np.ndarray) -> float:
    """The mean of the values (*size) that are known, above -1; nan where none is."""
    known = values[values > -1]
    return float(known.mean()) if known.size else float("nan")


def summary(matches: Sequence[Matches], classes: int) -> dict[str, float]:
    """COCO's twelve numbers: AP over all thresholds, at 0.50 and 0.75, by size, and average recall.

    nan where no object counts. Those of 1 and 10 predictions an image are recalls with at most so many of each class.
    """
    whole = curves(pool(matches, classes))
    few = {n: curves(pool(matches, classes, most=n)) for n in (1, 10)}
    names = list(SIZES)
    scores = {
        "ap": mean(whole.precision[0]),
        "ap50": mean(whole.precision[0, 0]),
        "ap75": mean(whole.precision[0, 5]),
    }
    scores |= {f"ap_{name}": mean(whole.precision[names.index(name)]) for name in names[1:]}
    scores |= {f"ar{n}": mean(c.recall[0]) for n, c in few.items()}
    scores["ar100"] = mean(whole.recall[0])
    scores |= {f"ar_{name}": mean(whole.recall[names.index(name)]) for name in names[1:]}
    return scores
