"""Whether the four numbers of boxes seem to mean something else than they are read as."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

ODD = 0.2  # share of boxes that must be impossible as they are read
ALL = 0.98  # and of those that are possible otherwise
FEWEST = 2
ROUNDING = 1.0  # pixels beyond the border that are none


def misreading(sets: Iterable[tuple[np.ndarray, int, int]]) -> str | None:
    """In words, that boxes would all be possible with width and height for right and bottom, or the other way round.

    sets: of each image its boxes (n, 4) left, top, right, bottom in pixels, its height and its width. None where they are
    possible as they are, or in neither way: a single one is a slip, which is mended and named by itself.
    """
    counts = np.zeros(5, dtype=np.int64)
    for boxes, height, width in sets:
        known = boxes[np.isfinite(boxes).all(1)]
        start, end = known[:, :2], known[:, 2:]
        size = np.array([width, height]) + ROUNDING
        inside = (start >= -ROUNDING).all(1)
        backwards, beyond = (end < start).any(1), (end > size).any(1)
        as_sides = inside & (end > 0).all(1) & (start + end <= size).all(1)
        sides = end - start
        as_corners = inside & (sides > start).all(1) & (sides <= size).all(1)
        counts += [len(known), backwards.sum(), as_sides.sum(), beyond.sum(), as_corners.sum()]
    total, backwards, as_sides, beyond, as_corners = counts.tolist()
    if backwards >= max(FEWEST, ODD * total) and as_sides >= ALL * total:
        return _sentence(backwards, total, "end before they begin", "width and height")
    if beyond >= max(FEWEST, ODD * total) and as_corners >= ALL * total:
        return _sentence(
            beyond, total, "reach beyond their images", "the right and the bottom edge"
        )
    return None


def _sentence(odd: int, total: int, what: str, meant: str) -> str:
    return (
        f"{odd:,} of {total:,} boxes {what}, and all would lie in their images if their last two numbers were {meant}; "
        "if they are, write them as the format has them: they are mended as they stand"
    )
