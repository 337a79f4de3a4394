"""Intervals where observations come in clusters, such as pairs of images of the same few identities.

Pairs that share an identity are dependent: an interval that counts pairs promises far more than they know. Here the cluster
is what is drawn, and what is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from striate.statistics.bootstrap import RESAMPLES, Interval
from striate.statistics.intervals import Z, wilson

ROWS = 256  # shares whose intervals are worked out at a time
FEW = 10  # clusters below which quantiles of their resamples say too little


class Share(NamedTuple):
    """A share, `hits` of `of` observations from `clusters` clusters, with its 95 % interval over clusters.

    effective: how many independent observations would tell as much. wilson: the interval that takes all for independent.
    """

    value: float
    low: float
    high: float
    hits: int
    of: int
    clusters: int
    effective: float
    wilson: tuple[float, float]


def share_of_clusters(
    counts: np.ndarray, of: np.ndarray, *, count: float | None = None, total: float | None = None
) -> Share:
    """The share `count` / `total` of observations, from what each of G clusters takes part in.

    counts, of: (G,) the observations that a cluster takes part in which count, and all of them. count, total: the same
    altogether, their sums where each observation is of one cluster. A pair of two clusters is in both of their numbers.
    The variance is the jackknife's that leaves out one cluster at a time, which for pairs of clusters too is the right one
    (Arvesen 1969, of U-statistics); the interval is Wilson's (1927) with the number of independent observations that have
    that variance, and Student's t of G - 1 degrees of freedom (Korn and Graubard 1998). Where all or none count, that number
    is G, for nothing is known of their dependence. nan where nothing was observed.
    """
    counts, of = np.asarray(counts, float), np.asarray(of, float)
    taking = of > 0
    counts, of = counts[taking], of[taking]
    g = len(of)
    count = float(counts.sum() if count is None else count)
    total = float(of.sum() if total is None else total)
    if not g or total <= 0:
        return Share(np.nan, np.nan, np.nan, 0, 0, g, 0.0, (np.nan, np.nan))
    p = count / total
    plain = wilson(count, total)  # type: ignore[arg-type]
    without = without_each(counts, of, count, total)
    if (~np.isnan(without)).sum() < 2:  # one cluster, or pairs of two, all of which are of both
        return Share(p, 0.0, 1.0, round(count), round(total), g, 1.0, plain)
    variance = jackknife_variance(without)
    spread = p * (1 - p)
    effective = (
        float(g) if spread <= 0 else min(total, spread / variance) if variance > 0 else total
    )
    low, high = score_interval(p, effective, g)
    return Share(p, low, high, round(count), round(total), g, effective, plain)


def intervals_of_clusters(
    counts: np.ndarray, of: np.ndarray, count: np.ndarray, total: float
) -> tuple[np.ndarray, np.ndarray]:
    """The intervals of `share_of_clusters` of many shares of the same observations: low and high (B,).

    counts: (B, G) of each share; of: (G,), each above 0; count: (B,).
    """
    rest = total - of
    known = rest > 0
    g = len(of)
    if known.sum() < 2:
        return np.zeros(len(count)), np.ones(len(count))
    p = count / total
    variance = np.empty(len(count))
    for start in range(0, len(count), ROWS):  # some at a time, for memory
        some = slice(start, start + ROWS)
        without = (count[some, None] - counts[some][:, known]) / rest[known]
        n = without.shape[1]
        variance[some] = (n - 1) / n * ((without - without.mean(1, keepdims=True)) ** 2).sum(1)
    spread = p * (1 - p)
    effective = np.minimum(total, spread / np.where(variance > 0, variance, spread / total + 1e-300))  # fmt: skip
    effective = np.where(spread <= 0, float(g), effective)
    z = student(g - 1)
    centre = (p + z**2 / (2 * effective)) / (1 + z**2 / effective)
    reach = np.sqrt(spread / effective + (z / (2 * effective)) ** 2) * z / (1 + z**2 / effective)
    return np.maximum(0.0, centre - reach), np.minimum(1.0, centre + reach)


def without_each(counts: np.ndarray, of: np.ndarray, count: float, total: float) -> np.ndarray:
    """(G,) the share `count` / `total` without each cluster, of counts and of (G,); nan where nothing is left."""
    rest = total - of
    return np.divide(count - counts, rest, out=np.full(len(of), np.nan), where=rest > 0)


def difference_of_clusters(
    before: np.ndarray, after: np.ndarray, of: np.ndarray
) -> tuple[float, float, float]:
    """How a share changes on the same observations, with its 95 % interval over their clusters: value, low, high.

    before, after: (G,) those that count in each cluster. of: (G,) all of them. By the jackknife and Student's t; of fewer
    than two clusters nothing is known.
    """
    total = float(of.sum())
    value = float((after - before).sum() / total) if total else np.nan
    without = without_each(after - before, of, float((after - before).sum()), total)
    g = int((~np.isnan(without)).sum())
    if g < 2:
        return value, -1.0, 1.0
    reach = student(g - 1) * float(np.sqrt(jackknife_variance(without)))
    return value, max(-1.0, value - reach), min(1.0, value + reach)


def jackknife_variance(without: np.ndarray) -> float:
    """Variance of a statistic from its values (G,) without each of G clusters; those that are nan are left out."""
    known = without[~np.isnan(without)]
    g = len(known)
    return float((g - 1) / g * ((known - known.mean()) ** 2).sum()) if g > 1 else 0.0


def student(freedom: float) -> float:
    """The upper 2.5 % point of Student's t."""
    from scipy.stats import t  # takes a moment

    return float(t.ppf(0.975, freedom))


