"""Calibration: expected calibration error, before and after a temperature fitted on validation images."""

from __future__ import annotations

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.figures import BLUE, GRID, VERMILLION, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.robustness.chart import as_percent
from striate.robustness.exam import Exam
from striate.statistics.intervals import percent

BINS = 15
SLIGHT = 0.01  # a calibration error that no decision depends on
LEAST = 30  # validation images for a temperature


def expected_error(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Expected calibration error of (N, K) for (N,): mean distance of confidence from accuracy over equal bins (Guo et
    al. 2017, eq. 3).
    """
    confidence, said = probabilities.float().max(1)
    gap = (said == labels).double() - confidence.double()
    at = torch.bucketize(confidence, torch.linspace(0, 1, bins + 1), right=True)
    sums = torch.zeros(bins + 2, dtype=torch.double).index_add_(0, at, gap)
    return float(sums.abs().sum()) / len(labels)


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature in [0.05, 20] of the least negative log-likelihood, with targets softened as Platt (1999) does."""
    from scipy.optimize import minimize_scalar

    logits = logits.double()
    n, k = logits.shape
    target = torch.full_like(logits, 1 / (n + 2) / (k - 1))
    target[torch.arange(n), labels] = 1 - 1 / (n + 2)

    def loss(t: float) -> float:
        return float(F.cross_entropy(logits / np.exp(t), target))

    found = minimize_scalar(
        loss, bounds=(np.log(0.05), np.log(20)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))


def calibration(
    exam: Exam, validation: tuple[Tensor, Tensor] | None = None, *, current: float = 1.0
) -> Finding:
    """ECE and reliability at the temperature in use, and at one fitted on validation images, measured on the exam's.

    validation: images (N, C, H, W) and labels (N,) that were not tested on; half of the exam's own, the other half being
    measured, if not given. current: what the logits are divided by now. `data["temperature"]` is the fitted one.
    """
    logits, labels = exam.clean, exam.labels
    halved = validation is None or len(validation[0]) < LEAST
    if halved:
        order = torch.randperm(len(exam), generator=exam.generator(40))
        fit, test = order[: len(order) // 2], order[len(order) // 2 :]
        val_logits, val_labels = logits[fit], labels[fit]
        logits, labels = logits[test], labels[test]
    else:
        assert validation is not None
        images = (
            validation[0].float() / 255 if validation[0].dtype == torch.uint8 else validation[0]
        )
        val_logits, val_labels = exam.logits(images), validation[1]
    return judged(
        logits,
        labels,
        val_logits,
        val_labels,
        current=current,
        seed=exam.seed,
        noun="images",
        halved=halved,
    )


def judged(
    logits: Tensor, labels: Tensor, val_logits: Tensor, val_labels: Tensor, *, current: float, seed: int, noun: str,
    halved: bool,
) -> Finding:  # fmt: skip
    """The finding for logits (N, K) and labels (N,) that are measured, and others that the temperature is fitted on.

    noun: what each row is. halved: the others are the other half of the same ones.
    """
    started = time.perf_counter()
    enough = len(val_labels) >= LEAST
    temperature = fitted_temperature(val_logits, val_labels) if enough else current
    before, after = (logits / current).softmax(1), (logits / temperature).softmax(1)
    e0, e1 = expected_error(before, labels), expected_error(after, labels)
    by_chance, limit = _by_chance(before, seed)
    accuracy = float((logits.argmax(1) == labels).float().mean())
    says = float(before.max(1).values.mean())
    off = e0 > limit  # more than chance gives
    helps = enough and off and e1 < e0 - 0.002
    word = "over" if says > accuracy else "under"
    verdict = (
        f"Says {percent(says)} and is right on {percent(accuracy)} of {len(labels):,} {noun}: calibration error "
        f"{percent(e0)}, " + (f"more than chance gives ({percent(by_chance)}): it is {word}-confident"
        if off else f"as chance alone gives ({percent(by_chance)}, at most {percent(limit)})")
    )  # fmt: skip
    same = abs(temperature / current - 1) < 0.05
    if enough:
        verdict += (
            f"; the temperature in use, {current:.2f}, is the one that fits."
            if same
            else f"; a temperature of {temperature:.2f} makes it {percent(e1)} (it uses {current:.2f})."
        )
    else:
        verdict += f"; {len(val_labels)} validation {noun} are too few to fit a temperature."
    return Finding(
        name="probe-calibration",
        title="Whether its confidence can be trusted, and the temperature",
        verdict=verdict,
        status="warning" if off and e0 > 0.05 else "note" if off and e0 > SLIGHT else "good",
        advice="Store the fitted temperature with `striate probe RUN calibration --store-temperature`." if helps
        else "Collect more validation images before acting on a probability." if off and e0 > SLIGHT else "",
        tables=(
            Table(
                columns=("", "temperature", "calibration error", "mean confidence", "log-likelihood loss"),
                rows=(
                    ("in use", current, e0, says, float(F.cross_entropy(logits / current, labels))),
                    ("fitted", temperature, e1, float(after.max(1).values.mean()), float(F.cross_entropy(logits / temperature, labels))),  # noqa: E501
                ),
                formats=("", ".3f", ".2%", ".1%", ".4f"),
                caption=f"{BINS} bins; fitted on {len(val_labels):,} {noun} "
                + ("of a half of these, measured on the other." if halved else "of the validation split."),
            ),
        ),
        figures=(_reliability(before, None if same else after, labels),),
        data={
            "error": e0, "fitted_error": e1, "temperature": temperature, "current": current, "by_chance": by_chance,
            "confidence": says, "accuracy": accuracy, "fitted_on": len(val_labels), "fitted": enough,
        },
        seed=seed,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


def _by_chance(probabilities: Tensor, seed: int) -> tuple[float, float]:
    """Mean and 95th percentile of the error of a network right exactly as often as it says (Broecker and Smith 2007)."""
    rng = np.random.default_rng(seed)
    confidence = probabilities.max(1).values.numpy()
    at = np.minimum((confidence * BINS).astype(int), BINS - 1)
    found = []
    for _ in range(300):
        gap = (rng.random(len(at)) < confidence) - confidence
        found.append(np.abs(np.bincount(at, gap, BINS)).sum() / len(at))
    return float(np.mean(found)), float(np.quantile(found, 0.95))


def _reliability(before: Tensor, after: Tensor | None, labels: Tensor) -> Figure:
    with style():
        figure = new_figure(4.8, 4.2)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=GRID, linewidth=1, linestyle=(0, (4, 3)))
        for name, p, colour, mark in (
            ("in use", before, VERMILLION, "o"),
            ("fitted", after, BLUE, "s"),
        ):
            if p is None:
                continue  # the same points
            confidence, said = p.max(1)
            right = (said == labels).numpy()
            at = np.minimum((confidence.numpy() * BINS).astype(int), BINS - 1)
            counts = np.bincount(at, minlength=BINS)
            filled = np.flatnonzero(counts)
            x = np.bincount(at, confidence.numpy(), BINS)[filled] / counts[filled]
            y = np.bincount(at, right, BINS)[filled] / counts[filled]
            axes.scatter(
                x, y, s=14 + 90 * counts[filled] / counts.max(), color=colour, marker=mark, alpha=0.8, linewidths=0,
                label=name, clip_on=False,
            )  # fmt: skip
        axes.set(
            xlim=(0, 1),
            ylim=(0, 1.02),
            xlabel="says (its confidence)",
            ylabel="is right",
            title="Reliability",
        )
        as_percent(axes.xaxis)
        as_percent(axes.yaxis)
        handles = axes.legend(loc="upper left").legend_handles
        for h in handles:
            h.set_sizes([30])  # type: ignore[union-attr]
        return render(
            figure,
            caption="Below the dashed line it is over-confident. Larger points hold more of them.",
            alt="Reliability in use and with the fitted temperature.",
        )
