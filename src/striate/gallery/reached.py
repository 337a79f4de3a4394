"""Reached: how many impostor pairs are at least so similar, with an interval over names, from what a gallery keeps of them.

The pairs themselves are not kept. For each step of similarity it is kept how many lie in it, and between which shares 95 %
intervals of those lie that reach it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from striate.statistics.clusters import intervals_of_clusters
from striate.statistics.intervals import wilson

STEP = 0.001  # of the similarities whose counts are kept
DIGITS = 6  # of the shares that are kept, rounded outwards


class Reach(NamedTuple):
    """How many impostor pairs reach a similarity, at most, of how many, and a 95 % interval of their share.

    over_names: whether it is over names; it takes pairs for independent where the gallery was written before it was kept.
    """

    reached: int
    of: int
    low: float
    high: float
    over_names: bool


def counts_of(pairs: np.ndarray, names: np.ndarray) -> dict[str, Any] | None:
    """What is kept of the similarities (M,) of pairs of names (2, M): None where there are none.

    low, high: a number more than there are bins, of the pairs that reach each bin, and of none at all.
    """
    if not len(pairs):
        return None
    steps = np.floor(pairs.astype(np.float64) / STEP).astype(np.int64)
    first = int(steps.min())
    counts = np.bincount(steps - first)
    bins = np.flatnonzero(counts)
    place = (np.cumsum(counts > 0) - 1)[steps - first]
    _, number = np.unique(names, return_inverse=True)
    number = number.reshape(names.shape)
    size = int(number.max()) + 1
    of = np.bincount(number.reshape(-1), minlength=size).astype(float)
    within = np.zeros(len(bins) * size, np.int64)
    for row in number:
        within += np.bincount(place * size + row, minlength=len(bins) * size)
    reached = np.zeros(
        (len(bins) + 1, size)
    )  # by the pairs of a bin and of those above it; none above the last
    reached[:-1] = np.cumsum(within.reshape(-1, size)[::-1], axis=0)[::-1]
    total = np.append(np.cumsum(counts[bins][::-1])[::-1], 0).astype(float)
    low, high = intervals_of_clusters(reached, of, total, float(len(pairs)))
    return {
        "step": STEP, "pairs": len(pairs), "bins": (bins + first).tolist(), "counts": counts[bins].tolist(),
        "low": _rounded(low, np.floor), "high": _rounded(high, np.ceil),
    }  # fmt: skip


def _rounded(shares: np.ndarray, rounding: Any) -> list[float]:
    return [
        float(x)
        for x in np.clip(np.round(rounding(shares * 10**DIGITS) / 10**DIGITS, DIGITS), 0, 1)
    ]


def reached_by(impostors: Mapping[str, Any] | None, similarity: float) -> Reach | None:
    """How many impostor pairs reach a similarity, by what was kept of them; None where there are none.

    Pairs of the same step of similarity count as reaching it, so that the number is never too small.
    """
    if impostors is None:
        return None
    at = int(np.searchsorted(impostors["bins"], np.floor(similarity / float(impostors["step"]))))
    count, of = int(sum(impostors["counts"][at:])), int(impostors["pairs"])
    if "low" in impostors:
        return Reach(count, of, impostors["low"][at], impostors["high"][at], True)
    return Reach(count, of, *wilson(count, of), False)
