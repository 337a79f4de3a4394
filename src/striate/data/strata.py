"""Strata: groups of images with tags or numbers, of which each split gets its share."""

from __future__ import annotations

import numpy as np

RANGES = 5  # of numbers, of which each split gets its share
ENOUGH = 20  # images for that


def tag_strata(targets: np.ndarray) -> np.ndarray:
    """The rarest tag of each image, (N,), of targets (N, K) 0 or 1, so that it comes into every split; K for no tag."""
    frequent = targets.sum(0)
    rarest = np.where(targets > 0, frequent, frequent.max() + 1).argmin(1)
    return np.where(targets.any(1), rarest, targets.shape[1])


def number_strata(values: np.ndarray) -> np.ndarray:
    """Which range of the first number each image lies in, (N,), of values (N, K)."""
    parts = RANGES if len(values) >= ENOUGH else 1
    edges = np.quantile(values[:, 0], np.linspace(0, 1, parts + 1)[1:-1])
    return np.searchsorted(edges, values[:, 0], side="right")
