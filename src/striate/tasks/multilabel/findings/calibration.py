"""Calibration of tags: whether a tag that gets 70 % is there in 70 % of the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.figures import BLUE, new_figure, render, style
from striate.findings import Cell, Figure, Finding, Status, Table
from striate.statistics.intervals import wilson
from striate.wording import percent, quoted

BINS = 10
DRAWS = 1000  # perfectly calibrated taggers, which show what chance alone does


def calibration(shares: np.ndarray, targets: np.ndarray, tags: Sequence[str], *, seed: int = 0) -> Finding:  # fmt: skip
    """Expected calibration error of each tag over 10 bins of probability, from shares (N, K) and targets (N, K).

    Each stands beside what a perfectly calibrated network would show by chance (consistency resampling, Broecker and
    Smith 2007): at most, with all tags together, in 95 of 100 cases.
    """
    rng = np.random.default_rng(seed)
    true = (targets > 0.5).astype(np.float64)
    rows: list[tuple[Cell, ...]] = []
    off: list[tuple[float, int]] = []
    errors: list[float] = []
    for k, tag in enumerate(tags):
        bins = np.minimum((shares[:, k] * BINS).astype(int), BINS - 1)
        error = float(errors_of(bins, true[None, :, k] - shares[None, :, k])[0])
        drawn = (rng.random((DRAWS, len(shares))) < shares[:, k]) - shares[:, k]
        limit = float(np.quantile(errors_of(bins, drawn), 1 - 0.05 / len(tags)))
        predicted, has = float(shares[:, k].mean()), float(true[:, k].mean())
        rows.append((tag, predicted, has, predicted - has, error, limit))
        errors.append(error)
        if error > limit:
            off.append((error - limit, k))
    status: Status = "good"
    advice = ""
    if not off:
        verdict = (
            "Its probabilities are calibrated, as far as these images show: no tag's calibration error is "
            "above what chance gives."
        )
    else:
        k = max(off)[1]
        predicted, has = float(shares[:, k].mean()), float(true[:, k].mean())
        status = "warning" if errors[k] > 0.1 else "note"
        verdict = (
            f"The probabilities of {len(off)} of {len(tags)} tags are off by more than chance; most so {quoted(tags[k])}: "
            f"it gets {percent(predicted)} on average, and {percent(has)} of the images have it."
        )
        advice = "Give tags by their thresholds, not by their probabilities." if status == "warning" else ""  # fmt: skip
    return Finding(
        name="calibration",
        title="Whether its probabilities can be trusted",
        verdict=verdict,
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=("tag", "mean probability", "images that have it", "gap", "calibration error", "chance, at most"),
                rows=tuple(rows),
                formats=("", ".1%", ".1%", "+.1%", ".1%", ".1%"),
                caption=f"Calibration error: mean distance of probability from frequency over {BINS} bins. Chance: what a "
                "perfectly calibrated network stays below with all its tags in 95 of 100 cases.",
            ),
        ),
        figures=(_diagram(shares, true),),
        data={
            "tags": list(tags),
            "errors": errors,
            "by_chance": [row[5] for row in rows],
            "off": [tags[k] for _, k in sorted(off, reverse=True)],
        },
        seed=seed,
    )  # fmt: skip


def errors_of(bins: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Expected calibration errors (R,) of gaps (R, N) between targets and probabilities, in bins (N,)."""
    member = np.eye(BINS)[bins]  # (N, BINS)
    return np.abs(gaps @ member).sum(1) / len(bins)


def _diagram(shares: np.ndarray, true: np.ndarray) -> Figure:
    """All tags together: how often a tag is there, by its probability."""
    flat, there = shares.ravel(), true.ravel()
    bins = np.minimum((flat * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    filled = np.flatnonzero(counts)
    predicted = np.bincount(bins, flat, BINS)[filled] / counts[filled]
    has = np.bincount(bins, there, BINS)[filled] / counts[filled]
    with style():
        figure = new_figure(4.8, 4.2)
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1], color="#8c959f", linewidth=1, linestyle=(0, (4, 3)))
        for x, rate, n in zip(predicted, has, counts[filled], strict=True):
            ax.vlines(x, *wilson(rate * n, int(n)), color=BLUE, linewidth=3, alpha=0.3)
        sizes = 14 + 90 * counts[filled] / counts.max()
        ax.scatter(predicted, has, s=sizes, color=BLUE, linewidths=0, zorder=3, clip_on=False)
        ax.set(xlabel="probability of a tag", ylabel="images that have it", xlim=(0, 1), ylim=(0, 1.03))  # fmt: skip
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        return render(
            figure,
            caption="All tags together. Points on the dashed line occur as often as their probability says; below it the "
            "network says too much. Larger points stand for more answers; bars: 95 % range.",
            alt=f"Reliability of {len(flat):,} answers in {len(filled)} bins.",
        )
