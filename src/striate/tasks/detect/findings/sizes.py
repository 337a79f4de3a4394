"""Recall by the size of objects, beside how many there are of each size and what the network sees."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from striate.figures import BLUE, GRID, ORANGE, new_figure, render, style
from striate.findings import Cell, Figure, Finding, Table
from striate.statistics.intervals import wilson
from striate.tasks.detect.evaluate import Assessed
from striate.wording import percent

LARGER = (
    "Objects larger than what the network sees are guessed from a part; reduce the images "
    "(`--set longest=`), or take a deeper network."
)
EDGES = (0, 4, 8, 16, 32, 64, 128, 256, 512, 1e9)  # pixels, of the square root of an object's area


def recall_by_size(assessed: Assessed, fields: np.ndarray | None, sure: float) -> Finding:
    """Which share of the objects of each size is found, at scores of `sure` and more.

    fields: (N,) the receptive field in pixels of each image, which may have been resized; None where the network sees it
    whole.
    """
    sides, hits, larger = [], [], 0
    for i, (judged, truth) in enumerate(zip(assessed.judged(sure), assessed.truths, strict=True)):
        sides.append(np.sqrt(truth.sides.prod(1))[judged.counted])
        hits.append(judged.found[judged.counted])
        larger += 0 if fields is None else int((sides[-1] > fields[i]).sum())
    side, hit = np.concatenate(sides), np.concatenate(hits)
    rows: list[tuple[Cell, ...]] = []
    data: list[dict[str, Any]] = []
    for low, high in pairwise(EDGES):
        at = (side >= low) & (side < high)
        n, found = int(at.sum()), int(hit[at].sum())
        if not n:
            continue
        span = wilson(float(found), n)
        name = f"{low:g} to {high:g} pixels" if high < 1e9 else f"{low:g} pixels and more"
        rows.append((name, n, found / n, f"{percent(span[0])} to {percent(span[1])}"))
        data.append({"from": low, "to": high, "objects": n, "recall": found / n, "interval": list(span)})  # fmt: skip
    if not rows:
        return Finding(name="sizes", title="Recall by size", verdict="No held-out image has an object.")  # fmt: skip
    worst = min(data, key=lambda row: row["recall"])
    field = None if fields is None or not len(fields) else round(float(np.median(fields)))
    if field is None:
        seen = "It sees the whole image at once."
    elif larger:
        seen = f"Each cell sees {field} pixels; {larger:,} objects are larger than that."
    else:
        seen = f"Each cell sees {field} pixels, more than any object is large."
    return Finding(
        name="sizes",
        title="Recall by size",
        verdict=f"Fewest are found of {rows[data.index(worst)][0]}: {percent(worst['recall'])}. {seen}",
        status="warning" if larger > 0.05 * len(side) else "note",
        advice=LARGER if larger else "",
        tables=(
            Table(
                columns=("size (square root of the area)", "objects", "recall", "95 % interval"),
                rows=tuple(rows),
                formats=("", ",", ".1%", ""),
                caption=f"Found: a {assessed.what} of the class with a score of {sure:g} and more overlaps it by half.",
            ),
        ),
        figures=(_chart(data, field),),
        data={"sizes": data, "receptive_field": field},
    )  # fmt: skip


def _chart(data: list[dict[str, Any]], field: int | None) -> Figure:
    with style():
        figure = new_figure(6.0, 3.2)
        axes = figure.subplots()
        counts = axes.twinx()
        x = np.arange(len(data))
        recall = np.array([float(d["recall"]) for d in data])
        low, high = (np.array([d["interval"][i] for d in data]) for i in (0, 1))
        counts.bar(x, [int(d["objects"]) for d in data], color=GRID, alpha=0.35, width=0.8)
        counts.set_ylabel("objects (grey)")
        reach = [(recall - low).clip(0), (high - recall).clip(0)]
        axes.errorbar(x, recall, reach, fmt="o-", color=BLUE, capsize=3)
        axes.set_xticks(x, [_range(d) for d in data])
        axes.set(ylim=(0, 1.03), xlabel="size in pixels (square root of the area)", ylabel="recall")
        axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        axes.set_zorder(counts.get_zorder() + 1)
        axes.grid(axis="y")
        if field is not None:
            at = np.interp(field, [float(d["from"]) for d in data], x)
            if field < float(data[-1]["to"]):
                axes.axvline(at, color=ORANGE, linestyle="--", label="receptive field")
                axes.legend(loc="lower right")
        caption = "Recall with its 95 % interval; bars: how many objects there are."
        return render(figure, caption=caption, alt="Recall by size.")


def _range(row: dict[str, Any]) -> str:
    return f"{row['from']:g}–{row['to']:g}" if row["to"] < 1e9 else f"{row['from']:g}+"
