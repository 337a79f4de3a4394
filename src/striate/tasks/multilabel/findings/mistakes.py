"""The surest mistakes: tags given that an image has not, and tags missed that it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from striate.findings import Figure, Finding, Table
from striate.pictures import thumbnail

LIMIT = 24
SURE = 0.9


def mistakes(
    shares: np.ndarray,
    targets: np.ndarray,
    tags: Sequence[str],
    thresholds: np.ndarray,
    image: Callable[[int], Any],
    keys: Sequence[str],
) -> Finding:
    """The mistakes that the network was surest of, one an image, from probabilities (N, K) and targets (N, K)."""
    n = len(targets)
    true = targets > 0.5
    wrong = (shares >= thresholds) != true
    # How sure it was of what is wrong: of a tag that is given its probability, of one that is missed the rest.
    sure = np.where(wrong, np.where(true, 1 - shares, shares), 0.0)
    worst = sure.argmax(1)
    images = np.flatnonzero(wrong.any(1))
    images = images[np.argsort(-sure[images, worst[images]], kind="stable")]
    figures, rows = [], []
    for rank, i in enumerate(images[:LIMIT].tolist(), 1):
        k = int(worst[i])
        content, media = thumbnail(image(i))
        how = "missed" if true[i, k] else "given"
        share = f"{np.floor(100 * shares[i, k]):.0f} %"
        figures.append(
            Figure(
                content=content, media=media, caption=f"{tags[k]} {how}, {share}",
                alt=f"Mistake {rank}: {tags[k]} is {how} with a probability of {share}",
            )
        )  # fmt: skip
        has = ", ".join(tags[t] for t in np.flatnonzero(true[i]).tolist()) or "none"
        others = (
            ", ".join(tags[t] for t in np.flatnonzero(shares[i] >= thresholds).tolist()) or "none"
        )
        rows.append((rank, keys[i], f"{tags[k]} {how}", float(shares[i, k]), has, others))
    certain = int((sure[images, worst[images]] > SURE).sum())
    verdict = (
        f"{len(images):,} of {n:,} held-out images have a tag too many or too few; of {certain:,} of them it was more than "
        f"{100 * SURE:.0f} % sure."
        if len(images)
        else f"There is none: all {n:,} held-out images have exactly their tags."
    )
    return Finding(
        name="mistakes",
        title="Its most confident mistakes",
        verdict=verdict,
        status="note" if len(images) else "good",
        advice="Look at these first: a mistake that the network is sure of is often a wrong or forgotten tag."
        if certain
        else "",
        tables=(
            Table(
                columns=("no.", "file", "mistake", "probability", "has", "is given"),
                rows=tuple(rows),
                formats=("", "", "", ".1%", "", ""),
                caption="The surest mistake of each image, in the order of the pictures.",
            ),
        )
        if rows
        else (),
        figures=tuple(figures),
        data={"images_wrong": len(images), "images": n, "surer_than_90_percent": certain},
    )
