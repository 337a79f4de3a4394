"""Matching: which predicted object is which annotated one, by COCO's rules, at all thresholds at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

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


def shared(
    a: Region, b: Region, a_mask: np.ndarray | None = None, b_mask: np.ndarray | None = None
) -> int:
    """Pixels that two regions share. a_mask, b_mask: their masks (h, w) bool, where these are decoded already."""
    top, left = max(a.top, b.top), max(a.left, b.left)
    bottom = min(a.top + a.height, b.top + b.height)
    right = min(a.left + a.width, b.left + b.width)
    if top >= bottom or left >= right:
        return 0
    cut = [
        (r.mask if mask is None else mask)[
            top - r.top : bottom - r.top, left - r.left : right - r.left
        ]
        for r, mask in ((a, a_mask), (b, b_mask))
    ]
    return int(np.count_nonzero(cut[0] & cut[1]))


def _over_union(
    inside: np.ndarray, mine: np.ndarray, theirs: np.ndarray, crowd: np.ndarray
) -> np.ndarray:
    union = np.where(crowd[None], mine[:, None], mine[:, None] + theirs[None] - inside)
    return np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)


@dataclass(frozen=True, eq=False)
class _Flat:
    """The objects of N images one after another, those of an image by score and then as they came.

    images, labels, areas, crowd, scores: (n,); boxes: (n, 4). at: (n,) where each stands in its image. starts: (N + 1,)
    where each image's begin. ranks: (n,) place among those of its image and class.
    """

    images: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    scores: np.ndarray
    at: np.ndarray
    starts: np.ndarray
    ranks: np.ndarray

    @classmethod
    def of(cls, several: Sequence[Objects], *, most: int | None = None) -> _Flat:
        """Of each image's predictions the `most` best of each class, or all annotated objects if None."""
        counts = [len(o) for o in several]
        images = np.repeat(np.arange(len(several)), counts)
        at = np.concatenate([np.arange(n) for n in counts] or [np.zeros(0, np.int64)])

        def joined(name: str, shape: tuple[int, ...], kind: Any) -> np.ndarray:
            parts = [getattr(o, name) for o in several]
            return np.concatenate(parts) if parts else np.zeros(shape, kind)

        labels, boxes = joined("labels", (0,), np.int64), joined("boxes", (0, 4), np.float64)
        crowd, areas = joined("crowd", (0,), bool), joined("areas", (0,), np.float64)
        scores = np.zeros(len(labels))
        if most is not None:
            assert all(o.scores is not None for o in several), "predictions have scores"
            scores = joined("scores", (0,), np.float64)
            order = np.lexsort((-scores, images))  # stable: of equal scores the first comes first
        else:
            order = np.arange(len(labels))
        # Ranks: places within runs of one image and class.
        by_class = order[np.lexsort((labels[order], images[order]))]
        new = np.ones(len(order), dtype=bool)
        new[1:] = (np.diff(images[by_class]) != 0) | (np.diff(labels[by_class]) != 0)
        first = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[by_class] = np.arange(len(order)) - first
        kept = order if most is None else order[ranks[order] < most]
        starts = np.searchsorted(images[kept], np.arange(len(several) + 1))
        return cls(
            images[kept], labels[kept], boxes[kept], areas[kept], crowd[kept], scores[kept], at[kept], starts, ranks[kept]
        )  # fmt: skip

    def groups(self, classes: int) -> tuple[np.ndarray, np.ndarray]:
        """Which image and class each belongs to, as one number, sorted, and the order that sorts them."""
        keys = self.images * classes + self.labels
        order = np.argsort(keys, kind="stable")
        return keys[order], order


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
    predictions, truths = list(predictions), list(truths)
    assert len(predictions) == len(truths), "there are predictions of each image"
    ranges = np.array(list(SIZES.values()))
    p, t = _Flat.of(predictions, most=most), _Flat.of(truths)
    counted = ~(_outside(t.areas, ranges) | t.crowd)  # (S, n)
    shape = (len(ranges), len(thresholds), len(p.labels))
    found = np.zeros(shape, dtype=bool)
    ignored = np.repeat(_outside(p.areas, ranges)[:, None], len(thresholds), 1)
    least = np.minimum(thresholds, NEARLY_ONE)
    for mine, theirs in _chunks(p, t, len(ranges) * len(thresholds)):
        overlaps = _overlaps(p, t, mine, theirs, predictions, truths, overlap)
        _match_together(overlaps, mine, theirs, counted, t.crowd, least, found, ignored)
    made = []
    for i in range(len(truths)):
        at, to = slice(p.starts[i], p.starts[i + 1]), slice(t.starts[i], t.starts[i + 1])
        made.append(
            Matches(
                labels=p.labels[at], scores=p.scores[at], ranks=p.ranks[at], found=found[..., at], ignored=ignored[..., at],
                truth=t.labels[to], counted=counted[:, to],
            )
        )  # fmt: skip
    return made


