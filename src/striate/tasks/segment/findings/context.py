"""Is the context large enough: what the network sees around a pixel, against the objects that it must recognise."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.ndimage import find_objects, label

from striate.findings import Figure, Finding, Status, Table

LEAST = 20  # pixels; smaller spots are no objects
USED = 0.9  # share of the influence inside what counts as really used


def object_sides(masks: Iterable[np.ndarray], background: int | None = 0) -> np.ndarray:
    """The longer side of the bounding box of every connected component of every class, in pixels, (M,) int64.

    masks: (H, W) of class indices each; 255 is ignored, and so is `background`. Specks of few pixels are left out.
    """
    sides = []
    for mask in masks:
        for c in np.unique(mask).tolist():
            if c in (255, background):
                continue
            pieces, _ = label(mask == c)
            areas = np.bincount(pieces.ravel())[1:]
            for box, area in zip(find_objects(pieces), areas.tolist(), strict=True):
                if area >= LEAST:
                    sides.append(max(s.stop - s.start for s in box))
    return np.array(sides, dtype=np.int64)


def used_side(strength: np.ndarray) -> int:
    """Side of the smallest centred square that holds 90 % of an influence map (H, W), in pixels."""
    total = float(strength.sum())
    rows, cols = np.indices(strength.shape)
    centre = np.array([(n - 1) / 2 for n in strength.shape])
    ring = np.maximum(abs(rows - centre[0]), abs(cols - centre[1])).ravel()
    order = np.argsort(ring, kind="stable")
    reached = int(np.searchsorted(np.cumsum(strength.ravel()[order]), USED * total))
    last = order[min(reached, len(order) - 1)]
    return int(2 * ring[last]) + 1


def context(
    field: int | None, used: int, sides: np.ndarray, figures: tuple[Figure, ...] = ()
) -> Finding:
    """Whether a pixel's surroundings are large enough for the objects.

    field: side of the receptive field in pixels, None for the whole image; used: side of the square from which 90 % of
    the influence comes; sides: of the objects, (M,) in pixels.
    """
    if not len(sides):
        return Finding(
            name="context",
            title="How far it sees",
            verdict=f"A pixel's class depends on {_field(field)}; there are no objects to compare it with.",
            figures=figures,
        )
    typical, large = int(np.median(sides)), int(np.quantile(sides, 0.95))
    status: Status
    if used >= large:
        status, words = "good", "which is enough"
    elif used >= typical:
        status, words = "note", "enough for most objects, not for the largest"
    else:
        status, words = (
            "warning",
            "less than a typical object: large ones are recognised by their parts",
        )
    return Finding(
        name="context",
        title="How far it sees",
        verdict=(
            f"A pixel's class depends on {_field(field)}, and 90 % of the influence comes from {used} x {used}; objects are "
            f"{typical} pixels long in the middle and 95 % are shorter than {large}: {words}."
        ),
        status=status,
        advice=""
        if status != "warning"
        else "Train a deeper network (--set depth), or on images of half the size.",
        tables=(
            Table(
                columns=("what", "pixels"),
                rows=(
                    ("side of the receptive field", field),
                    ("side that holds 90 % of the influence", used),
                    ("objects, median of the longer side", typical),
                    ("objects, 95 % are shorter than", large),
                ),
                caption=f"{len(sides):,} objects (connected pixels of one class) in the training masks.",
            ),
        ),
        figures=figures,
        data={
            "receptive_field": field,
            "used": used,
            "objects": len(sides),
            "median": typical,
            "p95": large,
        },
    )


def _field(field: int | None) -> str:
    return "the whole image" if field is None else f"{field} x {field} pixels around it"
