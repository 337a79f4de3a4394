"""Placing: what becomes of objects, of their masks where they have some, when a probe changes their image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.tasks.detect.boxes import intersection
from striate.tasks.detect.cutting import LEAST_SEEN, cut, moved
from striate.tasks.detect.evaluation.matching import Overlap, box_overlap, region_overlap
from striate.tasks.detect.objects import Objects, Region


def measure_of(truths: Sequence[Objects]) -> Overlap:
    """How far two objects overlap: by their masks where all that are annotated have some, else by their boxes."""
    some = [t for t in truths if len(t)]
    masks = bool(some) and all(t.regions is not None for t in some)
    return region_overlap if masks else box_overlap


def scaled(objects: Objects, down: float, across: float) -> Objects:
    """The objects in an image that is so many times as high and as wide."""
    if objects.regions is None:
        boxes = objects.boxes * [across, down, across, down]
        return Objects.of(boxes, objects.labels, crowd=objects.crowd)
    return _around(objects, [region.scaled(down, across) for region in objects.regions])


def inside(objects: Objects, size: tuple[int, int]) -> Objects:
    """Predicted objects cut at the border of an image (height, width); of masks those that have a pixel in it."""
    boxes = objects.boxes.clip(0, [size[1], size[0], size[1], size[0]])
    if objects.regions is None:
        return Objects.of(boxes, objects.labels, crowd=objects.crowd, scores=objects.scores)
    parts = [part_of(region, 0, 0, *size) for region in objects.regions]
    kept = [i for i, part in enumerate(parts) if part is not None]
    chosen = objects.take(np.array(kept, dtype=np.int64))
    regions = [part for part in parts if part is not None]
    return Objects.of(boxes[kept], chosen.labels, crowd=chosen.crowd, scores=chosen.scores, regions=regions)  # fmt: skip


def window_of(objects: Objects, top: int, left: int, height: int, width: int) -> Objects:
    """The objects that a part of the image from (top, left) on shows; one that is seen by less than a quarter is a crowd."""
    if objects.regions is None:
        return cut(moved(objects, 1.0, -left, -top), height, width)
    parts = [part_of(region, top, left, height, width) for region in objects.regions]
    kept = [i for i, part in enumerate(parts) if part is not None]
    chosen = objects.take(np.array(kept, dtype=np.int64))
    regions = [part for part in parts if part is not None]
    share = np.array([part.area for part in regions]) / np.maximum(chosen.areas, 1)
    made = _around(chosen, regions)
    return Objects.of(
        made.boxes, made.labels, crowd=made.crowd | (share < LEAST_SEEN), regions=regions
    )


def part_of(region: Region, top: int, left: int, height: int, width: int) -> Region | None:
    """The pixels of a region in the window of that size from (top, left) on, counted from there; None without any."""
    first, last = max(region.top, top), min(region.top + region.height, top + height)
    start, stop = max(region.left, left), min(region.left + region.width, left + width)
    if first >= last or start >= stop:
        return None
    mask = region.mask[first - region.top : last - region.top, start - region.left : stop - region.left]  # fmt: skip
    return Region.of(mask, first - top, start - left) if mask.any() else None


def covered(objects: Objects, front: np.ndarray, hidden: float) -> tuple[Objects, np.ndarray]:
    """The objects behind pixels laid over a box (4,): what is left of their masks, and which of them (n,) have lost more
    than the share `hidden`; these keep what they had."""
    if objects.regions is None:
        under = intersection(objects.boxes, front[None])[:, 0]
        return objects, under > hidden * np.maximum(objects.sides.prod(1), 1e-9)
    regions: list[Region] = []
    lost = np.zeros(len(objects), dtype=bool)
    left, top, right, bottom = np.rint(front).astype(int).tolist()
    for i, region in enumerate(objects.regions):
        mask = region.mask
        rows = slice(max(top - region.top, 0), max(bottom - region.top, 0))
        columns = slice(max(left - region.left, 0), max(right - region.left, 0))
        mask[rows, columns] = False
        lost[i] = mask.sum() < (1 - hidden) * region.area
        regions.append(region if lost[i] else Region.of(mask, region.top, region.left))
    return _around(objects, regions), lost


def share_left(objects: Objects, at: int, before: Objects, was: int) -> float:
    """Which share of object `was` of `before` object `at` is: of its pixels, or of its box."""
    if objects.regions is None:
        return float(objects.sides[at].prod() / before.sides[was].prod())
    return float(objects.areas[at] / before.areas[was])


def where_cut(objects: Objects, at: int, axis: int, shown: float, *, start: bool) -> int:
    """The pixel of an axis (0: of columns) at which a cut leaves the share `shown` of an object. start: of its beginning is
    cut off."""
    low, high = objects.boxes[at, axis], objects.boxes[at, axis + 2]
    if objects.regions is None:
        edge = low + (1 - shown) * (high - low) if start else high - (1 - shown) * (high - low)
        return round(edge)
    counts = objects.regions[at].mask.sum(axis)
    left = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()  # of the share before each edge
    share = 1 - left if start else left
    return int(low) + int(np.abs(share - shown).argmin())


def _around(objects: Objects, regions: Sequence[Region]) -> Objects:
    boxes = np.array([region.box for region in regions], dtype=np.float64).reshape(-1, 4)
    return Objects.of(boxes, objects.labels, crowd=objects.crowd, scores=objects.scores, regions=regions)  # fmt: skip
