"""Intervals: how far a share, or a paired difference of two shares, can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Z = 1.959964  # of 95 %
ENOUGH = 30  # images from which on a mean difference is taken for normal


def wilson(successes: Any, count: int) -> tuple[float, float]:
    """95 % interval of a share from `successes` of `count` (Wilson 1927)."""
    rate = float(successes) / count
    centre = (rate + Z**2 / (2 * count)) / (1 + Z**2 / count)
    reach = Z / (1 + Z**2 / count) * np.sqrt(rate * (1 - rate) / count + (Z / (2 * count)) ** 2)
    return max(0.0, float(centre - reach)), min(1.0, float(centre + reach))


def paired(before: np.ndarray, after: np.ndarray) -> tuple[float, float, float]:
    """Mean of `after - before` over the same images (N,), with its 95 % interval (value, low, high).

    Right or wrong: Newcombe's (1998, method 10) square-and-add of Wilson's intervals with the correlation of the pairs,
    which stays honest for one image, and where no image changes. Means over several changes of an image, of 30 images or
    more: the normal interval of the mean difference.
    """
    a, b = np.asarray(before, float), np.asarray(after, float)
    n = len(a)
    value = float(b.mean() - a.mean())
    fractional = any(((x > 0) & (x < 1)).any() for x in (a, b))
    spread = float((b - a).std(ddof=1)) if n > 1 else 0.0
    if fractional and n >= ENOUGH and spread > 0:
        reach = Z * spread / np.sqrt(n)
        return value, max(-1.0, value - reach), min(1.0, value + reach)
    # Of fewer, Wilson's interval of their mean is wider than needed, never narrower.
    (la, ha), (lb, hb) = wilson(a.sum(), n), wilson(b.sum(), n)
    spread = float(np.sqrt(a.mean() * (1 - a.mean()) * b.mean() * (1 - b.mean())))
    r = float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 1e-12 else 0.0
    r = min(1.0, max(-1.0, r))
    da, db, ua, ub = a.mean() - la, b.mean() - lb, ha - a.mean(), hb - b.mean()
    low = value - np.sqrt(max(0.0, db**2 - 2 * r * db * ua + ua**2))
    high = value + np.sqrt(max(0.0, ub**2 - 2 * r * ub * da + da**2))
    return value, max(-1.0, float(low)), min(1.0, float(high))


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean of a few independent numbers in [0, 1], such as accuracies by seed, with its 95 % interval by Student's t.

    Of a single number nothing is known of the spread: the interval is all of [0, 1].
    """
    x = np.asarray(values, float)
    mean = float(x.mean())
    if len(x) < 2:
        return mean, 0.0, 1.0
    from scipy.stats import t as student  # takes a moment

    reach = float(student.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return mean, max(0.0, mean - reach), min(1.0, mean + reach)
