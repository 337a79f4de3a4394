"""Thresholds: the probability from which on a tag is given, chosen tag by tag on the validation images."""

from __future__ import annotations

import numpy as np

LEAST = 5  # validation images with the tag, and without; of fewer the best threshold is luck
USUAL = 0.5


def best_threshold(scores: np.ndarray, targets: np.ndarray) -> float:
    """The threshold with the largest F1 of scores (N,) in [0, 1] for targets (N,): halfway between two scores.

    0.5 where fewer than 5 images have the tag or fewer than 5 have it not. Of several that are as good the nearest to 0.5.
    """
    positive = targets > 0.5
    if positive.sum() < LEAST or (~positive).sum() < LEAST:
        return USUAL
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(positive[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + positive.sum())
    cut = ranked[:-1] > ranked[1:]  # no threshold lies between equal scores
    between = (ranked[:-1] + ranked[1:]) / 2
    places, values = between[cut], f1[:-1][cut]
    if not len(values) or f1[-1] >= values.max():
        # Giving the tag to every image is as good: what is at least as large as the least score.
        places, values = np.append(places, ranked[-1]), np.append(values, f1[-1])
    best = places[values >= values.max() - 1e-12]
    return float(best[np.abs(best - USUAL).argmin()])


def thresholds_of(scores: np.ndarray, targets: np.ndarray) -> list[float]:
    """The best threshold of each tag, from scores (N, K) and targets (N, K)."""
    return [round(best_threshold(scores[:, k], targets[:, k]), 6) for k in range(scores.shape[1])]
