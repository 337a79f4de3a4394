"""Shift, rotation, scale and flip: accuracy, agreement with the unchanged prediction, and class-score curves."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from striate.findings import Figure, Finding, Status, Table
from striate.robustness.chart import bars, curves
from striate.robustness.curves import class_scores
from striate.robustness.equivariance import layer_tables
from striate.robustness.exam import Exam
from striate.robustness.transforms import rotated, scaled, shifted
from striate.statistics.intervals import paired, percent, points, wilson

SHIFTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
ANGLES = (5.0, 10.0, 15.0, 30.0, 45.0, 90.0, 180.0)
SCALES = (0.5, 0.65, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0)
WAYS = ("right", "left", "down", "up")
NOTABLE = 0.05  # a loss that is worth acting on


@dataclass(frozen=True)
class Step:
    """One level of a change: its value on the axis, its name, the changes averaged over, and whether it is common."""

    at: float
    name: str
    changes: tuple[Callable[[Tensor], Tensor], ...]
    ways: tuple[str, ...] = ("",)  # of each change, where there are several
    common: bool = True  # an image in use may well come so; a loss here is a warning


def shift_steps(side: int) -> list[Step]:
    """Shifts up to a quarter of the side, in the four directions."""

    def move(r: int, c: int) -> Callable[[Tensor], Tensor]:
        return lambda x: shifted(x, r, c)

    most = max(1, side // 4)
    return [
        Step(d, f"{d} px", (move(0, d), move(0, -d), move(d, 0), move(-d, 0)), WAYS)
        for d in SHIFTS
        if d <= most
    ]


def _steps(exam: Exam, kind: str) -> list[Step]:
    if kind == "shift":
        return shift_steps(exam.side)
    if kind == "rotation":

        def turn(a: float) -> Callable[[Tensor], Tensor]:
            return lambda x: rotated(x, a)

        return [
            Step(a, f"{a:g}°", (turn(a), turn(-a)), ("anticlockwise", "clockwise"), a <= 30)
            for a in ANGLES
        ]

    def zoom(f: float) -> Callable[[Tensor], Tensor]:
        return lambda x: scaled(x, f)

    return [Step(f, f"×{f:g}", (zoom(f),), common=0.8 <= f <= 1.25) for f in SCALES]


TITLES = {
    "shift": "Shifted images",
    "rotation": "Rotated images",
    "scale": "Larger and smaller objects",
    "flip": "Mirrored images",
}


def shift(exam: Exam) -> Finding:
    """Accuracy and consistency (Zhang 2019) against shift in pixels, and where in the network the invariance comes from.

    Consistency is the share of pairs of shifts, up to the largest, that get the same answer.
    """
    found = _sweep(exam, "shift", _steps(exam, "shift"))
    layers = layer_tables(exam)
    return found if not layers else Finding(**{**vars(found), "tables": (*found.tables, *layers)})


def rotation(exam: Exam) -> Finding:
    """Accuracy and agreement against rotation in degrees, both ways."""
    return _sweep(exam, "rotation", _steps(exam, "rotation"))


def scale(exam: Exam) -> Finding:
    """Accuracy and agreement against the size of what is shown, from half to double."""
    return _sweep(exam, "scale", _steps(exam, "scale"))


def flip(exam: Exam) -> Finding:
    """Accuracy and agreement for images mirrored left to right, top to bottom, and both."""
    ways = {"left-right": (3,), "top-bottom": (2,), "both": (2, 3)}

    def turn(dims: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
        return lambda x: x.flip(dims)

    steps = [Step(i, name, (turn(d),), common=False) for i, (name, d) in enumerate(ways.items(), 1)]
    return _sweep(exam, "flip", steps)


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


def _sweep(exam: Exam, kind: str, steps: Sequence[Step]) -> Finding:
    started = time.perf_counter()
    clean = exam.clean_right
    said, labels = exam.said, exam.labels
    rows, right, agreement, votes = [], [], [], [said]
    for step in steps:
        hits = np.zeros(len(exam))
        same = 0.0
        for change, way in zip(step.changes, step.ways, strict=True):
            note = f"{_words(kind, step)} {way}".rstrip()
            answers = exam.logits(change(exam.images), note=note).argmax(1)
            votes.append(answers)
            hits += (answers == labels).numpy() / len(step.changes)
            same += float((answers == said).float().mean()) / len(step.changes)
        right.append(hits)
        agreement.append(same)
        value, low, high = paired(clean, hits)
        rows.append((step.name, float(hits.mean()), same, value, low, high))
    consistency = _consistency(torch.stack(votes))
    losses = [r[3] for r in rows]
    costly = [i for i, r in enumerate(rows) if r[3] <= -NOTABLE and r[5] < 0]
    # What to warn of, and to say first, is the worst of what an image in use may well be.
    common = [i for i in costly if steps[i].common]
    worst = min(common or costly or range(len(rows)), key=losses.__getitem__)
    value, low, high = rows[worst][3:]
    status: Status = "good" if not costly else "warning" if common and value < -0.2 else "note"
    n = len(exam)
    if not costly:
        verdict = (
            f"No {kind} tried here costs it {points(NOTABLE)}: the worst, {_words(kind, steps[worst])}, changes accuracy "
            f"by {100 * value:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f}) "
            f"from {percent(exam.accuracy)} on {n:,} images."
        )
    else:
        verdict = (
            f"Loses {points(value)} at {_words(kind, steps[worst])} (95 % interval {abs(100 * high):.1f} to "
            f"{abs(100 * low):.1f}; {percent(exam.accuracy)} to {percent(rows[worst][1])} on {n:,} images)"
        )
        mildest = min(costly, key=lambda i: (not steps[i].common, abs(losses[i])))
        most = min(costly, key=losses.__getitem__)
        others = [f"{points(losses[i])} at {steps[i].name}" for i in (mildest, most) if i != worst]
        if others:
            verdict += f", {' and '.join(dict.fromkeys(others))}"
        verdict += (
            f"; two random {kind}s agree on {percent(consistency)} of images."
            if kind == "shift"
            else "."
        )
    intervals = [wilson(r.sum(), n) for r in right]
    chart = _chart(exam, kind, steps, [r[1] for r in rows], agreement, intervals)
    return Finding(
        name=f"probe-{kind}",
        title=TITLES[kind],
        verdict=verdict,
        status=status,
        advice=advice(kind, steps[worst], exam.trained) if costly else "",
        tables=(
            Table(
                columns=(kind, "accuracy", "says the same", "change", "from", "to"),
                rows=tuple(rows),
                formats=("", ".1%", ".1%", "+.1%", "+.1%", "+.1%"),
                caption=f"{n:,} images, clean accuracy {percent(exam.accuracy)}; the change with its 95 % interval, "
                "paired over the same images. What leaves the frame is replaced by repeated border pixels.",
            ),
        ),
        figures=(chart, *class_scores(exam, kind)),
        data={
            "clean": exam.accuracy,
            "consistency": consistency,
            "levels": [s.name for s in steps],
            "accuracy": [r[1] for r in rows],
            "agreement": agreement,
            "change": losses,
            "images": n,
        },
        seed=exam.seed,
        seconds=time.perf_counter() - started,
    )


def _words(kind: str, step: Step) -> str:
    return {
        "shift": f"{step.name} of shift", "rotation": f"{step.name} of rotation", "scale": f"{step.at:g} times the size",
        "flip": f"a flip {step.name}",
    }[kind]  # fmt: skip


def _consistency(votes: Tensor) -> float:
    """Share of unordered pairs of changes (M, N) that get the same answer, mean over images."""
    m = len(votes)
    same = sum(float((votes[i] == votes[j]).float().mean()) for i in range(m) for j in range(i))
    return same / (m * (m - 1) / 2)


def _chart(
    exam: Exam, kind: str, steps: Sequence[Step], accuracy: Sequence[float], agreement: Sequence[float],
    intervals: Sequence[tuple[float, float]],
) -> Figure:  # fmt: skip
    x, a, s, band = [st.at for st in steps], list(accuracy), list(agreement), list(intervals)
    ticks = [st.name for st in steps]
    at = {"scale": 1.0}.get(kind, 0.0)
    place = sum(v < at for v in x)
    x.insert(place, at)
    ticks.insert(place, "as is")
    a.insert(place, exam.accuracy)
    s.insert(place, 1.0)
    band.insert(place, wilson(exam.clean_right.sum(), len(exam)))
    even = [float(i) for i in range(len(x))] if kind != "shift" else x
    label = {
        "shift": "shift (pixels)",
        "rotation": "rotation (both ways)",
        "scale": "size of what is shown",
        "flip": "",
    }
    if kind == "flip":
        return bars(
            [t.replace("as is", "as they are") for t in ticks], a, intervals=band, title=TITLES[kind],
            chance=1 / len(exam.classes), caption="Share of images answered right, with its 95 % interval.",
            alt=f"Accuracy falls from {percent(exam.accuracy)} to {percent(min(a))}.",
        )  # fmt: skip
    if kind == "shift":
        ticks = [f"{v:g}" for v in x]
    return curves(
        even,
        {"right": a, "says the same": s},
        xlabel=label[kind],
        title=TITLES[kind],
        bands={"right": band},
        chance=1 / len(exam.classes),
        ticks=ticks,
        caption="Share of images answered right (95 % band), and share that get the answer they got unchanged.",
        alt=f"Accuracy falls from {percent(exam.accuracy)} to {percent(min(a))}.",
    )
