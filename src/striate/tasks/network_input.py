"""Exactly what the network sees: each image as it enters, beside the original."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.errors import DataError
from striate.findings import Figure, Finding, Status, Table
from striate.pictures import as_image, beside
from striate.statistics.scores import ArrayLike
from striate.wording import percent

MUCH = 0.15  # of the picture's area, or of its proportions
LIMIT = 8


def as_seen(
    originals: Sequence[Any],
    seen: ArrayLike,
    lost_fractions: Sequence[float],
    keys: Sequence[str] | None = None,
    *,
    squeezes: Sequence[float] | None = None,
    limit: int = LIMIT,
) -> Finding:
    """The first `limit` images as they enter the network, beside their originals.

    originals: Pillow images or uint8 arrays, each of its own size; seen: uint8 (M, C, H, W), the
    same images as they enter, before normalisation; lost_fractions: share of each original's area
    that a crop throws away, 0..1, of these images or of the whole set (then longer); squeezes: by
    what factor one side is shrunk more than the other, 1 for none. Raises DataError if the inputs
    do not fit together.
    """
    lost = np.asarray(lost_fractions, dtype=np.float64)
    squeeze = np.ones(len(lost)) if squeezes is None else np.asarray(squeezes, dtype=np.float64)
    squeeze = np.maximum(squeeze, 1 / np.maximum(squeeze, 1e-9))  # 0.5 and 2 are the same harm
    count = len(originals)
    if count == 0 or len(seen) != count or len(lost) < count or len(squeeze) != len(lost):
        raise DataError(
            f"as_seen needs originals, seen and a lost fraction for each, got {count} originals, "
            f"{len(seen)} seen, "
            f"{len(lost)} lost fractions and {len(squeeze)} squeezes"
        )
    if keys is not None and len(keys) < count:
        raise DataError(
            f"as_seen: keys must be as many as the originals, got {len(keys)} for {count}"
        )
    columns: tuple[str, ...] = ("file", "original", "enters as", "cut away", "squeezed by")
    meaning = "Sizes in pixels, width × height; cut away: share of the original's area."
    if squeezes is None:
        columns = columns[:-1]
    else:
        meaning += " Squeezed by: how much more one side shrinks than the other."
    figures, rows = [], []
    for i in range(count):
        before, after = as_image(originals[i]), as_image(seen[i])
        key = str(keys[i]) if keys is not None else f"image {i}"
        sizes = f"{before.width} × {before.height}", f"{after.width} × {after.height}"
        rows.append((key, *sizes, float(lost[i]), float(squeeze[i]))[: len(columns)])
        if i >= limit:
            continue
        content, media = beside(before, after)
        cut = f", {percent(float(lost[i]))} cut away" if lost[i] > 0.001 else ""
        figures.append(
            Figure(
                content=content,
                media=media,
                caption=f"{key}: {sizes[0]} → {sizes[1]}{cut}",
                alt=f"Left: {key} as it is, {sizes[0]}. Right: what the network sees, {sizes[1]}",
            )
        )
    verdict, status, advice = _judge(lost, squeeze, sizes[1])
    return Finding(
        name="as-seen",
        title="Exactly what the network sees",
        verdict=verdict,
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=columns,
                rows=tuple(rows),
                formats=("", "", "", ".1%", ".2f")[: len(columns)],
                caption=meaning,
            ),
        ),
        figures=tuple(figures),
        data={
            "images": len(lost),
            "lost_mean": float(lost.mean()),
            "lost_most": float(lost.max()),
            "squeeze_mean": float(squeeze.mean()),
            "squeeze_most": float(squeeze.max()),
        },
    )


def _judge(lost: np.ndarray, squeeze: np.ndarray, size: str) -> tuple[str, Status, str]:
    mean, many = float(lost.mean()), float((lost > MUCH).mean())
    bent, bent_many = float(np.median(squeeze)), float((squeeze > 1 + MUCH).mean())
    if many > 0.05:
        return (
            f"Cropping to {size} throws away {percent(mean)} of an average image, "
            f"and more than {percent(MUCH)} of {percent(many)} of them: what lies at the edges is "
            "never seen.",
            "warning",
            "If what matters can lie near the edge, resize without cropping, or train at another "
            "aspect ratio.",
        )
    if bent_many > 0.05:
        return (
            f"Resizing to {size} squeezes the typical image by a factor of {bent:.2f} along one "
            "side, "
            f"and {percent(bent_many)} of them by more than {1 + MUCH:.2f}: shapes are distorted.",
            "warning",
            "If shape matters, crop or pad instead of squeezing.",
        )
    if mean > 0.001:
        return (
            f"Images enter at {size} pixels; an average image loses {percent(mean)} of its area to "
            "the crop.",
            "good",
            "",
        )
    return f"Images enter at {size} pixels, whole: nothing is cut away.", "good", ""
