"""Learning curves: how accuracy grows with the number of training images, and what twice as many would give.

Law and weights: Cortes et al., "Learning curves: asymptotic values and rate of convergence" (1993); Figueroa et al.,
"Predicting sample size required for classification performance" (2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from striate.errors import UsageError
from striate.statistics.intervals import Z, wilson
from striate.statistics.power_law import Law, fit_law
from striate.wording import counted

RESAMPLES = 500
LEAST_SIZES = 4  # a law of three unknowns and one more
KEPT = 5  # sizes that are kept when small ones are left out because they do not follow the law
REJECTED = 0.05  # a fit this unlikely does not follow the law
PRIOR = 4.0  # degrees of freedom with which the spread over all sizes counts at each size
WIDE = 0.2  # of accuracy: an interval at twice the data wider than this says nothing
TWICE = 2


@dataclass(frozen=True)
class Trial:
    """One training on `images` images (stream: by which seed), which got `right` of `tested` test images."""

    images: int
    right: int
    tested: int
    seed: int = 0

    @property
    def accuracy(self) -> float:
        """Share right."""
        return self.right / self.tested


@dataclass(frozen=True)
class Point:
    """All trainings on one number of images. low, high: 95 % interval of their mean accuracy."""

    images: int
    accuracy: float
    low: float
    high: float
    trials: int


@dataclass(frozen=True)
class LearningCurve:
    """A fitted learning curve.

    points: what was measured, by size. law: the fit; draws: the fits of resampled curves, the fit's uncertainty. noise: the
    standard deviation of the accuracy of one more training at the largest sizes. first: the smallest size that was fitted.
    undetermined: why the data do not determine the curve, or empty.
    """

    points: tuple[Point, ...]
    law: Law
    draws: Law
    noise: float
    first: int
    seed: int
    undetermined: str = ""

    @property
    def largest(self) -> int:
        """The largest number of images that was measured."""
        return self.points[-1].images

    def accuracy(self, n: np.ndarray | float) -> np.ndarray:
        """The fitted accuracy (M,) at n (M,) images."""
        return np.clip(1 - self.law.error(n)[0], 0, 1)

    def band(self, n: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """The 95 % band (M,), (M,) of the mean accuracy at n images, from the resampled curves."""
        low, high = np.quantile(1 - self.draws.error(n), (0.025, 0.975), axis=0)
        return np.clip(low, 0, 1), np.clip(high, 0, 1)

    def predict(self, n: float) -> tuple[float, float, float]:
        """Accuracy at n images with the 95 % interval of one new training, tested on as many images (value, low, high).

        Raises UsageError beyond twice the largest size: there the law is a guess.
        """
        if not 1 <= n <= TWICE * self.largest:
            raise UsageError(
                f"a learning curve of up to {self.largest:,} images is extrapolated to at most {TWICE * self.largest:,}, "
                f"got {n:,.0f}; measure a larger number of images first"
            )
        rng = np.random.default_rng([self.seed, 1])
        drawn = 1 - self.draws.error(n)[:, 0]
        drawn = drawn + rng.normal(0, self.noise, len(drawn))
        low, high = np.clip(np.quantile(drawn, (0.025, 0.975)), 0, 1)
        value = float(self.accuracy(n)[0])
        return value, min(value, float(low)), max(value, float(high))

    def images_for(self, accuracy: float) -> tuple[int, int | None, int | None] | None:
        """About how many images reach an accuracy, with the 95 % interval; None where more than twice the largest size.

        A bound is None where it lies beyond twice the largest size.
        """
        most = TWICE * self.largest
        value = float(self.law.images_for(1 - accuracy)[0])
        if not value <= most:
            return None
        drawn = np.sort(self.draws.images_for(1 - accuracy))
        low, high = (float(drawn[round(q * (len(drawn) - 1))]) for q in (0.025, 0.975))
        low, high = min(low, value), max(high, value)
        bound = [None if not v <= most else max(1, int(np.ceil(v))) for v in (low, high)]
        return max(1, int(np.ceil(value))), bound[0], bound[1]


def gather(trials: Sequence[Trial]) -> tuple[Point, ...]:
    """The trainings by their number of images, each size with the interval of its mean.

    The interval is Wilson's of a single test set (seeds are tested on the same images, which does not make them more),
    widened by the spread over seeds where that is larger. Raises UsageError for trials without test images.
    """
    if any(t.tested < 1 for t in trials):
        raise UsageError("a learning curve needs test images; give some")
    points = []
    for n in sorted({t.images for t in trials}):
        here = [t for t in trials if t.images == n]
        shares = np.array([t.accuracy for t in here])
        mean, tested = float(shares.mean()), min(t.tested for t in here)
        low, high = wilson(mean * tested, tested)
        if len(here) > 1:
            reach = Z * float(shares.std(ddof=1)) / np.sqrt(len(here))
            low, high = min(low, max(0.0, mean - reach)), max(high, min(1.0, mean + reach))
        points.append(Point(n, mean, low, high, len(here)))
    return tuple(points)


def fit_curve(
    trials: Sequence[Trial], *, least: int = 1, seed: int = 0, resamples: int = RESAMPLES
) -> LearningCurve:
    """Fit error = a + b n^-c to trainings, with its uncertainty.

    Weights are the inverse variances of the mean errors: binomial by the number of test images, larger where seeds differ by
    more than that. The smallest sizes are left out one by one while the law is rejected (a curve begins at chance, where it
    follows no power law); what then still misfits widens the intervals. Uncertainty comes from a parametric bootstrap of the
    mean errors. least: the smallest size that may be fitted, such as one image a class. Raises UsageError for no trials.
    """
    if not trials:
        raise UsageError("a learning curve needs trainings on several numbers of images; got none")
    points = gather(trials)
    usable = [p.images for p in points if p.images >= least] or [p.images for p in points]
    sizes = np.array(usable, float)
    tested = np.array([min(t.tested for t in trials if t.images == n) for n in usable], float)
    count = np.array([sum(t.images == n for t in trials) for n in usable], float)
    errors = np.array([np.mean([1 - t.accuracy for t in trials if t.images == n]) for n in usable])
    # One right and one wrong image more, so that a perfect score is not taken for certain.
    binomial = (errors * tested + 1) * (tested - errors * tested + 1) / (tested + 2) ** 2 / tested
    for _ in range(2):  # the second time with the variances of the fitted errors
        single = binomial * _overdispersion(trials, usable, binomial)
        start, law, misfit = _fitted(sizes, errors, single / count)
        p = np.clip(law.error(sizes)[0], 1 / (tested + 2), 1 - 1 / (tested + 2))
        binomial = p * (1 - p) / tested
    variances = misfit * single / count
    rng = np.random.default_rng([seed, 0])
    centre = np.clip(law.error(sizes[start:])[0], 0, 1)
    drawn = centre + rng.standard_normal((resamples, len(centre))) * np.sqrt(variances[start:])
    draws = fit_law(sizes[start:], drawn, variances[start:])
    noise = float(np.sqrt(misfit * single[-2:].mean()))
    curve = LearningCurve(points, law, draws, noise, int(sizes[start]), seed)
    return replace(curve, undetermined=_undetermined(curve, len(sizes) - start))


def _fitted(sizes: np.ndarray, errors: np.ndarray, variances: np.ndarray) -> tuple[int, Law, float]:
    """The first size that is fitted, the law, and by how much its misfit is larger than the variances explain (>= 1)."""
    from scipy.stats import chi2  # takes a moment

    start = 0
    while True:
        law = fit_law(sizes[start:], errors[start:], variances[start:])
        misfit = float((((errors - law.error(sizes)[0]) ** 2) / variances)[start:].sum())
        free = max(1, len(sizes) - start - 3)
        if chi2.sf(misfit, free) > REJECTED or len(sizes) - start <= KEPT:
            return start, law, max(1.0, misfit / free)
        start += 1


def _overdispersion(
    trials: Sequence[Trial], sizes: Sequence[int], binomial: np.ndarray
) -> np.ndarray:
    """(M,) how many times the binomial variance single trainings vary at each size, at least 1.

    Two or three seeds say little about a size of their own, so that each is drawn to the spread of all sizes.
    """
    squares, free = np.zeros(len(sizes)), np.zeros(len(sizes))
    for i, n in enumerate(sizes):
        shares = np.array([t.accuracy for t in trials if t.images == n])
        free[i] = len(shares) - 1
        squares[i] = ((shares - shares.mean()) ** 2).sum() / binomial[i]
    pooled = squares.sum() / free.sum() if free.sum() else 1.0
    return np.maximum(1.0, (PRIOR * pooled + squares) / (PRIOR + free))


def _undetermined(curve: LearningCurve, fitted: int) -> str:
    if fitted < LEAST_SIZES:
        return f"{counted(fitted, 'size')} of {curve.first:,} images and more, too few for a law of three numbers"
    _, low, high = curve.predict(TWICE * curve.largest)
    if high - low > WIDE:
        return f"at twice the images anything from {100 * low:.0f} % to {100 * high:.0f} % fits"
    gain = curve.draws.error(float(curve.first)) - curve.draws.error(float(curve.largest))
    if np.quantile(gain, 0.025) <= 0:
        return "the accuracy does not grow with the number of images by more than chance"
    return ""
