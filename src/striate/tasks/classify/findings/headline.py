"""The headline: how often the network is right on images it never saw, and against what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.findings import Finding, Status, Table
from striate.statistics.bootstrap import Interval, bootstrap, proportion
from striate.statistics.calibration import BINS, calibration_error
from striate.statistics.scores import ArrayLike, Scores
from striate.wording import percent, quoted

TOP = 5
TOP_MEANS_SOMETHING = 11  # of ten classes, five guesses are right half the time
FEW_IMAGES = 100
SMALLEST = float(
    np.finfo(np.float32).eps
)  # a probability of zero would cost infinity; scikit-learn's choice too


def headline(
    probabilities: ArrayLike, labels: ArrayLike, classes: Sequence[str], *, seed: int = 0
) -> Finding:
    """Accuracy, negative log-likelihood and calibration error of probabilities (N, K) for labels
    (N,).

    Each has a bootstrap 95 % interval; accuracy stands against always guessing the most common
    class, and top-5 is added when there are more than ten classes. Raises DataError if the inputs
    do not fit together.
    """
    scores = Scores.of(probabilities, labels, classes)
    n, k = len(scores), len(scores.classes)
    of_truth = scores.probabilities[np.arange(n), scores.labels]
    accuracy = proportion(_mean(scores.correct, seed), n)
    likelihood = _mean(-np.log(np.maximum(of_truth, SMALLEST)), seed)
    ece = calibration_error(scores, seed=seed)

    guess = int(np.bincount(scores.labels, minlength=k).argmax())
    baseline = float((scores.labels == guess).mean())
    prior = np.bincount(scores.labels, minlength=k) / n
    rows: list[tuple[str | float | None, ...]] = [
        ("accuracy", float(accuracy.value), accuracy.text(), percent(baseline)),
    ]
    data = {"images": n, "classes": k, "accuracy": _json(accuracy), "baseline": baseline}
    if k >= TOP_MEANS_SOMETHING:
        top = proportion(_mean(_rank(scores, of_truth) < TOP, seed), n)
        common = float(np.sort(prior)[-TOP:].sum())
        rows.append((f"top-{TOP} accuracy", float(top.value), top.text(), percent(common)))
        data["top5"] = _json(top)
    entropy = float(-(prior[prior > 0] * np.log(prior[prior > 0])).sum())
    rows.append(
        (
            "negative log-likelihood",
            f"{likelihood.value:.3f}",
            likelihood.text(".3f"),
            f"{entropy:.3f}",
        )
    )
    rows.append(("calibration error", float(ece.value), ece.text(), None))
    data["negative_log_likelihood"] = _json(likelihood)
    data["calibration_error"] = _json(ece)
    data["key_figure"] = {
        "label": "accuracy on held-out images",
        "value": float(accuracy.value),
        "low": float(accuracy.low),
        "high": float(accuracy.high),
        "baseline": baseline,
        "baseline_label": f"always guessing {quoted(scores.classes[guess])}",
    }
    status, advice = _judge(accuracy, baseline, n)
    return Finding(
        name="headline",
        title="How good it is",
        verdict=(
            f"Accuracy {percent(float(accuracy.value))} on {n:,} held-out image{'s' * (n > 1)} "
            f"(95 % interval {accuracy.text()}); the majority-class baseline has {percent(baseline)}."
        ),
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=("measure", "value", "95 % interval", "majority-class baseline"),
                rows=tuple(rows),
                formats=("", ".1%", "", ""),
                caption=(
                    f"Measured on {n:,} held-out images of {k:,} classes; intervals from 1,000 "
                    "bootstrap resamples. "
                    "The baseline predicts the most common class for every image. "
                    "Negative log-likelihood in nats, smaller is better; calibration error over "
                    f"{BINS} bins."
                ),
            ),
        ),
        data=data,
        seed=seed,
    )


def _mean(values: np.ndarray, seed: int) -> Interval:
    values = values.astype(np.float64)
    return bootstrap(lambda index: values[index].mean(axis=1), len(values), seed=seed)


def _rank(scores: Scores, of_truth: np.ndarray) -> np.ndarray:
    """How many classes come before the true one (N,); among equals the first does, as in argmax."""
    before = np.arange(len(scores.classes)) < scores.labels[:, None]
    ahead = scores.probabilities > of_truth[:, None]
    ahead |= before & (scores.probabilities == of_truth[:, None])
    return ahead.sum(axis=1)


def _json(interval: Interval) -> dict[str, float]:
    return {name: float(value) for name, value in interval._asdict().items()}


def _judge(accuracy: Interval, baseline: float, n: int) -> tuple[Status, str]:
    """Good needs proof: an interval above the baseline, and half of its errors gone."""
    if accuracy.low <= baseline:
        more = " or test on more images" if accuracy.value > baseline else ""
        return "problem", (
            "This network is not better than the majority-class baseline. Look at the training "
            "curves and the "
            f"pictures it was given, train longer{more}."
        )
    if n < FEW_IMAGES:
        return (
            "warning",
            f"{n:,} images say little: hold out {FEW_IMAGES} or more to narrow the interval.",
        )
    if 1 - accuracy.value <= (1 - baseline) / 2:
        return "good", ""
    return (
        "note",
        "More than half of the errors of the majority-class baseline remain: see which classes are confused.",
    )
