"""Calibration: whether the network is correct as often as its confidence claims."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from striate.figures import BLUE, VERMILLION, new_figure, render, style
from striate.findings import Figure, Finding, Status, Table
from striate.statistics.bootstrap import Interval, bootstrap
from striate.statistics.scores import ArrayLike, Scores
from striate.wording import percent

BINS = 15
CHANCE_DRAWS = 1000


def _bins(confidence: np.ndarray) -> np.ndarray:
    """The bin of each confidence (N,), with torchmetrics' edges: equal widths, the left edge
    belongs to the bin.
    """
    edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float32)
    return (torch.bucketize(torch.from_numpy(confidence), edges, right=True) - 1).numpy()


def calibration_error(scores: Scores, *, seed: int = 0) -> Interval:
    """Expected calibration error: mean distance of confidence from accuracy over 15 bins (Guo et
    al. 2017, eq. 3).
    """
    # Here, since torchmetrics takes a second to import, which a prediction need not wait for.
    from torchmetrics.functional.classification import multiclass_calibration_error

    bins = _bins(scores.confidence)
    gap = scores.correct - scores.confidence.astype(np.float64)

    def error(index: np.ndarray) -> np.ndarray:
        r, n = index.shape
        cell = bins[index] + BINS * np.arange(r)[:, None]
        sums = np.bincount(cell.ravel(), weights=gap[index].ravel(), minlength=BINS * r)
        return np.abs(sums.reshape(r, BINS)).sum(axis=1) / n

    interval = bootstrap(error, len(scores), seed=seed, centred=True)
    p, _, y = scores.tensors
    value = float(multiclass_calibration_error(p, y, len(scores.classes), n_bins=BINS, norm="l1"))
    return Interval(
        np.asarray(value),
        np.clip(np.minimum(interval.low, value), 0, 1),
        np.clip(np.maximum(interval.high, value), 0, 1),
    )


def expected_error(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Expected calibration error of (N, K) for (N,): mean distance of confidence from accuracy over equal bins (Guo et
    al. 2017, eq. 3).
    """
    confidence, predicted = probabilities.float().max(1)
    gap = (predicted == labels).double() - confidence.double()
    at = torch.bucketize(confidence, torch.linspace(0, 1, bins + 1), right=True)
    sums = torch.zeros(bins + 2, dtype=torch.double).index_add_(0, at, gap)
    return float(sums.abs().sum()) / len(labels)


def chance_error(scores: Scores, *, seed: int = 0) -> tuple[float, float]:
    """Mean and 95th percentile of the calibration error that a perfectly calibrated network
    would show by chance.

    Same confidences, predictions correct with exactly that probability (consistency resampling, Broecker
    and Smith 2007).
    """
    rng = np.random.default_rng(seed)
    bins = _bins(scores.confidence)
    order = np.argsort(bins, kind="stable")
    confidence = scores.confidence[order].astype(np.float64)
    _, starts = np.unique(bins[order], return_index=True)
    errors = []
    for _ in range(CHANCE_DRAWS):
        gap = (rng.random(len(scores)) < confidence) - confidence
        errors.append(np.abs(np.add.reduceat(gap, starts)).sum() / len(scores))
    return float(np.mean(errors)), float(np.quantile(errors, 0.95))


