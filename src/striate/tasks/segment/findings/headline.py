"""The headline: how well predicted masks overlap the true ones."""

from __future__ import annotations

import numpy as np

from striate.findings import Finding, Status, Table
from striate.statistics.bootstrap import Interval, bootstrap
from striate.tasks.segment.metrics import MaskScores, boundary_f1, dice, iou
from striate.wording import percent

FEW_IMAGES = 30
CHUNK = 64  # resamples summed at once


def interval(scores: MaskScores, statistic: str, seed: int) -> Interval:
    """A number from the counts of resampled images, with its bootstrap 95 % interval.

    statistic: "iou", "dice" (mean over the classes present), "accuracy", "boundary", or "iou:K" of class K alone.
    """
    present = scores.counts.sum((0, 2)) > 0

    def measure(index: np.ndarray) -> np.ndarray:
        rows = []
        for part in np.array_split(index, max(1, len(index) // CHUNK)):
            weight = np.stack([np.bincount(r, minlength=len(scores)) for r in part]).astype(float)
            if statistic == "boundary":
                near = np.tensordot(weight, scores.near, 1)
                total = np.tensordot(weight, scores.total, 1)
                rows.append(_mean(boundary_f1(near, total)[:, present]))
                continue
            counts = np.tensordot(weight, scores.counts, 1)
            if statistic == "accuracy":
                hits = np.trace(counts, axis1=1, axis2=2)
                rows.append(hits / np.maximum(counts.sum((1, 2)), 1))
            elif statistic.startswith("iou:"):
                rows.append(iou(counts)[:, int(statistic[4:])])
            else:
                values = {"iou": iou, "dice": dice}[statistic](counts)
                rows.append(_mean(values[:, present]))
        return np.concatenate(rows)

    return bootstrap(measure, len(scores), seed=seed)


def _mean(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    return np.where(known, values, 0).sum(-1) / np.maximum(known.sum(-1), 1)


def headline_masks(scores: MaskScores, *, seed: int = 0) -> Finding:
    """Mean IoU, mean Dice, pixel accuracy and boundary F1, each with an interval over images and beside its baseline.

    Means are over the classes that the held-out masks show. The majority-class baseline is a mask that is the most common
    class everywhere.
    """
    counts = scores.counts.sum(0)
    truth = counts.sum(1)
    present = truth > 0
    constant = np.zeros_like(counts)
    constant[:, int(truth.argmax())] = truth
    baseline_iou = float(np.nan_to_num(iou(constant))[present].mean())
    baseline_dice = float(np.nan_to_num(dice(constant))[present].mean())
    baseline_accuracy = float(truth.max() / max(truth.sum(), 1))
    intervals = {
        name: interval(scores, name, seed) for name in ("iou", "dice", "accuracy", "boundary")
    }
    main = intervals["iou"]
    rows = tuple(
        (
            label,
            float(intervals[name].value),
            intervals[name].text(),
            percent(guess) if guess is not None else None,
        )
        for name, label, guess in (
            ("iou", "mean IoU", baseline_iou),
            ("dice", "mean Dice", baseline_dice),
            ("accuracy", "pixel accuracy", baseline_accuracy),
            ("boundary", "boundary F1", None),
        )
    )
    n = len(scores)
    status, advice = _judge(main, baseline_iou, n)
    return Finding(
        name="headline",
        title="How good it is",
        verdict=(
            f"Mean IoU {percent(float(main.value))} on {n:,} held-out image{'s' * (n > 1)} (95 % interval {main.text()}); "
            f"the majority-class baseline has {percent(baseline_iou)}."
        ),
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=("measure", "value", "95 % interval", "majority-class baseline"),
                rows=rows,
                formats=("", ".1%", "", ""),
                caption=(
                    f"On {n:,} held-out images, {int(truth.sum()):,} labelled pixels; intervals from 1,000 bootstrap "
                    "resamples of the images. IoU: pixels that are right, over those that either the mask or the network "
                    "gives to the class. Boundary F1: boundaries within 0.75 % of the image's diagonal."
                ),
            ),
        ),
        data={
            "images": n,
            "classes": len(scores.classes),
            **{
                name: {k: float(v) for k, v in value._asdict().items()}
                for name, value in intervals.items()
            },
            "baseline": baseline_iou,
            "key_figure": {
                "label": "mean IoU on held-out images",
                "value": float(main.value),
                "low": float(main.low),
                "high": float(main.high),
                "baseline": baseline_iou,
                "baseline_label": "the most common class everywhere",
            },
        },
        seed=seed,
    )


def _judge(main: Interval, baseline: float, n: int) -> tuple[Status, str]:
    if main.low <= baseline:
        return "problem", (
            "This network is not better than the majority-class baseline. Look at the overlays and the training curves, "
            "and train longer."
        )
    if n < FEW_IMAGES:
        return (
            "note",
            f"{n:,} image{'s' * (n > 1)} say little: hold out {FEW_IMAGES} or more to narrow the interval.",
        )
    return (
        ("good", "")
        if main.value >= 0.7
        else ("note", "See which classes are low, and how the worst images look.")
    )
