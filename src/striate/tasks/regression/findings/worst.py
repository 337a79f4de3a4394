"""The images whose numbers are furthest off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from striate.data.numbers import unit_of
from striate.findings import Figure, Finding, Table
from striate.pictures import thumbnail
from striate.tasks.regression.findings.headline import spec_for
from striate.wording import quoted

LIMIT = 24
FAR = 4.0  # times the median error, from which on an image is worth a look


def worst(
    values: np.ndarray,
    targets: np.ndarray,
    names: Sequence[str],
    spread: np.ndarray,
    image: Callable[[int], Any],
    keys: Sequence[str],
) -> Finding:
    """The images with the largest error of any number, in standard deviations, from values (N, K) for targets (N, K).

    spread: (K,) standard deviations of the training targets.
    """
    n = len(targets)
    off = np.abs(values - targets) / spread
    which = off.argmax(1)
    largest = off.max(1)
    order = np.argsort(-largest, kind="stable")[: min(LIMIT, n)]
    specs = [
        spec_for(float(np.abs(values[:, k] - targets[:, k]).mean())) for k in range(len(names))
    ]
    figures, rows = [], []
    for rank, i in enumerate(order.tolist(), 1):
        k = int(which[i])
        name, unit = unit_of(names[k])
        end = f" {unit}" if unit else ""
        predicted, true = f"{values[i, k]:{specs[k]}}", f"{targets[i, k]:{specs[k]}}"
        content, media = thumbnail(image(i))
        head = f"{name}: " if len(names) > 1 else ""
        figures.append(
            Figure(
                content=content, media=media, caption=f"{head}{true} → {predicted}{end}",
                alt=f"Image {rank}: {name} is {true}{end}, predicted {predicted}{end}",
            )
        )  # fmt: skip
        rows.append(
            (
                rank,
                keys[i],
                name,
                true,
                predicted,
                f"{values[i, k] - targets[i, k]:+{specs[k]}}",
                unit,
            )
        )
    far = int((largest > FAR * np.median(largest)).sum()) if n else 0
    first = int(order[0])
    k = int(which[first])
    name, unit = unit_of(names[k])
    end = f" {unit}" if unit else ""
    verdict = (
        f"Furthest off is {keys[first]}: {quoted(name)} is {targets[first, k]:{specs[k]}}{end} and predicted as "
        f"{values[first, k]:{specs[k]}}{end}."
    )
    if far:
        verb = "is" if far == 1 else "are"
        verdict += (
            f" {far:,} of {n:,} images {verb} off by more than {FAR:.0f} times the usual error."
        )
    return Finding(
        name="worst",
        title="The images that are furthest off",
        verdict=verdict,
        status="note",
        advice="Look at these first: an error that large is often a wrong number in the table."
        if far
        else "",
        tables=(
            Table(
                columns=("no.", "file", "number", "true", "predicted", "error", "unit"),
                rows=tuple(rows),
                caption="In the order of the pictures; errors of several numbers are compared in standard deviations.",
            ),
        ),
        figures=tuple(figures),
        data={"images": n, "far_off": far, "worst": [keys[int(i)] for i in order]},
    )