def score_interval(rate: float, effective: float, clusters: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate from `effective` independent observations, with Student's t of clusters - 1."""
    z = student(clusters - 1)
    centre = (rate + z**2 / (2 * effective)) / (1 + z**2 / effective)
    spread = rate * (1 - rate) / effective + (z / (2 * effective)) ** 2
    reach = z / (1 + z**2 / effective) * np.sqrt(spread)
    return max(0.0, float(centre - reach)), min(1.0, float(centre + reach))


def cluster_draws(clusters: np.ndarray, resamples: int, *, seed: int = 0) -> np.ndarray:
    """(R, N) float64: how often each of N observations counts where whole clusters are drawn with replacement.

    clusters: (N,), equal for observations of one cluster.
    """
    _, inverse = np.unique(clusters, return_inverse=True)
    g = int(inverse.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(g, np.full(g, 1 / g), size=resamples)
    weights: np.ndarray = drawn[:, inverse].astype(np.float64)
    return weights


def clustered_bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], clusters: np.ndarray, *, seed: int = 0
) -> Interval:
    """A statistic of weights (R, N) -> (R,), a share of N observations, with its 95 % interval over their clusters (N,)."""
    value = np.asarray(statistic(np.ones((1, len(clusters))))[0], dtype=np.float64)
    draws = statistic(cluster_draws(clusters, RESAMPLES, seed=seed))
    low, high = clustered_quantiles(draws, float(value), len(np.unique(clusters)))
    return Interval(value, np.asarray(min(low, float(value))), np.asarray(max(high, float(value))))


def clustered_quantiles(draws: np.ndarray, value: float, clusters: int) -> tuple[float, float]:
    """The 95 % interval of a share of `value` from bootstrap draws (R,) over clusters; wider where few, or all or none."""
    if np.isnan(draws).all():
        return (np.nan, np.nan)
    low, high = (min(1.0, max(0.0, bound)) for bound in clustered_bounds(draws, value, clusters))
    # Resamples of what always is are always; as many clusters as there are may still miss it (Clopper and Pearson 1934).
    bound = 0.025 ** (1 / clusters)
    return (min(low, bound) if value == 1 else float(low), max(high, 1 - bound) if value == 0 else float(high))  # fmt: skip


def clustered_bounds(draws: np.ndarray, value: float, clusters: int) -> tuple[float, float]:
    """As above, of any statistic, and without the correction for what always is: from draws (R,).

    A handful of clusters has few different resamples, whose quantiles reach nowhere: there it is Student's interval with the
    draws' deviation.
    """
    if clusters < FEW:
        reach = student(max(clusters - 1, 1)) * float(np.nanstd(draws))
        reach *= np.sqrt(clusters / max(clusters - 1, 1))
        return (value - reach, value + reach) if clusters > 1 else (value - 1, value + 1)
    tail = tail_of(clusters)
    low, high = np.nanquantile(draws, (tail, 1 - tail))
    return float(low), float(high)


def tail_of(clusters: int) -> float:
    """The lower quantile of a bootstrap over clusters that is 2.5 % for many, and further out for few.

    A bootstrap of G clusters is narrow by sqrt((G - 1) / G), and by the normal in place of Student's t (Hesterberg 2015,
    "What Teachers Should Know About the Bootstrap", section 4.3: the expanded percentile interval).
    """
    if clusters < 2:
        return 0.0
    from scipy.special import ndtr  # takes a moment

    z = student(clusters - 1) * np.sqrt(clusters / (clusters - 1))
    return float(ndtr(-max(z, Z)))
