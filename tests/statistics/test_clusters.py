"""Shares of clustered observations: textbook cases, exact leave-one-out by hand, and what few clusters can say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from striate.statistics.clusters import (
    cluster_draws,
    clustered_bounds,
    clustered_quantiles,
    intervals_of_clusters,
    jackknife_variance,
    share_of_clusters,
    tail_of,
    without_each,
)


def test_clusters_of_one_observation_have_wilsons_interval_with_students_t() -> None:
    hits = (np.arange(200) < 30).astype(float)
    found = share_of_clusters(hits, np.ones(200))
    assert found.value == 0.15
    # The jackknife's variance of a mean is that with n - 1: as many observations as there are, less one.
    assert found.effective == pytest.approx(199)
    assert (found.low, found.high) == pytest.approx(found.wilson, abs=2e-3)
    assert found.low < found.wilson[0] < found.wilson[1] < found.high


def test_clusters_that_are_all_or_nothing_tell_as_much_as_their_number() -> None:
    """50 clusters of 20 that all agree within themselves: 50 observations, not 1,000."""
    counts = np.where(np.arange(50) < 25, 20.0, 0.0)
    found = share_of_clusters(counts, np.full(50, 20.0))
    assert found.effective == pytest.approx(49)
    low, high = stats.binomtest(25, 50).proportion_ci(method="wilson")
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)
    assert found.wilson[1] - found.wilson[0] < 0.5 * (found.high - found.low)


def test_jackknife_of_pairs_is_by_leaving_out_each_cluster() -> None:
    """Against the loop that takes every pair anew."""
    rng = np.random.default_rng(0)
    kernel = np.triu(rng.random((9, 9)) < 0.3, 1).astype(float)
    kernel += kernel.T
    found = without_each(kernel.sum(1), np.full(9, 8.0), kernel.sum() / 2, 36)
    for g in range(9):
        pairs = [kernel[i, j] for i in range(9) for j in range(i) if g not in (i, j)]
        assert found[g] == pytest.approx(np.mean(pairs))
    assert jackknife_variance(found) == pytest.approx(8 / 9 * ((found - found.mean()) ** 2).sum())


def test_of_one_cluster_nothing_is_known_and_of_two_little() -> None:
    assert share_of_clusters(np.array([3.0]), np.array([10.0]))[1:3] == (0.0, 1.0)
    # All pairs of two clusters are of both: without either nothing is left to compare.
    pairs = share_of_clusters(np.array([3.0, 3.0]), np.array([10.0, 10.0]), count=3, total=10)
    assert pairs[:3] == (0.3, 0.0, 1.0)
    two = share_of_clusters(np.array([3.0, 5.0]), np.array([10.0, 10.0]))
    assert two.low < 0.1
    assert two.high > 0.8


def test_where_all_or_none_count_the_interval_is_of_as_many_as_clusters() -> None:
    none = share_of_clusters(np.zeros(40), np.full(40, 500.0))
    assert none.low == 0
    assert 3 / 40 < none.high < 5 / 40
    every = share_of_clusters(np.full(40, 500.0), np.full(40, 500.0))
    assert (every.low, every.high) == pytest.approx((1 - none.high, 1))


def test_nothing_observed_is_nan() -> None:
    found = share_of_clusters(np.zeros(3), np.zeros(3))
    assert np.isnan(found.value)
    assert np.isnan(found.low)


def test_whole_clusters_are_drawn() -> None:
    clusters = np.array([5, 9, 5, 2, 9, 9])
    draws = cluster_draws(clusters, 200, seed=1)
    assert draws.shape == (200, 6)
    for name in (2, 5, 9):
        of_one = draws[:, clusters == name]
        assert (of_one == of_one[:, :1]).all()
    assert ((draws[:, 0] + draws[:, 1] + draws[:, 3]) == 3).all()
    assert not np.array_equal(draws, cluster_draws(clusters, 200, seed=2))


def test_few_clusters_are_asked_further_out() -> None:
    assert tail_of(1) == 0
    assert tail_of(5) < tail_of(20) < tail_of(1000) < 0.025
    assert tail_of(100_000) == pytest.approx(0.025, abs=1e-4)


def test_a_handful_of_clusters_has_students_interval() -> None:
    """Of means of 4 clusters: against scipy's, which does not resample."""
    means = np.array([0.2, 0.4, 0.5, 0.6])
    draws = means[np.random.default_rng(0).integers(4, size=(200_000, 4))].mean(1)
    peer = stats.t.interval(0.95, 3, loc=means.mean(), scale=stats.sem(means))
    assert clustered_bounds(draws, float(means.mean()), 4) == pytest.approx(peer, abs=2e-3)
    low, high = clustered_quantiles(draws, float(means.mean()), 4)
    assert 0 <= low < peer[0] + 2e-3 and high <= 1
    assert clustered_quantiles(np.full(5, 0.3), 0.3, 1) == (0, 1)


@pytest.mark.parametrize("groups", [1, 2, 3, 40])
def test_many_intervals_at_once_are_those_of_one_at_a_time(groups: int) -> None:
    rng = np.random.default_rng(groups)
    of = rng.integers(1, 30, groups).astype(float)
    total = of.sum() / 2 if groups > 2 else of.sum()  # as of pairs, which are of two clusters each
    some, few = (rng.binomial(of.astype(int), p) for p in (0.3, 0.01))
    counts = np.stack([np.zeros(groups), some, of, few])
    count = counts.sum(1) * total / of.sum()
    low, high = intervals_of_clusters(counts, of, count, total)
    for row, c, bounds in zip(counts, count, zip(low, high, strict=True), strict=True):
        one = share_of_clusters(row, of, count=c, total=total)
        assert bounds == pytest.approx((one.low, one.high), abs=1e-12)
