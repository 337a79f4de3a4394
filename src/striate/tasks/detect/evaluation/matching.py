"""Matching: which predicted object is which annotated one, by COCO's rules, at all thresholds at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from striate.tasks.detect.boxes import intersection
from striate.tasks.detect.objects import Objects, Region

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Intersection over union from which on a prediction is the annotated object."""

SIZES: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""Areas in square pixels; both ends belong to a range, as in COCO."""

MOST = 100  # predictions of a class in an image that count
TOGETHER = 2**22  # comparisons that are made at once
NEARLY_ONE = 1 - 1e-10  # no threshold is higher, so that rounding does not lose a perfect box

Overlap = Callable[[Objects, Objects], np.ndarray]


@dataclass(frozen=True, eq=False)
class Matches:
    """What one image adds to average precision.

    labels, scores, ranks: (D,) class, score, and place among the image's predictions of that class, from 0.
    found: (S, T, D) bool, whether the prediction is an object, for each size range and threshold. ignored: (S, T, D) bool,
    whether it counts neither for nor against. truth: (G,) classes of the annotated objects; counted: (S, G) bool, whether
    each has to be found.
    """

    labels: np.ndarray
    scores: np.ndarray
    ranks: np.ndarray
    found: np.ndarray
    ignored: np.ndarray
    truth: np.ndarray
    counted: np.ndarray


def box_overlap(predictions: Objects, truth: Objects) -> np.ndarray:
    """(D, G) intersection over union of boxes; over the prediction's area alone where the truth is a crowd."""
    inside = intersection(predictions.boxes, truth.boxes)
    mine, theirs = (o.sides.clip(0).prod(1) for o in (predictions, truth))
    return _over_union(inside, mine, theirs, truth.crowd)


def region_overlap(predictions: Objects, truth: Objects) -> np.ndarray:
    """(D, G) the same of regions, pixel by pixel. Both sides need regions."""
    assert predictions.regions is not None and truth.regions is not None
    touching = intersection(predictions.boxes, truth.boxes) > 0
    inside = np.zeros((len(predictions), len(truth)))
    for i, j in zip(*np.nonzero(touching), strict=True):
        inside[i, j] = shared(predictions.regions[i], truth.regions[j])
    return _over_union(inside, predictions.areas, truth.areas, truth.crowd)


def shared(a: Region, b: Region) -> int:
    """Pixels that two regions share."""
    top, left = max(a.top, b.top), max(a.left, b.left)
    bottom = min(a.top + a.height, b.top + b.height)
    right = min(a.left + a.width, b.left + b.width)
    if top >= bottom or left >= right:
        return 0
    cut = [r.mask[top - r.top : bottom - r.top, left - r.left : right - r.left] for r in (a, b)]
    return int((cut[0] & cut[1]).sum())


def _over_union(
    inside: np.ndarray, mine: np.ndarray, theirs: np.ndarray, crowd: np.ndarray
) -> np.ndarray:
    union = np.where(crowd[None], mine[:, None], mine[:, None] + theirs[None] - inside)
    return np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)


@dataclass(eq=False)
class _Group:
    """The predictions and objects of one class in one image: where they stand in the image's arrays, and their overlap."""

    image: int
    at: np.ndarray  # (D,) indices of predictions, best first
    to: np.ndarray  # (G,) indices of objects
    overlaps: np.ndarray  # (D, G)


def match(
    predictions: Sequence[Objects], truths: Sequence[Objects], *, overlap: Overlap = box_overlap, most: int = MOST,
    thresholds: np.ndarray = THRESHOLDS,
) -> list[Matches]:  # fmt: skip
    """Match the predictions of N images with their annotated objects, at thresholds (T,).

    A prediction, best first, takes the free object of its class that it overlaps most, if by the threshold at least; an
    object of another size, or a crowd, only where there is no other, and then it does not count. Of equal overlaps the
    later object is taken, of equal scores the earlier prediction comes first, as in COCO.
    Source: Lin et al., "Microsoft COCO" (2014), and its evaluation code, whose numbers a test repeats.
    """
    ranges = np.array(list(SIZES.values()))
    made: list[Matches] = []
    groups: list[_Group] = []
    for image, (predicted, truth) in enumerate(zip(predictions, truths, strict=True)):
        kept, ranks = _best_of_each(predicted, most)
        predicted = predicted.take(kept)
        assert predicted.scores is not None
        shape = (len(ranges), len(thresholds), len(predicted))
        outside = _outside(predicted.areas, ranges)
        made.append(
            Matches(
                labels=predicted.labels,
                scores=predicted.scores,
                ranks=ranks,
                found=np.zeros(shape, dtype=bool),
                ignored=np.repeat(outside[:, None], len(thresholds), 1),
                truth=truth.labels,
                counted=~(_outside(truth.areas, ranges) | truth.crowd),
            )
        )
        for label in np.intersect1d(predicted.labels, truth.labels):
            at, to = np.flatnonzero(predicted.labels == label), np.flatnonzero(truth.labels == label)  # fmt: skip
            overlaps = overlap(predicted.take(at), truth.take(to))
            groups.append(_Group(image, at, to, overlaps))
    for chunk in _chunks(groups, len(ranges) * len(thresholds)):
        _match_together(chunk, made, truths, np.minimum(thresholds, NEARLY_ONE))
    return made


