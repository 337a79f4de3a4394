"""Precision, recall and F1 of each class, and which classes are weakest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from striate.figures import BLUE, any_script, new_figure, render, style
from striate.findings import Figure, Finding, Status, Table
from striate.statistics.bootstrap import Interval, bootstrap, proportion
from striate.statistics.scores import ArrayLike, Scores
from striate.wording import listed, percent, quoted, short

SHOWN = 30  # classes in the figure; of more, the weakest
FEW = 20  # images of a class, below which its numbers say little
WEAK = 0.8  # a recall below this is named in the advice


def per_class(
    probabilities: ArrayLike, labels: ArrayLike, classes: Sequence[str], *, seed: int = 0
) -> Finding:
    """Precision, recall and F1 of each class, with bootstrap 95 % intervals, from probabilities
    (N, K), labels (N,).

    A class without images has no recall, and one that is never predicted no precision. Raises
    DataError if the inputs do not fit together.
    """
    scores = Scores.of(probabilities, labels, classes)
    k = len(scores.classes)
    precision, recall, f1 = classwise(scores, seed=seed)
    support = np.bincount(scores.labels, minlength=k)
    rows = [
        (
            name,
            int(support[c]),
            *_cells(precision, c),
            *_cells(recall, c),
            *_cells(f1, c),
        )
        for c, name in enumerate(scores.classes)
    ]
    order = np.argsort(np.where(support > 0, f1.value, np.inf), kind="stable")
    present = [int(c) for c in order if support[c]]
    verdict, status, advice = _judge(scores.classes, present, support, precision, recall, f1)
    return Finding(
        name="per-class",
        title="How good it is at each class",
        verdict=verdict,
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=(
                    "class",
                    "images",
                    "precision",
                    "95 % of precision",
                    "recall",
                    "95 % of recall",
                    "F1",
                    "95 % of F1",
                ),
                rows=tuple(rows),
                formats=("", ",", ".1%", "", ".1%", "", ".1%", ""),
                caption=(
                    "Precision: the share of the images predicted as this class that are of it. Recall: the "
                    "share of its images that are predicted as it. "
                    "F1: their harmonic mean. Bootstrap 95 % intervals; a dash where there is "
                    "nothing to count."
                ),
            ),
        ),
        figures=(_dots(scores.classes, present[:SHOWN], f1, len(present)),),
        data={
            "classes": list(scores.classes),
            "support": support.tolist(),
            "precision": _json(precision),
            "recall": _json(recall),
            "f1": _json(f1),
            "weakest": [scores.classes[c] for c in present[:3]],
        },
        seed=seed,
    )


def classwise(scores: Scores, *, seed: int = 0) -> tuple[Interval, Interval, Interval]:
    """Precision, recall and F1, each an Interval of arrays (K,); NaN where a class has nothing
    to count.
    """
    # Here, since torchmetrics takes a second to import, which a prediction need not wait for.
    from torchmetrics.functional.classification import (
        multiclass_f1_score,
        multiclass_precision,
        multiclass_recall,
    )

    k = len(scores.classes)
    truth, predicted_class = scores.labels, scores.predicted
    hit = np.where(scores.correct, truth, k)  # column k collects what is wrong

    def statistic(index: np.ndarray) -> np.ndarray:
        r = len(index)
        row = (k + 1) * np.arange(r)[:, None]

        def count(cell: np.ndarray) -> np.ndarray:
            sums = np.bincount((cell[index] + row).ravel(), minlength=(k + 1) * r)
            return sums.reshape(r, k + 1)[:, :k].astype(np.float64)

        hits, true, called = count(hit), count(truth), count(predicted_class)
        return np.concatenate(
            [
                _ratio(hits, called),
                _ratio(hits, true),
                np.where(true > 0, _ratio(2 * hits, true + called), np.nan),
            ],
            axis=1,
        )

    value, low, high = bootstrap(statistic, len(scores), seed=seed)
    _, predicted, y = scores.tensors
    known = ~np.isnan(value)
    peers = (multiclass_precision, multiclass_recall, multiclass_f1_score)
    measured = torch.cat([metric(predicted, y, k, average=None) for metric in peers])
    value = np.where(known, measured.double().numpy(), np.nan)

    true, called = np.bincount(truth, minlength=k), np.bincount(predicted_class, minlength=k)
    either = true + called - np.bincount(hit, minlength=k + 1)[:k]
    parts = [
        Interval(value[s], low[s], high[s]) for s in (slice(k), slice(k, 2 * k), slice(2 * k, None))
    ]
    precision, recall = proportion(parts[0], called), proportion(parts[1], true)
    # F1 = 2 J / (1 + J), where J = hits / (true or called) is a proportion: bound that, then come
    # back.
    overlap = proportion(Interval(*(part / (2 - part) for part in parts[2])), either)
    f1 = Interval(parts[2].value, *(2 * bound / (1 + bound) for bound in overlap[1:]))
    return precision, recall, f1


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _cells(interval: Interval, c: int) -> tuple[float | None, str | None]:
    value, low, high = (float(part[c]) for part in interval)
    if np.isnan(value):
        return None, None
    return value, f"{100 * low:.1f}–{100 * high:.1f}"


def _json(interval: Interval) -> dict[str, list[float | None]]:
    return {
        name: [None if np.isnan(v) else float(v) for v in values]
        for name, values in interval._asdict().items()
    }


def _judge(
    names: tuple[str, ...],
    present: list[int],
    support: np.ndarray,
    precision: Interval,
    recall: Interval,
    f1: Interval,
) -> tuple[str, Status, str]:
    if len(present) == 1:
        only = present[0]
        return (
            f"Only {quoted(names[only])} occurs among the held-out images, with a recall of "
            f"{percent(float(recall.value[only]))}; the other classes are not measured.",
            "warning",
            "Hold out images of every class.",
        )
    weakest, best = present[0], present[-1]
    absent = [name for name, images in zip(names, support, strict=True) if not images]
    if f1.value[weakest] == 1:
        verdict = f"Every image of all {len(present)} classes is predicted correctly."
    else:
        verdict = (
            f"Weakest is {quoted(names[weakest])}: recall {percent(float(recall.value[weakest]))}, "
            f"{_precision(precision.value[weakest])}; best is "
            f"{quoted(names[best])} with an F1 of {percent(float(f1.value[best]))}."
        )
    weak = [c for c in present if recall.value[c] < WEAK]
    few = [c for c in present if support[c] < FEW]
    advice = []
    if weak:
        advice.append(
            f"Add images of {listed([names[c] for c in weak])}, or look at what "
            f"{'they are' if len(weak) > 1 else 'it is'} "
            "confused with."
        )
    if few:
        advice.append(
            f"{listed([names[c] for c in few])} "
            f"{'have' if len(few) > 1 else 'has'} fewer than {FEW} held-out images: see the "
            "intervals, not the values."
        )
    if absent:
        advice.append(
            f"No held-out image shows {listed(absent)}: nothing is known about "
            f"{'them' if len(absent) > 1 else 'it'}."
        )
    status: Status = "good"
    if few or absent:
        status = "note"
    if weak:
        status = "warning"
    return verdict, status, " ".join(advice)


def _precision(value: float) -> str:
    return "never predicted" if np.isnan(value) else f"precision {percent(float(value))}"


def _dots(names: tuple[str, ...], shown: list[int], f1: Interval, total: int) -> Figure:
    """F1 of each class with its interval, weakest on top."""
    with style(), any_script():
        figure = new_figure(6.4, 0.9 + 0.24 * max(len(shown), 2))
        ax = figure.subplots()
        y = np.arange(len(shown))
        value, low, high = (part[shown] for part in f1)
        ax.hlines(y, low, high, color=BLUE, linewidth=5, alpha=0.3)
        ax.plot(value, y, "o", color=BLUE, markersize=6)
        ax.set_yticks(y, [short(names[c], 22) for c in shown], parse_math=False)
        ax.set_ylim(len(shown) - 0.4, -0.6)
        ax.set_xlim(min(0.9, float(low.min()) - 0.02) if len(shown) else 0, 1.005)
        ax.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("F1")
        which = (
            f"the {len(shown)} weakest of {total:,} classes" if total > len(shown) else "each class"
        )
        return render(
            figure,
            caption=f"F1 of {which}, weakest first; the bar is the bootstrap 95 % interval.",
            alt=f"F1 of {which}: "
            + ", ".join(f"{names[c]} {percent(float(f1.value[c]))}" for c in shown[:10]),
        )
