"""Turning: boxes and outlines that lie on the stored pixels of a photograph with an EXIF orientation, made upright."""

from __future__ import annotations

import numpy as np

from striate.images.pixels import stored_box, upright
from striate.tasks.detect.data.annotations import Outline, Polygons
from striate.tasks.detect.objects import Region

_SWAPPED = range(5, 9)  # orientations that make the width the height


def upright_points(points: np.ndarray, orientation: int, height: int, width: int) -> np.ndarray:
    """Places (n, 2), x and y on stored pixels, where they lie in the upright image (height, width)."""
    transposed = orientation in _SWAPPED
    x, y = (points[:, 1], points[:, 0]) if transposed else (points[:, 0], points[:, 1])
    # Where the stored image's first corner lies tells which ways are mirrored.
    rows, columns = stored_box(orientation, (height, width), (0, 1), (0, 1))
    first = (columns[0] == 0, rows[0] == 0) if not transposed else (rows[0] == 0, columns[0] == 0)
    return np.stack([x if first[0] else width - x, y if first[1] else height - y], 1)


def upright_boxes(boxes: np.ndarray, orientation: int, height: int, width: int) -> np.ndarray:
    """Boxes (n, 4) on stored pixels, in the upright image (height, width)."""
    first = upright_points(boxes[:, :2], orientation, height, width)
    last = upright_points(boxes[:, 2:], orientation, height, width)
    return np.concatenate([np.minimum(first, last), np.maximum(first, last)], 1)


def upright_outline(outline: Outline, orientation: int, height: int, width: int) -> Outline:
    """An outline on stored pixels, in the upright image (height, width)."""
    if isinstance(outline, Polygons):
        return Polygons(tuple(upright_points(r, orientation, height, width) for r in outline.rings))
    box = upright_boxes(np.array([outline.box]), orientation, height, width)[0]
    mask = upright(outline.mask[..., None], orientation)[..., 0]
    return Region.of(mask, top=int(box[1]), left=int(box[0]))


def scaled_outline(outline: Outline, across: float, down: float) -> Outline | None:
    """An outline with x times `across` and y times `down`; pixels of a mask cannot be, and are None."""
    if isinstance(outline, Polygons):
        return Polygons(tuple(r * (across, down) for r in outline.rings))
    return outline if across == down == 1 else None