def _best_of_each(predicted: Objects, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the `most` best predictions of each class, best first, and their rank in it."""
    assert predicted.scores is not None, "predictions have scores"
    order = np.argsort(-predicted.scores, kind="stable")
    ranks = np.zeros(len(order), dtype=np.int64)
    labels = predicted.labels[order]
    for label in np.unique(labels):
        mine = labels == label
        ranks[mine] = np.arange(mine.sum())
    return order[ranks < most], ranks[ranks < most]


def _outside(areas: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """(S, n) bool: whether each area lies outside each range."""
    outside: np.ndarray = (areas[None] < ranges[:, :1]) | (areas[None] > ranges[:, 1:])
    return outside


def _chunks(groups: list[_Group], each: int) -> Iterator[list[_Group]]:
    """Groups of like size, so many together that their comparisons fit into memory."""
    groups = sorted(groups, key=lambda g: (len(g.to), len(g.at)), reverse=True)
    start = 0
    while start < len(groups):
        room = max(1, TOGETHER // (each * len(groups[start].to)))
        # Of at least half the size, so that little is padded.
        stop = start
        while stop < min(start + room, len(groups)) and 2 * len(groups[stop].to) >= len(groups[start].to):  # fmt: skip
            stop += 1
        yield sorted(groups[start:stop], key=lambda g: -len(g.at))
        start = stop


def _match_together(
    groups: list[_Group], made: list[Matches], truths: Sequence[Objects], thresholds: np.ndarray
) -> None:
    """Match groups of one class in one image each, most predictions first; what comes out is written into `made`."""
    n, widest = len(groups), max(len(g.to) for g in groups)
    longest = len(groups[0].at)
    sizes = made[0].found.shape[0]
    overlaps = np.full((n, longest, widest), -1.0)
    ignored = np.ones((n, sizes, 1, widest), dtype=bool)
    crowd = np.zeros((n, 1, 1, widest), dtype=bool)
    for i, group in enumerate(groups):
        d, g = group.overlaps.shape
        # Objects stand in reverse: the first of equal overlaps from here is the last in COCO's order.
        overlaps[i, :d, :g] = group.overlaps[:, ::-1]
        ignored[i, :, 0, :g] = ~made[group.image].counted[:, group.to[::-1]]
        crowd[i, 0, 0, :g] = truths[group.image].crowd[group.to[::-1]]
    taken = np.zeros((n, sizes, len(thresholds), widest), dtype=bool)
    counts = np.array([len(g.at) for g in groups])
    for d in range(longest):
        k = int((counts > d).sum())
        value = overlaps[:k, d, None, None, :]
        able = (value >= thresholds[None, None, :, None]) & (~taken[:k] | crowd[:k])
        regular = np.where(able & ~ignored[:k], value, -1.0)
        other = np.where(able & ignored[:k], value, -1.0)
        first, second = regular.argmax(-1), other.argmax(-1)
        has = np.take_along_axis(regular, first[..., None], -1)[..., 0] >= 0
        spare = np.take_along_axis(other, second[..., None], -1)[..., 0] >= 0
        which, hit = np.where(has, first, second), has | spare
        taken[(*np.nonzero(hit), which[hit])] = True
        for row, group in enumerate(groups[:k]):
            matches, place = made[group.image], group.at[d]
            matches.found[:, :, place] = hit[row]
            # What takes an object that does not count does not count itself, whatever its own size; what takes one that
            # counts does.
            own = matches.ignored[:, :, place]
            matches.ignored[:, :, place] = np.where(hit[row], ~has[row], own)
