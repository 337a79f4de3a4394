"""Resampling by weights: how often each image was drawn, for statistics of weighted evidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from striate.statistics.bootstrap import Interval, bootstrap


def weights_of(index: np.ndarray, n: int) -> np.ndarray:
    """(R, N) float64: how often each of `n` images stands in each row of index (R, M)."""
    r = len(index)
    flat = (index.astype(np.int64) + n * np.arange(r)[:, None]).ravel()
    return np.bincount(flat, minlength=n * r).reshape(r, n).astype(np.float64)


def weighted_bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], n: int, *, seed: int = 0
) -> Interval:
    """As `bootstrap`, for a statistic of weights (R, N) instead of indices."""
    return bootstrap(lambda index: statistic(weights_of(index, n)), n, seed=seed)
