"""Shift, rotation, scale and flip: scores, agreement with the unchanged prediction, and class-score curves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from striate.findings import Figure, Finding
from striate.robustness.chart import bars, curves
from striate.robustness.context import Context
from striate.robustness.curves import class_scores
from striate.robustness.equivariance import layer_tables
from striate.robustness.sweep import Level, Row, swept
from striate.tasks.warp import Warp
from striate.wording import percent

SHIFTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
ANGLES = (5.0, 10.0, 15.0, 30.0, 45.0, 90.0, 180.0)
SCALES = (0.5, 0.65, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0)
WAYS = ("right", "left", "down", "up")
FLIPS = {"left-right": (-1,), "top-bottom": (-2,), "both": (-2, -1)}


@dataclass(frozen=True)
class Step:
    """One level of a change: its value on the axis, its name, the warps averaged over, and whether it is common."""

    at: float
    name: str
    warps: tuple[Warp, ...]
    ways: tuple[str, ...] = ("",)  # of each warp, where there are several
    common: bool = True  # an image in use may well come so; a loss here is a warning


def shift_steps(side: int) -> list[Step]:
    """Shifts up to a quarter of the side, in the four directions."""
    most = max(1, side // 4)
    return [
        Step(
            d,
            f"{d} px",
            (Warp(columns=d), Warp(columns=-d), Warp(rows=d), Warp(rows=-d)),
            WAYS,
        )
        for d in SHIFTS
        if d <= most
    ]


TITLES = {
    "shift": "Shifted images",
    "rotation": "Rotated images",
    "scale": "Larger and smaller objects",
    "flip": "Mirrored images",
}


def shift(context: Context) -> Finding:
    """Score and consistency (Zhang 2019) against shift in pixels, and where in the network the invariance comes from.

    Consistency is the share of pairs of shifts, up to the largest, that get the same class.
    """
    finding = _sweep(context, "shift", shift_steps(context.side))
    return replace(finding, tables=(*finding.tables, *layer_tables(context)))


def rotation(context: Context) -> Finding:
    """Score and agreement against rotation in degrees, both ways."""
    ways = ("anticlockwise", "clockwise")
    steps = [Step(a, f"{a:g}°", (Warp(degrees=a), Warp(degrees=-a)), ways, a <= 30) for a in ANGLES]
    return _sweep(context, "rotation", steps)


def scale(context: Context) -> Finding:
    """Score and agreement against the size of what is shown, from half to double."""
    steps = [Step(f, f"×{f:g}", (Warp(scale=f),), common=0.8 <= f <= 1.25) for f in SCALES]
    return _sweep(context, "scale", steps)


def flip(context: Context) -> Finding:
    """Score and agreement for images mirrored left to right, top to bottom, and both."""
    steps = [
        Step(i, name, (Warp(flip=axes),), common=False)
        for i, (name, axes) in enumerate(FLIPS.items(), 1)
    ]
    return _sweep(context, "flip", steps)


def advice(kind: str, worst: Step, trained: Mapping[str, float]) -> str:
    """What to change against the worst step, given the augmentation that the network was trained with."""
    if kind == "shift":
        if trained.get("shift", 0) >= worst.at:
            return (
                f"Training had shifts of {trained['shift']:g} pixels; pool with a blur before each stride (Zhang 2019), or "
                "train for longer."
            )
        return f"Train with `--set shift={worst.at:g}`, or pool with a blur before each stride (Zhang 2019)."
    if kind == "rotation":
        if trained.get("rotate", 0) >= worst.at:
            return f"Training had rotations of {trained['rotate']:g}°; a larger network or a longer training may learn them."
        return f"If rotated images will come, train with `--set rotate={worst.at:g}`; if not, this needs nothing."
    if kind == "scale":
        if worst.at < 1:
            return (
                "Cut images so that objects come at the size they had in training, or add images of small objects "
                "to the training set."
            )
        area = 1 / worst.at**2
        if trained.get("scale", 1) <= area:
            return "Training had crops as close; resize so that objects come at the size they had in training."
        return f"Train with `--set scale={area:.2g}`, or resize so that objects come at the size they had in training."
    if worst.name == "left-right" and not trained.get("flip"):
        return "If mirrored images will come and mean the same, train with `--set flip=true`."
    way = {"left-right": "left to right", "top-bottom": "top to bottom"}.get(
        worst.name, "both ways"
    )
    return f"If images mirrored {way} will come and mean the same, add such images to the training set."


def _sweep(context: Context, kind: str, steps: Sequence[Step]) -> Finding:
    started = time.perf_counter()
    levels: list[Level] = []
    predictions = [context.predictions] if context.labelled else []
    for step in steps:
        seen, same = [], 0.0
        for warp, way in zip(step.warps, step.ways, strict=True):
            images, targets = warp.images(context.images), context.warped_targets(warp)
            note = f"{_words(kind, step)} {way}".rstrip()
            if not context.labelled:
                seen.append(context.evidence(images, targets, note=note))
                continue
            logits = context.logits(images, note=note)
            seen.append(context.metric.evidence(logits, targets))
            predictions.append(logits.argmax(1))
            same += float((predictions[-1] == predictions[0]).float().mean()) / len(step.warps)
        levels.append(
            Level(
                step.name, f"at {_words(kind, step)}", step.common, tuple(seen),
                same if context.labelled else None,
            )
        )  # fmt: skip
    consistency = _consistency(torch.stack(predictions)) if context.labelled else None
    remedy = context.task.remedies.get(kind)
    finding = swept(
        context, kind, TITLES[kind], levels,
        figures=lambda rows: (_chart(context, kind, steps, levels, rows), *class_scores(context, kind)),
        advice=lambda worst: remedy or advice(kind, steps[worst], context.trained),
        closing=f"; two random {kind}s agree on {percent(consistency)} of images."
        if kind == "shift" and consistency is not None else "",
        outside=" Targets move along, and what was outside does not count." if context.moves
        else " What leaves the frame is replaced by repeated border pixels.",
        data={} if consistency is None
        else {"consistency": consistency, "agreement": [level.same for level in levels]},
    )  # fmt: skip
    return replace(finding, seconds=time.perf_counter() - started)


def _words(kind: str, step: Step) -> str:
    return {
        "shift": f"{step.name} of shift", "rotation": f"{step.name} of rotation", "scale": f"{step.at:g} times the size",
        "flip": "a flip both ways" if step.name == "both" else f"a flip {step.name}",
    }[kind]  # fmt: skip


def _consistency(predictions: Tensor) -> float:
    """Share of unordered pairs of changes (M, N) that get the same predicted class, mean over images."""
    m = len(predictions)
    same = sum(
        float((predictions[i] == predictions[j]).float().mean()) for i in range(m) for j in range(i)
    )
    return same / (m * (m - 1) / 2)


def _chart(
    context: Context, kind: str, steps: Sequence[Step], levels: Sequence[Level], rows: Sequence[Row]
) -> Figure:  # fmt: skip
    x, scores = [step.at for step in steps], [row.score for row in rows]
    ticks, band = [step.name for step in steps], [context.interval(v.evidence) for v in levels]
    same = [1.0 if level.same is None else level.same for level in levels]
    at = {"scale": 1.0}.get(kind, 0.0)
    place = sum(v < at for v in x)
    x.insert(place, at)
    ticks.insert(place, "as they are" if kind == "flip" else "as is")
    scores.insert(place, context.clean_score)
    same.insert(place, 1.0)
    band.insert(place, context.interval([context.clean_evidence]))
    amounts, name = context.amounts, context.metric.name
    chance = 1 / len(context.classes) if context.labelled else None
    alt = f"{name} from {amounts.value(context.clean_score)} to {amounts.value(min(scores))}."
    what = "Accuracy" if context.labelled else name[0].upper() + name[1:]
    if kind == "flip":
        return bars(
            ticks, scores, intervals=band, title=TITLES[kind], chance=chance, share=amounts.share,
            caption=f"{what}, with its 95 % interval.", alt=alt,
        )  # fmt: skip
    series = {"accuracy" if context.labelled else name: scores}
    if context.labelled:
        series["same prediction"] = same
    return curves(
        x if kind == "shift" else np.arange(len(x), dtype=float).tolist(), series,
        xlabel={
            "shift": "shift (pixels)", "rotation": "rotation (both ways)", "scale": "size of what is shown",
        }[kind],
        title=TITLES[kind], bands={next(iter(series)): band}, chance=chance, share=amounts.share,
        ticks=[f"{v:g}" for v in x] if kind == "shift" else ticks,
        caption=f"{what} (95 % band), and share of images whose predicted class does not change."
        if context.labelled else f"{what} (95 % band).",
        alt=alt,
    )  # fmt: skip
