"""One bootstrap for every interval: resample the images, compute the number again, look at the
spread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from striate.wording import percent

RESAMPLES = 1000
LEVEL = 0.95
FINEST = 0.005  # the outermost level asked of the draws: further out, a bound is one draw's whim
CHUNK = (
    1 << 21
)  # indices drawn at once; 8 MB, so that memory stays flat however many images there are


class Interval(NamedTuple):
    """A statistic of the sample with its lower and upper bound: three scalars, or three arrays (M,)."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def text(self, spec: str = "%") -> str:
        """The bounds as a person reads them: `97.2–99.4 %`."""
        if spec == "%":
            low, high = percent(float(self.low)), percent(float(self.high))
            return f"{low.removesuffix(' %')}–{high}"
        return f"{float(self.low):{spec}}–{float(self.high):{spec}}"


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    n: int,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    centred: bool = False,
) -> Interval:
    """The statistic of a sample of `n` images, with an interval that covers the truth at
    `level`.

    `statistic` maps image indices (R, n) to values (R,) or (R, M), one a resample; NaN where it is
    undefined. The interval is Efron's bias-corrected and accelerated one (BCa; "Better Bootstrap
    Confidence Intervals", 1987), with the acceleration taken from the skewness of the resampled
    values: exact for means, and no jackknife is needed. `centred` instead shifts the percentile
    interval by the bootstrap's own bias, for a statistic that every resampling makes larger, such
    as a calibration error.
    """
    rng = np.random.default_rng(seed)
    value = np.asarray(statistic(np.arange(n)[None])[0], dtype=np.float64)
    rows = max(1, CHUNK // n)
    draws = np.concatenate(
        [
            statistic(rng.integers(n, size=(min(rows, resamples - start), n), dtype=np.int32))
            for start in range(0, resamples, rows)
        ]
    ).astype(np.float64)
    tail = (1 - level) / 2
    if centred:
        low, high = np.nanquantile(draws, [tail, 1 - tail], axis=0) - (draws.mean(axis=0) - value)
        return Interval(value, low, high)
    flat = draws.reshape(resamples, -1)
    low, high = _accelerated(flat, value.reshape(-1), tail)
    return Interval(value, low.reshape(value.shape), high.reshape(value.shape))


def _accelerated(
    draws: np.ndarray, value: np.ndarray, tail: float
) -> tuple[np.ndarray, np.ndarray]:
    """BCa bounds (M,) of draws (R, M) around value (M,); Efron 1987, equations 2.3 and 6.4."""
    from scipy.special import ndtr, ndtri  # takes a moment

    known = ~np.isnan(draws)
    count = known.sum(axis=0)
    some = np.maximum(count, 1)
    below = ((draws < value) + 0.5 * (draws == value)).sum(axis=0) / some
    bias = ndtri(np.clip(below, 0.5 / some, 1 - 0.5 / some))
    centre = np.where(known, draws, 0).sum(axis=0) / some
    off = np.where(known, draws - centre, 0)
    spread = np.sqrt((off**2).sum(axis=0) / some)
    skewness = (off**3).sum(axis=0) / some / np.where(spread > 0, spread, 1) ** 3
    acceleration = skewness / 6
    ordered = np.sort(
        draws, axis=0
    )  # NaN goes last, and ranks below count only the numbers before it
    bounds = []
    for z in (ndtri(tail), ndtri(1 - tail)):
        shifted = bias + z
        # Beyond the pole of the formula the correction has no meaning: stop short of it.
        level = ndtr(bias + shifted / np.maximum(1 - acceleration * shifted, 0.25))
        level = np.clip(level, FINEST, 1 - FINEST)
        rank = np.rint(level * (some - 1)).astype(np.int64)
        bounds.append(np.take_along_axis(ordered, rank[None], axis=0)[0])
    low, high = (np.where(np.isnan(value), np.nan, bound) for bound in bounds)
    return np.minimum(low, value), np.maximum(high, value)


def proportion(interval: Interval, n: np.ndarray | int, level: float = LEVEL) -> Interval:
    """The interval of a proportion of `n` images, widened where all or none of them count.

    interval: of scalars or (M,), as `Interval`; n: the number of images of each, a scalar or (M,). Resamples of 20
    correct predictions out of 20 are all correct too, so a bootstrap would promise 100 %. There the exact bound of
    Clopper and Pearson (1934) takes over: a rate of (tail)**(1/n) still gives 20 of 20 that often.
    """
    value, low, high = map(np.asarray, interval)
    bound = ((1 - level) / 2) ** (1 / np.maximum(n, 1))
    return Interval(
        value,
        np.where(value == 1, np.minimum(low, bound), low),
        np.where(value == 0, np.maximum(high, 1 - bound), high),
    )
