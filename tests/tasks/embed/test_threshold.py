"""The threshold for a rate of false accepts: never exceeded on the given pairs, and refused where they cannot resolve it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from striate.errors import UsageError
from striate.tasks.embed.evaluation.threshold import pairs_needed, threshold_at


def test_lowest_accepted_similarity_is_the_threshold() -> None:
    found = threshold_at(np.arange(100) / 100, 0.05)
    assert found.value == 0.95
    assert (found.pairs, found.accepted, found.rate) == (100, 5, 0.05)


def test_interval_is_wilsons_as_scipy_has_it() -> None:
    found = threshold_at(np.random.default_rng(0).normal(size=1000), 0.01)
    peer = binomtest(10, 1000).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((peer.low, peer.high), abs=1e-6)


@given(
    st.lists(st.integers(-5, 5), min_size=6, max_size=80),
    st.floats(0.01, 0.99),
    st.sampled_from([np.float32, np.float64]),
)
def test_rate_is_never_exceeded_and_no_lower_threshold_of_the_scores_would_do(
    values: list[int], rate: float, dtype: type
) -> None:
    """By counting: few different values, so that most scores are tied."""
    scores = np.array(values, dtype) / dtype(7)
    if rate < 3 / len(scores):
        with pytest.raises(UsageError, match=r"cannot be measured"):
            threshold_at(scores, rate)
        return
    found = threshold_at(scores, rate)
    accepts = [s >= found.value for s in scores]
    assert sum(accepts) == found.accepted
    assert sum(accepts) / len(scores) <= rate
    # The same in the scores' own precision, and in the other.
    assert (scores >= np.float32(found.value)).sum() == found.accepted or dtype is np.float64
    assert (scores.astype(np.float64) >= found.value).sum() == found.accepted
    below = [s for s in sorted(set(scores)) if s < found.value]
    if below:
        assert sum(s >= below[-1] for s in scores) / len(scores) > rate


def test_where_all_are_equal_all_are_refused() -> None:
    found = threshold_at(np.full(100, 0.5, np.float32), 0.1)
    assert found.accepted == 0
    assert np.float32(found.value) > np.float32(0.5)


def test_new_pairs_reach_the_threshold_less_often_than_the_rate_on_average() -> None:
    """Exchangeable pairs: the expected rate is that of the rank, k / (N + 1), whatever the distribution."""
    rng = np.random.default_rng(1)
    rates = []
    for _ in range(2000):
        found = threshold_at(rng.normal(size=60), 0.1)
        rates.append(0.5 * math.erfc(found.value / math.sqrt(2)))
    error = np.std(rates) / math.sqrt(len(rates))
    assert abs(np.mean(rates) - 6 / 61) < 4 * error


@pytest.mark.parametrize(
    ("pairs", "rate", "needed"),
    [
        (1000, 1e-6, "3,000,000"),
        (29, 0.1, "30"),
        (0, 0.5, "6"),
        (1, 0.5, "6"),
        (999, 0.003, "1,000"),
    ],
)
def test_rate_that_the_pairs_cannot_resolve_is_refused_with_their_number(
    pairs: int, rate: float, needed: str
) -> None:
    with pytest.raises(UsageError, match=rf"takes {needed} or more"):
        threshold_at(np.linspace(0, 1, pairs), rate)


@pytest.mark.parametrize(("pairs", "rate"), [(30, 0.1), (1000, 0.003), (3000, 0.001), (100, 0.03)])
def test_rate_of_three_in_n_is_the_lowest(pairs: int, rate: float) -> None:
    assert threshold_at(np.linspace(0, 1, pairs), rate).accepted == 3
    assert pairs_needed(rate) == pairs


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.0, 2.0, math.nan])
def test_rate_is_a_fraction(rate: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        threshold_at(np.linspace(0, 1, 100), rate)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_similarity_that_is_no_number_is_refused(bad: float) -> None:
    scores = np.linspace(0, 1, 100)
    scores[7] = bad
    with pytest.raises(UsageError, match="1 of 100 pairs"):
        threshold_at(scores, 0.1)


def test_matrix_of_similarities_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\(10, 10\)"):
        threshold_at(np.zeros((10, 10)), 0.1)
