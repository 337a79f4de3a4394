"""Polygons to regions, pixel for pixel as COCO's own rasteriser draws them.

The outline is drawn as unit steps on a grid five times as fine; wherever it passes the middle of a column of pixels the
inside begins or ends (even-odd, so that a ring that crosses itself leaves holes), and the rings of an object are united
(Lin et al. 2014, "Microsoft COCO", and the mask API that came with it). Only the object's own box is ever held.
"""

from __future__ import annotations

import math

import numpy as np

from striate.errors import DataError
from striate.tasks.detect.data.annotations import FAR, Polygons
from striate.tasks.detect.objects import Region

FINE = 5  # steps a pixel
LONGEST = 20_000_000  # steps of one ring: four million pixels of outline
AT_ONCE = 1 << 18  # steps that are held, about 100 bytes each


def turned_box(box: tuple[float, float, float, float], degrees: float) -> Polygons:
    """The outline of a box that is turned about its middle. Raises DataError for places that are no numbers."""
    left, top, right, bottom = box
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return turned_ring(corners, ((left + right) / 2, (top + bottom) / 2), degrees)


def turned_ring(ring: np.ndarray, centre: tuple[float, float], degrees: float) -> Polygons:
    """A ring turned clockwise about its centre, as CVAT draws it. Raises DataError for places that are no numbers."""
    if not np.isfinite(ring).all():
        raise DataError("has places that are no numbers; it is left out")
    angle = math.radians(degrees)
    around = ring - centre
    x = around[:, 0] * math.cos(angle) - around[:, 1] * math.sin(angle)
    y = around[:, 0] * math.sin(angle) + around[:, 1] * math.cos(angle)
    return Polygons((np.stack([x, y], 1) + centre,))


def rasterise(polygons: Polygons, height: int, width: int) -> Region | None:
    """The pixels of an image (height, width) that the rings cover, or None where that is none.

    Raises DataError for numbers that are no places, or an outline too long to be meant.
    """
    marks = [m for ring in polygons.rings if len(ring) > 2 and (m := _marks(ring, height, width))]
    if not marks:
        return None
    left, right = min(int(c.min()) for c, _ in marks), max(int(c.max()) for c, _ in marks) + 1
    top, bottom = min(int(r.min()) for _, r in marks), max(int(r.max()) for _, r in marks)
    united = np.zeros((bottom - top + 1, right - left), dtype=np.uint8)
    for columns, rows in marks:
        inside = united if len(marks) == 1 else np.zeros_like(united)
        np.bitwise_xor.at(inside, (rows - top, columns - left), 1)
        np.bitwise_xor.accumulate(inside, axis=0, out=inside)
        if inside is not united:
            united |= inside
    mask = united[:-1].astype(bool)
    return Region.of(mask, top=top, left=left) if mask.any() else None


def has_ring_inside(polygons: Polygons) -> bool:
    """Whether a ring lies inside another one, as one that is meant as a hole does: by its box and its first point."""
    boxes = [np.concatenate([r.min(0), r.max(0)]) for r in polygons.rings if len(r)]
    for i, inner in enumerate(polygons.rings):
        for j, outer in enumerate(polygons.rings):
            if i == j or not len(inner) or not len(outer):
                continue
            low, high = boxes[i], boxes[j]
            if (
                (low[:2] > high[:2]).all()
                and (low[2:] < high[2:]).all()
                and _holds(outer, inner[0])
            ):
                return True
    return False


def _holds(ring: np.ndarray, point: np.ndarray) -> bool:
    """Whether a point (2,) lies inside a ring (k, 2): a ray from it crosses the ring an odd number of times."""
    (x, y), (x0, y0), (x1, y1) = point, ring.T, np.roll(ring, -1, axis=0).T
    over = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    return bool((over & (x < at)).sum() % 2)


def _marks(ring: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Columns and rows (m,) int64 at which the inside begins or ends, going down each column; None without any."""
    if not np.isfinite(ring).all() or np.abs(ring).max() > FAR:
        raise DataError("its outline has places that are no numbers, or millions of pixels away")
    first = np.trunc(FINE * ring + 0.5).astype(np.int64)
    last = np.roll(first, -1, axis=0)
    way = np.abs(last - first)
    steps = way.max(1)
    if steps.sum() > LONGEST:
        raise DataError(f"its outline is {steps.sum() / FINE / 1e6:,.0f} million pixels long")
    # Along its longer side an edge takes unit steps from its smaller end; the other side is rounded.
    along = np.where(way[:, 0] >= way[:, 1], 0, 1)
    edges = np.arange(len(ring))
    back = first[edges, along] > last[edges, along]
    begin = np.where(back[:, None], last, first)
    end = np.where(back[:, None], first, last)
    slope = (end - begin)[edges, 1 - along] / np.maximum(steps, 1)
    ends = np.cumsum(steps + 1)
    found = []
    for start in range(0, int(ends[-1]), AT_ONCE):
        # With the first step of the next part: the outline may pass a middle between the two.
        at = np.arange(start, min(start + AT_ONCE + 1, int(ends[-1])))
        edge = np.searchsorted(ends, at, side="right")
        step = at - (ends[edge] - steps[edge] - 1)
        step = np.where(back[edge], steps[edge] - step, step)
        straight = begin[edge, along[edge]] + step
        rounded = np.trunc(begin[edge, 1 - along[edge]] + slope[edge] * step + 0.5).astype(np.int64)
        flat = along[edge] == 0
        x, y = np.where(flat, straight, rounded), np.where(flat, rounded, straight)
        found.append(_passed(x, y))
    columns, rows = (np.concatenate(part) for part in zip(*found, strict=True))
    seen = (columns >= 0) & (columns < width)
    if not seen.any():
        return None
    # Rows are rounded up and cut at the image's borders.
    return columns[seen], np.clip(rows[seen], 0, height)


def _passed(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows (m,) int64 at which an outline of fine steps x, y (n,) int64 passes the middle of a column."""
    passed = np.flatnonzero(x[1:] != x[:-1])
    smaller = np.minimum(x[passed], x[passed + 1])
    # The middle of column c lies between the fine steps 5 c + 2 and 5 c + 3.
    middle = (smaller - 2) % FINE == 0
    columns = (smaller[middle] - 2) // FINE
    return columns, -((2 - np.minimum(y[passed], y[passed + 1])[middle]) // FINE)
