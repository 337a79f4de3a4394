"""The probe `truncation`: images cut so that their border goes through an object, and the share that is still found."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.errors import DataError
from striate.figures import BLUE, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.probes.finding_objects import (
    Share,
    judged_of,
    predictions_of,
    regular,
    share_of,
    sure_of,
    truths_of,
    what_of,
)
from striate.tasks.detect.probes.placing import measure_of, share_left, where_cut, window_of
from striate.wording import percent

SHOWN = (1.0, 0.9, 0.75, 0.6, 0.5, 0.35, 0.25)  # share of an object that is left in the image
SIDES = ("left or right", "top or bottom")
NOTABLE, LARGE = (
    0.05,
    0.25,
)  # loss of recall that is said, and that is warned of where half of an object is there
HALF = 0.5


def truncation(context: Any) -> Finding:
    """Recall of objects of which a part is beyond the image's border, against the share that is left.

    One object an image, drawn by the seed among those that the border does not cut already. The image is cut to two
    fifths of its width so that its left or right end goes through the object, and to two fifths of its height likewise;
    what is left keeps its pixels and nothing is invented. A hit overlaps the part that is left by half. context: the
    probe context. Raises DataError where no object can be cut.
    """
    started = time.perf_counter()
    truths = truths_of(context)
    sure = sure_of(predictions_of(context, context.images), truths)
    measure = measure_of(truths)
    rows: list[tuple[float, Share, Share, float]] = []
    examples: list[Share] = []
    for shown in SHOWN:
        found = np.zeros((2, len(context)))
        asked = np.zeros((2, len(context)))
        shared: list[float] = []
        for side in (0, 1):
            images, aims = cut_images(context, truths, side, shown)
            predictions = predictions_of(context, images)
            judged = judged_of(predictions, aims, sure)
            for i, (one, aim, every) in enumerate(zip(judged, aims, predictions, strict=True)):
                if not len(aim):
                    continue
                asked[side, i] = 1
                found[side, i] = one.found[0]
                if one.found[0]:
                    same = every.sure(sure)
                    same = same.take(same.labels == aim.labels[0])
                    shared.append(float(measure(same, aim.take([0])).max()))
        if not asked.sum():
            raise DataError(
                "no object lies free of the border with room to cut it; give larger images, or others with --data"
            )
        across, down = (share_of(context, found[s], asked[s]) for s in (0, 1))
        rows.append((shown, across, down, float(np.mean(shared)) if shared else float("nan")))
        both = share_of(context, found.sum(0), asked.sum(0))
        examples.append(both)
    return _finding(context, rows, examples, sure, what_of(truths), time.perf_counter() - started)


def cut_images(
    context: Any, truths: list[Objects], axis: int, shown: float
) -> tuple[Tensor, list[Objects]]:
    """Images (N, C, h, w) of two fifths of the width (axis 0) or height (axis 1), each cut so that `shown` of one object
    is left, and their objects with that one first; no object where none can be cut so."""
    height, width = context.images.shape[-2:]
    size = (width, height)[axis]
    window = 2 * size // 5
    images, aims = [], []
    for i, truth in enumerate(truths):
        at = chosen(truth, axis, size, seed=context.seed + i)
        start, aim = 0, truth.take([])
        if at is not None:
            low, high = truth.boxes[at, axis], truth.boxes[at, axis + 2]
            first = bool((low + high) / 2 < size / 2)  # its beginning is cut off
            start = where_cut(truth, at, axis, shown, start=first) - (0 if first else window)
            start = min(max(start, 0), size - window)
            top, left = (0, start) if axis == 0 else (start, 0)
            order = [at, *(j for j in range(len(truth)) if j != at)]
            frame = (height, window) if axis == 0 else (window, width)
            aim = window_of(truth.take(order), top, left, *frame)
            same = len(aim) > 0 and aim.labels[0] == truth.labels[at]
            # Rounded to whole pixels a small object may lose more than was meant.
            if not same or abs(share_left(aim, 0, truth, at) - shown) > 0.1:
                aim = aim.take([])
            else:
                crowd = aim.crowd.copy()
                crowd[0] = False
                aim = replace(aim, crowd=crowd)
        aims.append(aim)
        image = context.images[i]
        images.append(
            image[..., start : start + window]
            if axis == 0
            else image[..., start : start + window, :]
        )
    return torch.stack(images), aims


def chosen(truth: Objects, axis: int, size: int, *, seed: int) -> int | None:
    """One object that lies free of both ends of an axis and fits into two fifths of it; None where there is none."""
    low, high = truth.boxes[:, axis], truth.boxes[:, axis + 2]
    able = [
        int(j)
        for j in regular(truth)
        if low[j] >= 1 and high[j] <= size - 1 and 2 <= high[j] - low[j] <= 2 * size // 5
    ]
    return int(np.random.default_rng((seed, axis)).choice(able)) if able else None


def _finding(
    context: Any, rows: list[tuple[float, Share, Share, float]], both: list[Share], sure: float, what: str, seconds: float
) -> Finding:  # fmt: skip
    whole = both[0]
    losses = [(shown, whole.value - one.value, one) for (shown, *_), one in zip(rows, both, strict=True)]  # fmt: skip
    first = next((x for x in losses if x[2].high < whole.value - NOTABLE), None)
    at_half = next(x for x in losses if x[0] == HALF)
    verdict = (
        f"Finds {percent(whole.value)} of objects that the border only touches, and {percent(at_half[2].value)} of those of "
        f"which half is left (95 % interval {percent(at_half[2].low)} to {percent(at_half[2].high)}; {whole.objects:,} cuts)"
    )
    verdict += (
        f"; the loss begins where {percent(first[0], 0)} is left." if first is not None
        else "; no cut tried here costs it 5 points."
    )  # fmt: skip
    bad = at_half[1] > LARGE and at_half[2].high < whole.value - NOTABLE
    return Finding(
        name="probe-truncation",
        title="Objects cut by the border",
        verdict=verdict,
        status="warning" if bad else "note" if first is not None else "good",
        advice="Train on crops smaller than the images, which show cut objects (`--set size=`); `striate tile` cuts "
        "none of an image that is too large for memory." if first is not None else "",
        tables=(
            Table(
                columns=("left of it", "objects", "recall", "from", "to", *SIDES, "overlap of those found"),
                rows=tuple(
                    (shown, one.objects, one.value, one.low, one.high, across.value, down.value, mean)
                    for (shown, across, down, mean), one in zip(rows, both, strict=True)
                ),
                formats=(".0%", ",", ".1%", ".1%", ".1%", ".1%", ".1%", ".2f"),
                caption=f"{len(context):,} images, each cut through one object; recall at a score of {sure:g} with its 95 % "
                f"interval over resampled images. Found: a {what} of its class overlaps the part that is left by half.",
            ),
        ),
        figures=(_chart([r[0] for r in rows], both),),
        data={
            "shown": [r[0] for r in rows], "recall": [s.value for s in both], "low": [s.low for s in both],
            "high": [s.high for s in both], "objects": [s.objects for s in both], "score": sure, "images": len(context),
        },
        seed=context.seed,
        seconds=seconds,
    )  # fmt: skip


def _chart(shown: list[float], both: list[Share]) -> Figure:
    with style():
        figure = new_figure(5.6, 3.2)
        axes = figure.subplots()
        axes.plot(shown, [s.value for s in both], "o-", color=BLUE, markersize=4)
        axes.fill_between(
            shown, [s.low for s in both], [s.high for s in both], color=BLUE, alpha=0.15, linewidth=0
        )  # fmt: skip
        axes.set(xlabel="share of the object that is left", ylabel="recall", ylim=(-0.02, 1.03))
        axes.invert_xaxis()
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        axes.grid(axis="y")
        alt = f"Recall from {percent(both[0].value)} to {percent(both[-1].value)}."
        return render(figure, caption="Recall of cut objects (95 % band).", alt=alt)
