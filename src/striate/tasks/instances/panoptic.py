"""Panoptic quality: how many objects are found, and how well their pixels fit, with every pixel given to one object."""

from __future__ import annotations

import numpy as np

from striate.tasks.detect.evaluation.matching import region_overlap, shared
from striate.tasks.detect.objects import Objects, Region
from striate.tasks.detect.ties import SCORE, steps

FOUND = 0.5  # overlap above which a segment is the object; no two can be, where none overlap one another
LEFT = 0.5  # share of a mask that better ones must leave of it


def apart(objects: Objects) -> Objects:
    """The objects with every pixel given to the best that has it, best first; see `apart_at`."""
    return apart_at(objects)[0]


def apart_at(objects: Objects) -> tuple[Objects, list[int]]:
    """The objects with every pixel given to the best that has it; one of which less than half is left is left out.

    Boxes are those of what is left. Also which of the objects these are. What is left of one depends on better ones alone;
    of equal scores, see `steps`, the one that lies further up, or left, is the better.
    Source: Kirillov et al., "Panoptic segmentation" (2019), section 4.2.
    """
    assert objects.scores is not None and objects.regions is not None
    kept: list[int] = []
    regions: list[Region] = []
    boxes = np.zeros((len(objects), 4))
    places = np.array([(r.left, r.top) for r in objects.regions]).reshape(-1, 2)
    order = np.lexsort((*places.T, objects.labels, -steps(objects.scores, SCORE)))
    for i in order.tolist():
        region = objects.regions[i]
        mask, area = region.mask, region.area
        left, top, right, bottom = region.box
        near = boxes[: len(kept)]
        touching = (near[:, 0] < right) & (near[:, 2] > left) & (near[:, 1] < bottom) & (near[:, 3] > top)  # fmt: skip
        for j in np.flatnonzero(touching).tolist():
            _clear(mask, region, regions[j])
        if not mask.any() or mask.sum() < LEFT * area:
            continue
        regions.append(Region.of(mask, top=region.top, left=region.left))
        boxes[len(kept)] = regions[-1].box
        kept.append(i)
    chosen = objects.take(np.array(kept, dtype=np.int64))
    made = Objects.of(boxes[: len(kept)], chosen.labels, scores=chosen.scores, regions=regions)
    assert chosen.scores is not None
    best = np.argsort(-chosen.scores, kind="stable")
    return made.take(best), [kept[i] for i in best.tolist()]


def _clear(mask: np.ndarray, region: Region, other: Region) -> None:
    """Take the pixels of `other` out of the mask of `region`."""
    top, left = max(region.top, other.top), max(region.left, other.left)
    bottom = min(region.top + region.height, other.top + other.height)
    right = min(region.left + region.width, other.left + other.width)
    rows, columns = slice(top - region.top, bottom - region.top), slice(left - region.left, right - region.left)  # fmt: skip
    theirs = other.mask[
        top - other.top : bottom - other.top, left - other.left : right - other.left
    ]
    mask[rows, columns] &= ~theirs


def panoptic_counts(predicted: Objects, truth: Objects, classes: int) -> np.ndarray:
    """(K, 4) float64 of one image: overlaps of the found objects summed, found, invented and missed ones of each class.

    predicted: with no pixel in two of them, see `apart`. A segment of which more than half lies on crowds of its class
    counts neither for nor against. Source: Kirillov et al. (2019), equation 1, and COCO's evaluation code.
    """
    counts = np.zeros((classes, 4))
    regular = truth.take(~truth.crowd)
    crowds = truth.take(truth.crowd)
    taken = np.zeros(len(regular), dtype=bool)
    right = np.zeros(len(predicted), dtype=bool)
    if len(predicted) and len(regular):
        overlaps = region_overlap(predicted, regular)
        overlaps[predicted.labels[:, None] != regular.labels[None]] = 0
        for place in np.argsort(-overlaps, axis=None, kind="stable").tolist():
            i, j = divmod(place, len(regular))
            if overlaps[i, j] <= FOUND:
                break
            if not (right[i] or taken[j]):  # annotated regions may overlap
                right[i] = taken[j] = True
                counts[predicted.labels[i], :2] += overlaps[i, j], 1
    for i in np.flatnonzero(~right).tolist():
        counts[predicted.labels[i], 2] += not _on_crowd(predicted, i, crowds)
    counts[:, 3] += np.bincount(regular.labels[~taken], minlength=classes)[:classes]
    return counts


def _on_crowd(predicted: Objects, i: int, crowds: Objects) -> bool:
    if not len(crowds):
        return False
    assert predicted.regions is not None and crowds.regions is not None
    region = predicted.regions[i]
    mine = np.flatnonzero(crowds.labels == predicted.labels[i])
    return sum(shared(region, crowds.regions[j]) for j in mine) > 0.5 * region.area


def panoptic_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """{"pq", "sq", "rq"} (R,) from counts (R, K, 4), see `panoptic_counts`: the means over the classes that occur."""
    overlaps, found, invented, missed = np.moveaxis(counts, -1, 0)
    asked = found + invented / 2 + missed / 2
    occur = asked > 0
    sq = np.divide(overlaps, found, out=np.zeros_like(overlaps), where=found > 0)
    rq = np.divide(found, asked, out=np.zeros_like(overlaps), where=occur)
    classes = np.maximum(occur.sum(-1), 1)
    return {
        name: np.where(occur, values, 0.0).sum(-1) / classes
        for name, values in (("pq", sq * rq), ("sq", sq), ("rq", rq))
    }
