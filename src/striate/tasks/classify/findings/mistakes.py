"""The most confident mistakes, as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from striate.errors import DataError
from striate.findings import Figure, Finding, Status, Table
from striate.pictures import thumbnail
from striate.statistics.scores import ArrayLike, Scores

LIMIT = 24
SURE = 0.9


def mistakes(
    probabilities: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    images: ArrayLike | Callable[[int], Any],
    keys: Sequence[str] | None = None,
    *,
    limit: int = LIMIT,
) -> Finding:
    """The `limit` (at most 24) mistakes that the network was surest of, each as a picture.

    images: uint8 (N, C, H, W), or a callable from index to one image; keys: N file names. Raises
    DataError if the inputs do not fit together.
    """
    scores = Scores.of(probabilities, labels, classes)
    n = len(scores)
    for what, given in (("images", images), ("keys", keys)):
        if given is not None and not callable(given) and len(given) != n:
            raise DataError(
                f"mistakes: {what} must be as many as the labels, got {len(given)} for {n}"
            )
    wrong = np.flatnonzero(~scores.correct)
    ordered = wrong[np.argsort(-scores.confidence[wrong], kind="stable")]
    figures, rows = [], []
    for rank, i in enumerate(map(int, ordered[: min(limit, LIMIT)]), 1):
        image = images(i) if callable(images) else images[i]
        content, media = thumbnail(image)
        true, predicted = scores.classes[scores.labels[i]], scores.classes[scores.predicted[i]]
        sure = f"{np.floor(100 * scores.confidence[i]):.0f} %"  # never rounded up to a certainty
        figures.append(
            Figure(
                content=content,
                media=media,
                caption=f"{true} → {predicted}, {sure}",
                alt=f"Mistake {rank}: a {true}, taken for {predicted} with {sure}",
            )
        )
        rows.append(
            (
                rank,
                str(keys[i]) if keys is not None else f"image {i}",
                true,
                predicted,
                float(scores.confidence[i]),
                float(scores.probabilities[i, scores.labels[i]]),
            )
        )
    sure_of = int((scores.confidence[wrong] > SURE).sum())
    verdict, status, advice = _judge(len(wrong), sure_of, n)
    return Finding(
        name="mistakes",
        title="Its most confident mistakes",
        verdict=verdict,
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=(
                    "no.",
                    "file",
                    "true class",
                    "taken for",
                    "confidence",
                    "gave the true class",
                ),
                rows=tuple(rows),
                formats=("", "", "", "", ".1%", ".1%"),
                caption="These mistakes, in the order of the pictures.",
            ),
        )
        if rows
        else (),
        figures=tuple(figures),
        data={"mistakes": len(wrong), "images": n, "surer_than_90_percent": sure_of},
    )


def _judge(wrong: int, sure: int, n: int) -> tuple[str, Status, str]:
    if not wrong:
        return f"There is none: all {n:,} held-out images are predicted correctly.", "good", ""
    verdict = f"Wrong on {wrong:,} of {n:,} held-out images; "
    verdict += (
        f"on {sure:,} of them it was more than {100 * SURE:.0f} % sure."
        if sure
        else f"it was never more than {100 * SURE:.0f} % sure of a mistake."
    )
    if not sure:
        return verdict, "note", ""
    status: Status = "warning" if sure >= 5 and sure > wrong / 2 else "note"
    return (
        verdict,
        status,
        "Look at these first: a mistake that the network is sure of is often a wrong label "
        "(Northcutt et al. 2021).",
    )
