"""Temperature: the one number that makes a network's confidence honest, and what it would do."""

from __future__ import annotations

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.figures import BLUE, GRID, VERMILLION, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.statistics.calibration import BINS, chance_error, expected_error
from striate.statistics.scores import Scores
from striate.wording import percent

SLIGHT = 0.01  # a calibration error that no decision depends on
LEAST = 30  # validation images for a temperature
LOW, HIGH = 0.05, 20.0


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature that minimises the negative log-likelihood of softmax(logits / temperature).

    logits (N, classes) and labels (N,) of images that the network did not learn from (Guo et al.
    2017). The true class's target is 1 - 1/(N + 2) instead of 1, as Platt (1999) does: otherwise a
    few images that are all correct would ask for certainty.
    """
    logits = logits.double()
    n, classes = logits.shape
    share = 1 / (n + 2)
    target = torch.full_like(logits, share / (classes - 1))
    target[torch.arange(n), labels] = 1 - share
    low, high = torch.tensor(LOW).log(), torch.tensor(HIGH).log()
    golden = (5**0.5 - 1) / 2

    def loss(log_temperature: Tensor) -> float:
        return float(F.cross_entropy(logits / log_temperature.exp(), target))

    for _ in range(60):  # golden-section search: the loss has one minimum in the temperature
        a, b = high - golden * (high - low), low + golden * (high - low)
        if loss(a) < loss(b):
            high = b
        else:
            low = a
    return float(((low + high) / 2).exp())


def temperature_effect(
    logits: Tensor, labels: Tensor, val_logits: Tensor, val_labels: Tensor, *, current: float, seed: int, noun: str,
    halved: bool,
) -> Finding:  # fmt: skip
    """The finding for logits (N, K) and labels (N,) that are measured, and others that the temperature is fitted on.

    noun: what each row is. halved: the others are the other half of the same ones.
    """
    started = time.perf_counter()
    enough = len(val_labels) >= LEAST
    temperature = fit_temperature(val_logits, val_labels) if enough else current
    before, after = (logits / current).softmax(1), (logits / temperature).softmax(1)
    e0, e1 = expected_error(before, labels), expected_error(after, labels)
    by_chance, limit = chance_error(
        Scores.of(before, labels, [str(k) for k in range(before.shape[1])]), seed=seed
    )
    accuracy = float((logits.argmax(1) == labels).float().mean())
    confidence = float(before.max(1).values.mean())
    off = e0 > limit  # more than chance gives
    helps = enough and off and e1 < e0 - 0.002
    word = "over" if confidence > accuracy else "under"
    verdict = (
        f"Mean confidence {percent(confidence)}, accuracy {percent(accuracy)} of {len(labels):,} {noun}: calibration error "
        f"{percent(e0)}, " + (f"more than chance gives ({percent(by_chance)}): it is {word}-confident"
        if off else f"as chance alone gives ({percent(by_chance)}, at most {percent(limit)})")
    )  # fmt: skip
    same = abs(temperature / current - 1) < 0.05
    if enough:
        verdict += (
            f"; the temperature in use, {current:.2f}, is the one that fits."
            if same
            else f"; a temperature of {temperature:.2f} makes it {percent(e1)} (it uses {current:.2f})."
            if e1 <= e0
            else f"; the temperature fitted on {len(val_labels):,} others, {temperature:.2f}, makes it worse, {percent(e1)} "
            f"(it uses {current:.2f})."
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
                    ("in use", current, e0, confidence, float(F.cross_entropy(logits / current, labels))),
                    *([("fitted", temperature, e1, float(after.max(1).values.mean()), float(F.cross_entropy(logits / temperature, labels)))] if enough else []),  # noqa: E501
                ),
                formats=("", ".3f", ".2%", ".1%", ".4f"),
                caption=f"{BINS} bins; fitted on {len(val_labels):,} {noun} "
                + ("of a half of these, measured on the other." if halved else "of the validation split.")
                if enough
                else f"{BINS} bins; none is fitted on {len(val_labels):,} {noun}.",
            ),
        ),
        figures=(_reliability(before, None if same else after, labels),),
        data={
            "error": e0, "fitted_error": e1, "temperature": temperature, "current": current, "by_chance": by_chance,
            "confidence": confidence, "accuracy": accuracy, "fitted_on": len(val_labels), "fitted": enough,
        },
        seed=seed,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


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
            confidence, predicted = p.max(1)
            is_correct = (predicted == labels).numpy()
            at = np.minimum((confidence.numpy() * BINS).astype(int), BINS - 1)
            counts = np.bincount(at, minlength=BINS)
            filled = np.flatnonzero(counts)
            x = np.bincount(at, confidence.numpy(), BINS)[filled] / counts[filled]
            y = np.bincount(at, is_correct, BINS)[filled] / counts[filled]
            axes.scatter(
                x, y, s=14 + 90 * counts[filled] / counts.max(), color=colour, marker=mark, alpha=0.8, linewidths=0,
                label=name, clip_on=False,
            )  # fmt: skip
        axes.set(
            xlim=(0, 1),
            ylim=(0, 1.02),
            xlabel="confidence",
            ylabel="accuracy",
            title="Reliability",
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        handles = axes.legend(loc="upper left").legend_handles
        for h in handles:
            h.set_sizes([30])  # type: ignore[union-attr]
        return render(
            figure,
            caption="Below the dashed line it is over-confident. Larger points hold more of them.",
            alt="Reliability in use and with the fitted temperature.",
        )
