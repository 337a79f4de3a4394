"""Class by class: IoU with its interval, what is missed, what is invented, and what is taken for what."""

from __future__ import annotations

import numpy as np

from striate.figures import BLUE, INK, new_figure, render, style
from striate.findings import Cell, Figure, Finding, Table
from striate.statistics.bootstrap import Interval
from striate.tasks.segment.findings.headline import interval
from striate.tasks.segment.metrics import MaskScores, boundary_f1, dice, iou
from striate.wording import percent, quoted

CONFUSIONS = 8
BARS = 40


def per_class_masks(scores: MaskScores, *, seed: int = 0) -> Finding:
    """IoU, Dice, precision, recall and boundary F1 of each class, worst first, and the largest confusions."""
    counts = scores.counts.sum(0)
    truth, predicted, hit = counts.sum(1), counts.sum(0), counts.diagonal()
    values, coefficients = iou(counts), dice(counts)
    edges = boundary_f1(scores.near.sum(0), scores.total.sum(0))
    shown = [c for c in range(len(scores.classes)) if truth[c] + predicted[c] > 0]
    order = sorted(shown, key=lambda c: float(np.nan_to_num(values[c])))
    intervals = {c: interval(scores, f"iou:{c}", seed) for c in order}
    rows: list[tuple[Cell, ...]] = [
        (
            scores.classes[c],
            float(values[c]),
            intervals[c].text()
            if np.isfinite([intervals[c].low, intervals[c].high]).all()
            else None,
            float(coefficients[c]),
            float(hit[c] / predicted[c]) if predicted[c] else None,
            float(hit[c] / truth[c]) if truth[c] else None,
            float(edges[c]) if np.isfinite(edges[c]) else None,
            float(truth[c] / truth.sum()),
        )
        for c in order
    ]
    worst, best = order[0], order[-1]
    wrong = counts - np.diag(hit)
    pairs = [divmod(int(i), len(counts)) for i in np.argsort(-wrong, axis=None)[:CONFUSIONS]]
    confusions = tuple(
        (scores.classes[a], scores.classes[b], int(wrong[a, b]), float(wrong[a, b] / truth[a]))
        for a, b in pairs
        if wrong[a, b] > 0 and truth[a] > 0
    )
    tables = [
        Table(
            columns=(
                "class",
                "IoU",
                "95 % interval",
                "Dice",
                "precision",
                "recall",
                "boundary F1",
                "share",
            ),
            rows=tuple(rows),
            formats=("", ".1%", "", ".1%", ".1%", ".1%", ".1%", ".2%"),
            caption=(
                "Worst first. Precision: of the pixels given to the class, those that belong to it; recall: of its pixels, "
                "those that are predicted as it; share: of all labelled pixels."
            ),
        )
    ]
    if confusions:
        tables.append(
            Table(
                columns=("true class", "taken for", "pixels", "share of the class"),
                rows=confusions,
                formats=("", "", ",", ".1%"),
                caption="The largest confusions.",
            )
        )
    low, high = (percent(float(values[c])) for c in (worst, best))
    verdict = (
        f"Weakest is {quoted(scores.classes[worst])} with an IoU of {low}, strongest "
        f"{quoted(scores.classes[best])} with {high}"
    )
    if confusions:
        a, b, _, share = confusions[0]
        verdict += f"; most often, {percent(share)} of {quoted(a)} is taken for {quoted(b)}"
    return Finding(
        name="per-class",
        title="Class by class",
        verdict=verdict + ".",
        status="warning" if values[worst] < 0.3 else "note",
        advice="More images that show the weakest class would help most."
        if values[worst] < 0.5
        else "",
        tables=tuple(tables),
        figures=(_bars(scores, order[:BARS], values, intervals),),
        data={
            "iou": {scores.classes[c]: float(values[c]) for c in order},
            "confusion": counts.tolist() if len(counts) <= 64 else [],
        },
        seed=seed,
    )


def _bars(
    scores: MaskScores, order: list[int], values: np.ndarray, intervals: dict[int, Interval]
) -> Figure:
    with style():
        figure = new_figure(6.0, 0.8 + 0.26 * len(order))
        axes = figure.subplots()
        for row, c in enumerate(order):
            span = intervals[c]
            axes.barh(row, values[c], color=BLUE, height=0.7)
            axes.plot([span.low, span.high], [row, row], color=INK, linewidth=1.6)
        axes.set_yticks(range(len(order)), [scores.classes[c][:28] for c in order])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1), xlabel="intersection over union")
        axes.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        axes.grid(axis="x")
        return render(
            figure,
            caption="IoU of each class, worst first; the line is the 95 % interval over images.",
            alt=f"Bars: IoU from {np.nanmin(values):.2f} to {np.nanmax(values):.2f}.",
        )
