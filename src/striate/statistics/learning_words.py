"""What a learning curve says in sentences and tables: how many more labels are needed, and whether that can be known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.findings import Table
from striate.statistics.learning_curve import (
    LEAST_SIZES,
    TWICE,
    LearningCurve,
    Trial,
    fit_curve,
)
from striate.wording import percent

STEPS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)  # of round accuracies


@dataclass(frozen=True)
class Backtest:
    """What the sizes up to half the images predicted for all of them, with its interval, and what was then measured."""

    fitted: int
    images: int
    predicted: float
    low: float
    high: float
    measured: float

    @property
    def held(self) -> bool:
        """Whether the measurement lies in the interval."""
        return self.low <= self.measured <= self.high

    @property
    def sentence(self) -> str:
        """In words."""
        said = (
            f"Fitted to at most {self.fitted:,} images, the law predicted {_span(self.predicted, self.low, self.high)} for "
            f"{self.images:,}"
        )
        return f"{said}; measured: {percent(self.measured)}, {'inside' if self.held else 'outside'} the interval"


def backtest(trials: Sequence[Trial], *, least: int = 1, seed: int = 0) -> Backtest | None:
    """Predict the largest size from the sizes up to half of it; None where those are too few or do not determine a curve."""
    largest = max(t.images for t in trials)
    before = [t for t in trials if TWICE * t.images <= 1.02 * largest and t.images >= least]
    if len({t.images for t in before}) < LEAST_SIZES:
        return None
    curve = fit_curve(before, least=least, seed=seed)
    if curve.undetermined:
        return None
    last = [t.accuracy for t in trials if t.images == largest]
    value, low, high = curve.predict(min(largest, TWICE * curve.largest))
    return Backtest(curve.largest, largest, value, low, high, float(np.mean(last)))


def milestone(curve: LearningCurve) -> tuple[float, tuple[int, int | None, int | None]] | None:
    """The roundest accuracy between today's and that of twice the images, and how many images reach it; None for none."""
    now, then = (float(curve.accuracy(n)[0]) for n in (curve.largest, TWICE * curve.largest))
    now = max(now, curve.points[-1].accuracy)  # what was measured needs no more images
    for step in STEPS:
        target = round(float(np.floor(then / step + 1e-9)) * step, 4)
        if now < target <= then and target < 1:
            needed = curve.images_for(target)
            return None if needed is None else (target, needed)
    return None


def forecast(curve: LearningCurve) -> str:
    """How many more labels are needed, as one or two sentences without the last full stop."""
    if curve.undetermined:
        return f"The data do not determine the curve: {curve.undetermined}; more sizes, seeds or test images would"
    n = TWICE * curve.largest
    now = curve.points[-1]
    value, low, high = curve.predict(n)
    text = (
        f"Twice the images ({n:,}) would give {_span(value, low, high)}, against {percent(now.accuracy)} measured with "
        f"{curve.largest:,}"
    )
    if low <= now.accuracy:
        text += ", which lies in that interval: a gain is not certain"
    reached = milestone(curve)
    if reached is not None:
        target, (needed, fewest, most) = reached
        bounds = f"{fewest or needed:,} to " + (f"{most:,}" if most else f"more than {n:,}")
        text += f"; about {needed:,} images reach {percent(target)} ({bounds})"
    return text


def _span(value: float, low: float, high: float) -> str:
    return f"{percent(value)} ({percent(low).removesuffix(' %')}–{percent(high)})"


def curve_tables(curves: dict[str, LearningCurve], tested: int) -> tuple[Table, ...]:
    """What was measured at each size, and the laws with their forecasts; a block of rows a curve."""
    measured = tuple(
        (name, p.images, p.accuracy, p.low, p.high, p.trials)
        for name, curve in curves.items()
        for p in curve.points
    )
    laws: list[tuple[Any, ...]] = []
    for name, curve in curves.items():
        sure = not curve.undetermined
        value, low, high = curve.predict(TWICE * curve.largest)
        law = [float(v[0]) for v in curve.law] if sure else [None] * 3
        laws.append(
            (name, *law, curve.first, TWICE * curve.largest, *((value, low, high) if sure else [None] * 3),
             "no" if curve.undetermined else "yes")
        )  # fmt: skip
    return (
        Table(
            columns=("what", "images", "right", "from", "to", "trainings"),
            rows=measured,
            formats=("", ",d", ".1%", ".1%", ".1%", "d"),
            caption=f"{tested:,} test images; mean over trainings, each on other images and from other first weights, with "
            "its 95 % interval.",
        ),
        Table(
            columns=("what", "a", "b", "c", "fitted from", "images", "forecast", "from", "to", "determined"),
            rows=tuple(laws),
            formats=("", ".3f", ".3g", ".2f", ",d", ",d", ".1%", ".1%", ".1%", ""),
            caption="error = a + b n^-c, fitted from the size where it holds; the forecast for twice the images with the "
            "95 % interval of one new training.",
        ),
    )  # fmt: skip


def curve_data(curve: LearningCurve) -> dict[str, Any]:
    """The curve as JSON types."""
    value, low, high = curve.predict(TWICE * curve.largest)
    return {
        "images": [p.images for p in curve.points],
        "accuracy": [p.accuracy for p in curve.points],
        "intervals": [[p.low, p.high] for p in curve.points],
        "law": {k: float(v[0]) for k, v in curve.law._asdict().items()},
        "fitted_from": curve.first,
        "undetermined": curve.undetermined,
        "twice": {"images": TWICE * curve.largest, "accuracy": value, "low": low, "high": high},
    }
