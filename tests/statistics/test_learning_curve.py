"""Learning curves of known law: the interval covers, the numbers of images are the law's, and doubt is said."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import nnls

from striate.errors import UsageError
from striate.statistics.learning_curve import Trial, fit_curve, gather
from striate.statistics.learning_words import backtest, forecast, milestone
from striate.statistics.power_law import EXPONENTS, fit_law

SIZES = (10, 20, 40, 80, 160, 320, 640, 1280)
LAWS = ((0.0, 1.5, 0.5), (0.05, 1.0, 0.4), (0.1, 2.0, 0.8), (0.0, 5.0, 1.0))


def exact(a: float, b: float, c: float, tested: int = 100_000) -> list[Trial]:
    return [Trial(n, round(tested * (1 - a - b * n**-c)), tested) for n in SIZES]


def simulated(law: tuple[float, float, float], rng: np.random.Generator) -> list[Trial]:
    """Three seeds a size, 500 test images; seeds differ by a tenth of the error."""
    a, b, c = law
    trials = []
    for n, seed in itertools.product(SIZES, range(3)):
        error = np.clip((a + b * n**-c) * (1 + 0.1 * rng.standard_normal()), 0, 1)
        trials.append(Trial(n, int(rng.binomial(500, 1 - error)), 500, seed))
    return trials


def test_a_law_without_noise_is_found_again() -> None:
    for a, b, c in LAWS:
        n = np.array(SIZES, float)
        law = fit_law(n, a + b * n**-c, np.ones(len(n)))
        assert float(law.c[0]) == pytest.approx(c, rel=0.02)
        assert law.error(2560.0)[0, 0] == pytest.approx(a + b * 2560**-c, abs=1e-3)


def test_it_is_the_best_of_non_negative_least_squares() -> None:
    rng = np.random.default_rng(3)
    n, y, v = np.array(SIZES, float), rng.random((6, len(SIZES))), rng.random(len(SIZES)) + 0.1
    law = fit_law(n, y, v)
    for i in range(6):
        losses = []
        for c in EXPONENTS:
            design = np.stack([np.ones(len(n)), (n / n.max()) ** -c], 1) / np.sqrt(v)[:, None]
            losses.append(nnls(design, y[i] / np.sqrt(v))[1] ** 2)
        own = (((y[i] - law.error(n)[i]) ** 2) / v).sum()
        assert own <= min(losses) * (1 + 1e-9)


def test_the_interval_at_twice_the_data_covers_new_trainings_and_the_truth() -> None:
    rng = np.random.default_rng(11)
    new = mean = 0
    for i in range(200):
        a, b, c = LAWS[i % len(LAWS)]
        curve = fit_curve(simulated((a, b, c), rng), seed=i, resamples=200)
        truth = a + b * 2560**-c
        _, low, high = curve.predict(2560)
        error = np.clip(truth * (1 + 0.1 * rng.standard_normal()), 0, 1)
        new += low <= rng.binomial(500, 1 - error) / 500 <= high
        below, above = curve.band(2560.0)
        mean += below[0] <= 1 - truth <= above[0]
    assert new >= 0.9 * 200 and mean >= 0.9 * 200


def test_images_that_reach_an_accuracy_are_the_laws_and_never_beyond_twice_the_data() -> None:
    curve = fit_curve(exact(0.0, 1.5, 0.5))
    target = 1 - 1.5 * 2000**-0.5
    needed, low, high = curve.images_for(target) or (0, 0, 0)
    assert needed == pytest.approx(2000, rel=0.03)
    assert low is not None and low <= needed and (high is None or high >= needed)
    assert curve.images_for(1 - 1.5 * 3000**-0.5) is None
    assert curve.images_for(1.0) is None
    with pytest.raises(UsageError, match="at most 2,560"):
        curve.predict(2561)


def test_a_milestone_lies_between_today_and_twice_the_data() -> None:
    reached = milestone(fit_curve(exact(0.0, 1.5, 0.5)))
    assert reached is not None
    assert reached[0] == 0.96 and reached[1][0] == pytest.approx(1406, rel=0.01)


@pytest.mark.parametrize(
    ("trials", "why"),
    [
        ([Trial(n, 80, 100) for n in (10, 20, 40)], "3 sizes of 10 images and more, too few"),
        ([Trial(5, 80, 100)], "1 size of 5"),
        ([Trial(n, r, 12, s) for n in SIZES for s, r in enumerate((3, 9))], "fits"),
        ([Trial(n, 800, 1000) for n in SIZES], "does not grow"),
    ],
    ids=["few-sizes", "one-size", "few-test-images", "flat"],
)  # fmt: skip
def test_what_the_data_do_not_determine_is_said(trials: list[Trial], why: str) -> None:
    curve = fit_curve(trials)
    assert why in curve.undetermined
    assert forecast(curve).startswith("The data do not determine the curve")


def test_sizes_at_chance_are_left_out_of_the_fit() -> None:
    trials = [Trial(n, 100, 1000, s) for n in (2, 3, 4) for s in range(2)] + [
        Trial(n, round(1000 * (1 - 2 * n**-0.5)), 1000, s) for n in SIZES for s in range(2)
    ]
    curve = fit_curve(trials)
    assert curve.first == 10
    assert float(curve.accuracy(2560.0)[0]) == pytest.approx(1 - 2 * 2560**-0.5, abs=0.01)


def test_yesterday_is_compared_with_today() -> None:
    found = backtest(exact(0.05, 1.0, 0.4, tested=2000))
    assert found is not None and found.held and found.fitted == 640 and found.images == 1280
    assert backtest(exact(0.05, 1.0, 0.4)[4:]) is None


def test_intervals_of_points_are_wilsons_or_those_of_the_seeds() -> None:
    same, apart = gather(
        [Trial(5, 90, 100), Trial(5, 90, 100, 1), Trial(9, 70, 100), Trial(9, 96, 100, 1)]
    )
    assert (round(same.low, 3), round(same.high, 3)) == (0.826, 0.945)
    assert apart.low < 0.6 and apart.high == 1.0
    with pytest.raises(UsageError, match="test images"):
        gather([Trial(5, 0, 0)])


def test_ticks_between_powers_of_ten_are_plain_numbers() -> None:
    from striate.statistics.learning_drawing import between

    assert [between(v, 9, 70) for v in (20.0, 30.0, 50.0)] == ["20", "", "50"]
    assert between(2000.0, 900, 9000) == "2,000"
    assert between(20.0, 5, 20_000) == ""