def calibration(
    probabilities: ArrayLike, labels: ArrayLike, classes: Sequence[str], *, seed: int = 0
) -> Finding:
    """Calibration error of probabilities (N, K) for labels (N,), with the reliability diagram
    and what it means.

    Raises DataError if the inputs do not fit together.
    """
    scores = Scores.of(probabilities, labels, classes)
    n = len(scores)
    error = calibration_error(scores, seed=seed)
    by_chance, limit = chance_error(scores, seed=seed)
    accuracy, confidence = float(scores.correct.mean()), float(scores.confidence.mean())
    over = confidence - accuracy
    beyond_chance = float(error.value) > limit
    reliability = (
        f"mean confidence {percent(confidence)}, accuracy {percent(accuracy)} "
        f"(calibration error {percent(float(error.value))}, 95 % interval {error.text()})"
    )
    status: Status
    if not beyond_chance:
        status, advice = "good", ""
        verdict = (
            f"Well calibrated, as far as {n:,} image{'s' * (n > 1)} can show: {reliability}; "
            f"chance alone would give {percent(by_chance)}."
        )
    else:
        serious = float(error.value) > 0.05
        status = "warning" if serious else "note"
        word = "Over-confident" if over > 0 else "Under-confident"
        if abs(over) < float(error.value) / 3:
            word = "Over-confident in places and under-confident in others"
        verdict = (
            f"{'' if serious else 'Slightly '}{word if serious else word.lower()}: {reliability}."
        )
        advice = (
            "Do not act on a probability alone; a temperature fitted on more validation images "
            "(Guo et al. 2017) would correct it."
            if serious
            else ""
        )
    if n < 100 and status == "good":
        status = "note"
    rows = _rows(scores)
    return Finding(
        name="calibration",
        title="Whether its confidence can be trusted",
        verdict=verdict,
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=("confidence", "images", "mean confidence", "accuracy", "gap"),
                rows=tuple(rows),
                formats=("", ",", ".1%", ".1%", "+.1%"),
                caption=f"Bins of the reliability diagram that hold images; {BINS} equal widths.",
            ),
        ),
        figures=(_diagram(scores),),
        data={
            "calibration_error": {k: float(v) for k, v in error._asdict().items()},
            "by_chance": {"mean": by_chance, "limit95": limit},
            "mean_confidence": confidence,
            "accuracy": accuracy,
            "overconfidence": over,
            "bins": BINS,
        },
        seed=seed,
    )


def _rows(scores: Scores) -> list[tuple[str | float, ...]]:
    bins = _bins(scores.confidence)
    rows: list[tuple[str | float, ...]] = []
    for b in np.unique(bins):
        here = bins == b
        confidence, accuracy = (
            float(scores.confidence[here].mean()),
            float(scores.correct[here].mean()),
        )
        rows.append(
            (
                f"{100 * b / BINS:.0f}–{100 * (b + 1) / BINS:.0f} %",
                int(here.sum()),
                confidence,
                accuracy,
                accuracy - confidence,
            )
        )
    return rows


def _wilson(rate: np.ndarray, n: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval (1927): three of three correct images do not make a certainty."""
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + (z / (2 * n)) ** 2)
    return centre - reach, centre + reach


def _diagram(scores: Scores) -> Figure:
    """Reliability diagram above, number of images a bin below, on one confidence axis."""
    bins = _bins(scores.confidence)
    counts = np.bincount(bins, minlength=BINS)
    filled = np.flatnonzero(counts)
    accuracy = np.bincount(bins, weights=scores.correct, minlength=BINS)[filled] / counts[filled]
    confidence = (
        np.bincount(bins, weights=scores.confidence, minlength=BINS)[filled] / counts[filled]
    )
    with style():
        figure = new_figure(5.2, 4.6)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        top.plot([0, 1], [0, 1], color="#8c959f", linewidth=1, linestyle=(0, (4, 3)))
        low, high = _wilson(accuracy, counts[filled])
        top.vlines(confidence, low, high, color=BLUE, linewidth=3, alpha=0.3)
        # No line from bin to bin: through bins of one image it would draw mountains out of chance.
        sizes = 14 + 90 * counts[filled] / counts.max()
        top.scatter(
            confidence, accuracy, s=sizes, color=BLUE, linewidths=0, zorder=3, clip_on=False
        )
        top.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.03), title="Reliability")
        centres = (filled + 0.5) / BINS
        bottom.bar(centres, counts[filled], width=0.9 / BINS, color=VERMILLION, alpha=0.85)
        bottom.set(xlabel="confidence", ylabel="images", yscale="log")
        bottom.set_ylim(0.5, max(10, counts.max() * 6))
        bottom.yaxis.set_ticks([])
        bottom.yaxis.set_ticks([], minor=True)
        bottom.spines["left"].set_visible(False)
        for x, count in zip(centres, counts[filled], strict=True):
            bottom.annotate(
                f"{count:,}" if count < 10_000 else f"{count / 1000:.0f}k",
                (x, count),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
        for axis in (top.yaxis, bottom.xaxis):
            axis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        return render(
            figure,
            caption=(
                "Points on the dashed line are correct as often as they claim; below it the network "
                "is over-confident. Larger points hold more images. "
                "Bars: 95 % range of each bin; lower panel: how many images it holds (log scale)."
            ),
            alt=(
                f"Reliability diagram of {len(scores):,} images in {len(filled)} bins: mean "
                "confidence "
                f"{percent(float(scores.confidence.mean()))}, accuracy "
                f"{percent(float(scores.correct.mean()))}."
            ),
        )
