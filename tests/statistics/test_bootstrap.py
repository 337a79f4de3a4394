"""The bootstrap: peers, exact bounds, and that its intervals cover the truth as often as they
say.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from striate.statistics.bootstrap import CHUNK, Interval, bootstrap, proportion


def mean_interval(values: np.ndarray, **options: object) -> Interval:
    return bootstrap(lambda index: values[index].mean(axis=1), len(values), **options)  # type: ignore[arg-type]


def test_same_seed_same_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3)
    assert mean_interval(values, seed=3) != mean_interval(values, seed=4)


def test_interval_of_a_normal_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(1).normal(5, 2, size=400)
    value, low, high = mean_interval(values, resamples=4000)
    error = values.std() / np.sqrt(400)
    assert value == pytest.approx(values.mean())
    assert [low, high] == pytest.approx(
        [value - 1.96 * error, value + 1.96 * error], abs=0.1 * error
    )


@pytest.mark.parametrize("seed", range(3))
def test_skewed_mean_agrees_with_scipy_bca(seed: int) -> None:
    values = np.random.default_rng(seed).lognormal(0, 1, size=40)
    ours = mean_interval(values, resamples=20_000)
    peer = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=seed)
    width = peer.confidence_interval.high - peer.confidence_interval.low
    assert [ours.low, ours.high] == pytest.approx(list(peer.confidence_interval), abs=0.05 * width)


@pytest.mark.parametrize(
    ("rate", "n"), [(0.5, 40), (0.8, 60), (0.9, 360), (0.98, 50), (0.986, 360), (0.995, 360)]
)
def test_interval_of_a_proportion_covers_the_truth(rate: float, n: int) -> None:
    """Nominally 95 %; plain percentiles cover 60 % at 0.98 of 50, and 87 % at 0.986 of 360."""
    rng = np.random.default_rng(int(1000 * rate) + n)
    trials, covered = 300, 0
    for trial in range(trials):
        right = (rng.random(n) < rate).astype(float)
        _, low, high = proportion(mean_interval(right, seed=trial), n)
        covered += bool(low <= rate <= high)
    assert covered / trials >= 0.91


def test_interval_of_a_skewed_mean_covers_the_truth() -> None:
    """Losses are skewed; 300 samples of 100 lognormal values around a mean of exp(1/2)."""
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(300):
        _, low, high = mean_interval(rng.lognormal(0, 1, size=100), seed=trial)
        covered += bool(low <= np.exp(0.5) <= high)
    assert covered / 300 >= 0.88


@pytest.mark.parametrize("n", [1, 5, 20, 360])
def test_all_or_none_right_gets_the_exact_bound(n: int) -> None:
    exact = stats.binomtest(n, n).proportion_ci(method="exact")
    low, high = proportion(mean_interval(np.ones(n)), n)[1:]
    assert (low, high) == (pytest.approx(exact.low), 1)
    low, high = proportion(mean_interval(np.zeros(n)), n)[1:]
    assert (low, high) == (0, pytest.approx(1 - exact.low))


def test_more_errors_never_raise_the_bounds() -> None:
    bounds = []
    for errors in range(6):
        right = np.ones(40)
        right[:errors] = 0
        bounds.append(proportion(mean_interval(right), 40)[1:])
    lows, highs = np.array(bounds, dtype=float).T
    assert (np.diff(lows) <= 0).all()
    assert (np.diff(highs) <= 0).all()


def test_undefined_statistics_stay_undefined_and_do_not_spoil_their_neighbours() -> None:
    values = np.arange(30.0)

    def statistic(index: np.ndarray) -> np.ndarray:
        mean = values[index].mean(axis=1)
        sometimes = np.where(
            (index == 0).any(axis=1), mean, np.nan
        )  # missing in a third of resamples
        return np.stack([np.full(len(index), np.nan), mean, sometimes], axis=1)

    value, low, high = bootstrap(statistic, 30)
    assert np.isnan([value[0], low[0], high[0]]).all()
    assert low[1] == mean_interval(values).low
    assert low[2] < value[2] < high[2]


def test_centred_interval_holds_a_statistic_that_resampling_inflates() -> None:
    """The absolute mean of values around zero is larger in nearly every resample than in the
    sample.
    """
    values = np.random.default_rng(2).normal(size=200)
    values -= values.mean() - 0.001

    def statistic(index: np.ndarray) -> np.ndarray:
        return np.abs(values[index].mean(axis=1))

    draws = statistic(np.random.default_rng(0).integers(200, size=(1000, 200)))
    value, low, high = bootstrap(statistic, 200, centred=True)
    assert value < np.quantile(draws, 0.025)  # a percentile interval would leave the value out
    assert low < value < high
    assert high - low == pytest.approx(np.subtract(*np.quantile(draws, [0.975, 0.025])), rel=0.1)


def test_a_sample_larger_than_a_chunk_is_drawn_row_by_row() -> None:
    n = CHUNK + 1
    _, low, high = bootstrap(lambda index: index.mean(axis=1), n, resamples=3)
    assert low <= (n - 1) / 2 <= high


def test_interval_reads_as_a_range() -> None:
    interval = Interval(*map(np.asarray, (0.986, 0.972, 0.994)))
    assert interval.text() == "97.2–99.4 %"
    assert interval.text(".2f") == "0.97–0.99"