def _outside(areas: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """(S, n) bool: whether each area lies outside each range."""
    outside: np.ndarray = (areas[None] < ranges[:, :1]) | (areas[None] > ranges[:, 1:])
    return outside


def _chunks(p: _Flat, t: _Flat, each: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Predictions and objects of one class in one image each, groups of like size together, as indices, -1 for none.

    (n, D) of predictions, best first and groups with most of them first, and (n, G) of objects, in reverse: the first of
    equal overlaps from here is the last in COCO's order.
    """
    classes = 1 + max(p.labels.max(initial=0), t.labels.max(initial=0))
    (p_keys, p_order), (t_keys, t_order) = p.groups(classes), t.groups(classes)
    keys = np.intersect1d(p_keys, t_keys)
    p_first, t_first = np.searchsorted(p_keys, keys), np.searchsorted(t_keys, keys)
    p_count = np.searchsorted(p_keys, keys, "right") - p_first
    t_count = np.searchsorted(t_keys, keys, "right") - t_first
    order = np.lexsort((-p_count, -t_count))
    start = 0
    while start < len(order):
        widest = int(t_count[order[start]])
        room = max(1, TOGETHER // (each * widest))
        # Of at least half the size, so that little is padded.
        stop = int(np.searchsorted(-2 * t_count[order], -widest, "right"))
        some = order[start : min(start + room, max(stop, start + 1))]
        start += len(some)
        some = some[np.argsort(-p_count[some], kind="stable")]
        d, g = np.arange(int(p_count[some].max())), np.arange(widest)
        mine = np.where(
            d < p_count[some, None], p_order[np.minimum(p_first[some, None] + d, len(p_order) - 1)], -1
        )  # fmt: skip
        last = t_first[some, None] + t_count[some, None] - 1
        theirs = np.where(g < t_count[some, None], t_order[np.maximum(last - g, 0)], -1)
        yield mine, theirs


def _overlaps(
    p: _Flat, t: _Flat, mine: np.ndarray, theirs: np.ndarray, predictions: Sequence[Objects], truths: Sequence[Objects],
    overlap: Overlap,
) -> np.ndarray:  # fmt: skip
    """(n, D, G) overlap of each group's predictions and objects; -1 where there is none."""
    there = (mine >= 0)[:, :, None] & (theirs >= 0)[:, None]
    a, b = p.boxes[mine][:, :, None], t.boxes[theirs][:, None]
    if overlap is box_overlap or overlap is region_overlap:
        sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
        inside = sides.clip(0).prod(-1)
        own, other = ((x[..., 2:] - x[..., :2]).clip(0).prod(-1) for x in (a, b))
        if overlap is region_overlap:
            own, other = p.areas[mine][:, :, None], t.areas[theirs][:, None]
            inside = _shared_pixels(p, t, mine, theirs, predictions, truths, (inside > 0) & there)
        union = np.where(t.crowd[theirs][:, None], own, own + other - inside)
        values = np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
    else:
        values = np.zeros(there.shape)
        for i in range(len(mine)):
            at, to = mine[i][mine[i] >= 0], theirs[i][theirs[i] >= 0]
            image = int(p.images[at[0]])
            made = overlap(predictions[image].take(p.at[at]), truths[image].take(t.at[to]))
            values[i, : len(at), : len(to)] = made
    return np.where(there, values, -1.0)


def _shared_pixels(
    p: _Flat, t: _Flat, mine: np.ndarray, theirs: np.ndarray, predictions: Sequence[Objects], truths: Sequence[Objects],
    touching: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """(n, D, G) pixels that the regions of each group share, where their boxes touch."""
    inside = np.zeros(touching.shape)
    masks: dict[tuple[int, int], np.ndarray] = {}

    def decoded(which: int, at: int, of: Region) -> np.ndarray:
        mask = masks.get((which, at))
        if mask is None:
            mask = masks[which, at] = of.mask
        return mask

    for i, d, g in zip(*(x.tolist() for x in np.nonzero(touching)), strict=True):
        at, to = int(mine[i, d]), int(theirs[i, g])
        of, other = predictions[p.images[at]].regions, truths[t.images[to]].regions
        assert of is not None and other is not None, "both sides need regions"
        a, b = of[p.at[at]], other[t.at[to]]
        inside[i, d, g] = shared(a, b, decoded(0, at, a), decoded(1, to, b))
    return inside


def _match_together(
    overlaps: np.ndarray, mine: np.ndarray, theirs: np.ndarray, counted: np.ndarray, crowds: np.ndarray,
    thresholds: np.ndarray, found: np.ndarray, ignored: np.ndarray,
) -> None:  # fmt: skip
    """Match groups of one class in one image each, most predictions first; what comes out is written into `found` and
    `ignored` (S, T, predictions)."""
    n, longest, widest = overlaps.shape
    skipped = ~counted[:, theirs].transpose(1, 0, 2)[:, :, None]  # (n, S, 1, G)
    crowd = crowds[theirs][:, None, None]
    taken = np.zeros((n, len(counted), len(thresholds), widest), dtype=bool)
    counts = (mine >= 0).sum(1)
    for d in range(longest):
        k = int((counts > d).sum())
        value = overlaps[:k, d, None, None, :]
        able = (value >= thresholds[None, None, :, None]) & (~taken[:k] | crowd[:k])
        regular = np.where(able & ~skipped[:k], value, -1.0)
        other = np.where(able & skipped[:k], value, -1.0)
        first, second = regular.argmax(-1), other.argmax(-1)
        has = np.take_along_axis(regular, first[..., None], -1)[..., 0] >= 0
        spare = np.take_along_axis(other, second[..., None], -1)[..., 0] >= 0
        which, hit = np.where(has, first, second), has | spare
        taken[(*np.nonzero(hit), which[hit])] = True
        at = mine[:k, d]
        found[:, :, at] = hit.transpose(1, 2, 0)
        # What takes an object that does not count does not count itself, whatever its own size; what takes one that
        # counts does.
        own = ignored[:, :, at]
        ignored[:, :, at] = np.where(hit.transpose(1, 2, 0), ~has.transpose(1, 2, 0), own)
