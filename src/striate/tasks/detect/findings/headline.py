"""The headline: average precision, with intervals over images."""

from __future__ import annotations

import numpy as np

from striate.findings import Finding, Status, Table
from striate.statistics.bootstrap import Interval, bootstrap
from striate.tasks.detect.evaluate import Assessed
from striate.tasks.detect.evaluation.average_precision import pool, summary, weighted
from striate.tasks.detect.peaks import LEAST
from striate.wording import counted

FEW_IMAGES = 30
GOOD = 0.5  # AP from which on nothing needs to be said


def intervals(assessed: Assessed, classes: int, *, seed: int = 0) -> dict[str, Interval]:
    """AP, AP50 and AP75, each with its bootstrap 95 % interval over images."""
    pooled = pool(list(assessed.evidence), classes)

    def resampled(index: np.ndarray) -> np.ndarray:
        often = np.stack([np.bincount(row, minlength=len(assessed)) for row in index])
        scores = weighted(pooled, often)  # (R, T, K)
        known = ~np.isnan(scores)
        filled = np.where(known, scores, 0.0)
        parts = [
            filled[:, at].sum((1, 2)) / np.maximum(known[:, at].sum((1, 2)), 1)
            for at in (slice(None), slice(0, 1), slice(5, 6))
        ]
        return np.stack(parts, 1)

    all_three = bootstrap(resampled, len(assessed), seed=seed)
    return {
        name: Interval(all_three.value[i], all_three.low[i], all_three.high[i])
        for i, name in enumerate(("ap", "ap50", "ap75"))
    }


def headline_boxes(assessed: Assessed, classes: int, *, seed: int = 0) -> Finding:
    """AP, AP50, AP75, AP by size and average recall on held-out images; what it invents where these have no object."""
    if not any((~truth.crowd).any() for truth in assessed.truths):
        return _nothing_to_find(assessed, seed)
    spans = intervals(assessed, classes, seed=seed)
    numbers = summary(list(assessed.evidence), classes)
    main = spans["ap"]
    n = len(assessed)
    objects = int(sum((~o.crowd).sum() for o in assessed.truths))
    labels = {
        "ap": "AP (mean over overlaps of 0.50 to 0.95)", "ap50": "AP50 (overlap of 0.50)", "ap75": "AP75 (overlap of 0.75)",
        "ap_small": "AP of small objects (below 32 x 32 pixels)", "ap_medium": "AP of medium objects",
        "ap_large": "AP of large objects (above 96 x 96 pixels)", "ar100": "average recall",
    }  # fmt: skip
    rows = tuple(
        (
            text,
            None if np.isnan(numbers[name]) else numbers[name],
            spans[name].text(".3f") if name in spans else None,
        )
        for name, text in labels.items()
    )
    status, advice = judge_precision(main, n, "boxes", GOOD)
    return Finding(
        name="headline",
        title="How good it is",
        verdict=(
            f"AP {float(main.value):.3f} on {counted(n, 'held-out image')} with {counted(objects, 'object')} (95 % "
            f"interval {main.text('.3f')}); AP50 {float(spans['ap50'].value):.3f}."
        ),
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=("measure", "value", "95 % interval"),
                rows=rows,
                formats=("", ".3f", ""),
                caption=(
                    "COCO's average precision: the area under precision over recall, the mean over classes. A prediction is "
                    "an object that it overlaps by so much (intersection over union). Intervals from 1,000 bootstrap "
                    "resamples of the images."
                ),
            ),
        ),
        data={
            "images": n,
            "objects": objects,
            "classes": classes,
            **{k: {p: float(v) for p, v in span._asdict().items()} for k, span in spans.items()},
            "numbers": {k: None if np.isnan(v) else v for k, v in numbers.items()},
            "key_figure": {
                "label": "AP on held-out images",
                "value": float(main.value),
                "low": float(main.low),
                "high": float(main.high),
                "format": ".3f",
            },
        },
        seed=seed,
    )


def _nothing_to_find(assessed: Assessed, seed: int) -> Finding:
    """Of images without objects there is no average precision, whatever was found in them."""
    n = len(assessed)
    boxes = sum(len(p) for p in assessed.predictions)
    held = sum(bool(len(p)) for p in assessed.predictions)
    return Finding(
        name="headline",
        title="How good it is",
        verdict=f"{counted(n, 'held-out image')} without any object: average precision is not known. In {held:,} of them it "
        f"finds something that is not there, {counted(boxes, 'box', 'boxes')} of a score of {LEAST:g} and more.",
        status="warning",
        advice="Hold out images that have objects.",
        data={"images": n, "objects": 0, "invented": boxes},
        seed=seed,
    )


def judge_precision(main: Interval, n: int, what: str, good: float) -> tuple[Status, str]:
    """Status and advice by the average precision of n images. what: boxes or masks; good: from where on nothing is said."""
    if main.value < 0.05:
        return (
            "problem",
            f"It finds next to nothing. Train longer, and look at the {what} of the data (`striate data`).",
        )
    if n < FEW_IMAGES:
        return (
            "note",
            f"{counted(n, 'image')} say little: hold out {FEW_IMAGES} or more to narrow the interval.",
        )
    if main.value >= good:
        return "good", ""
    return "note", "See what kinds of errors cost most, and which classes are low."
