"""Shift, rotation, scale and flip: accuracy, agreement with the unchanged prediction, and class-score curves."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from striate.figures import CYCLE, new_figure, render, style
from striate.findings import Figure, Finding, Status, Table
from striate.robustness.chart import MARKS, as_percent, curves
from striate.robustness.equivariance import layer_tables
from striate.robustness.exam import Exam
from striate.robustness.intervals import paired, percent, points, wilson
from striate.robustness.transforms import rotated, scaled, shifted

SHIFTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
ANGLES = (5.0, 10.0, 15.0, 30.0, 45.0, 90.0, 180.0)
SCALES = (0.5, 0.65, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0)
NOTABLE = 0.05  # a loss that is worth acting on


@dataclass(frozen=True)
class Step:
    """One level of a change: its value on the axis, its name, and the changes that are averaged over."""

    at: float
    name: str
    changes: tuple[Callable[[Tensor], Tensor], ...]


def shift_steps(side: int) -> list[Step]:
    """Shifts up to a quarter of the side, in the four directions."""

    def move(r: int, c: int) -> Callable[[Tensor], Tensor]:
        return lambda x: shifted(x, r, c)

    most = max(1, side // 4)
    return [
        Step(d, f"{d} px", (move(0, d), move(0, -d), move(d, 0), move(-d, 0)))
        for d in SHIFTS
        if d <= most
    ]


def _steps(exam: Exam, kind: str) -> list[Step]:
    if kind == "shift":
        return shift_steps(exam.side)
    if kind == "rotation":

        def turn(a: float) -> Callable[[Tensor], Tensor]:
            return lambda x: rotated(x, a)

        return [Step(a, f"{a:g}°", (turn(a), turn(-a))) for a in ANGLES]

    def zoom(f: float) -> Callable[[Tensor], Tensor]:
        return lambda x: scaled(x, f)

    return [Step(f, f"×{f:g}", (zoom(f),)) for f in SCALES]


ADVICE = {
    "shift": "Train with random shifts (`--set shift=`), or pool with a blur before each stride (Zhang 2019).",
    "rotation": "If rotated images will come, train with `--set rotate=`; if not, this needs nothing.",
    "scale": "Train with `--set scale=`, or resize so that objects come at the size they had in training.",
    "flip": "If mirrored images will come and mean the same, train with `--set flip=true`.",
}
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

    steps = [Step(i, name, (turn(d),)) for i, (name, d) in enumerate(ways.items(), 1)]
    return _sweep(exam, "flip", steps)


def _sweep(exam: Exam, kind: str, steps: Sequence[Step]) -> Finding:
    started = time.perf_counter()
    clean = exam.clean_right
    said, labels = exam.said, exam.labels
    rows, right, agreement, votes = [], [], [], [said]
    for step in steps:
        hits = np.zeros(len(exam))
        same = 0.0
        for i, change in enumerate(step.changes):
            note = f"{kind} {step.name}" + (f" ({i + 1})" if len(step.changes) > 1 else "")
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
    worst = int(np.argmin(losses))
    value, low, high = losses[worst], rows[worst][4], rows[worst][5]
    # The first step that costs something: what a person can ask of their images.
    first = next((i for i, v in enumerate(losses) if v <= -NOTABLE and rows[i][5] < 0), None)
    status: Status = "good" if first is None else "warning" if value < -0.2 else "note"
    subject = {"shift": "of shift", "rotation": "of rotation", "scale": "the size", "flip": ""}[
        kind
    ]
    where = (
        f"{steps[worst].name} {subject}".strip()
        if kind != "flip"
        else f"a flip {steps[worst].name}"
    )
    n = len(exam)
    if first is None:
        verdict = (
            f"No {kind} tried here costs it {points(NOTABLE)}: the worst, {where}, changes accuracy by "
            f"{100 * value:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f}) "
            f"from {percent(exam.accuracy)} on {n:,} images."
        )
    else:
        verdict = (
            f"Loses {points(value)} at {where} (95 % interval {abs(100 * high):.1f} to {abs(100 * low):.1f}; "
            f"{percent(exam.accuracy)} to {percent(rows[worst][1])} on {n:,} images)"
        )
        if first != worst:
            verdict += f", {points(losses[first])} already at {steps[first].name}"
        verdict += (
            f"; two random {kind}s agree on {percent(consistency)} of images."
            if kind != "flip"
            else "."
        )
    intervals = [wilson(r.sum(), n) for r in right]
    chart = _chart(exam, kind, steps, [r[1] for r in rows], agreement, intervals)
    return Finding(
        name=f"probe-{kind}",
        title=TITLES[kind],
        verdict=verdict,
        status=status,
        advice="" if first is None else ADVICE[kind],
        tables=(
            Table(
                columns=(kind, "accuracy", "says the same", "change", "from", "to"),
                rows=tuple(rows),
                formats=("", ".1%", ".1%", "+.1%", "+.1%", "+.1%"),
                caption=f"{n:,} images, clean accuracy {percent(exam.accuracy)}; the change with its 95 % interval, "
                "paired over the same images. What leaves the frame is replaced by repeated border pixels.",
            ),
        ),
        figures=(chart, *_scores(exam, kind)),
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


def _scores(exam: Exam, kind: str) -> tuple[Figure, ...]:
    """Class-score curves of one image under shift or rotation."""
    if kind not in ("shift", "rotation") or not exam.clean_right.any():
        return ()
    if kind == "shift":
        m = max(1, exam.side // 4)
        levels = [float(v) for v in range(-m, m + 1)]
        change = lambda x, v: shifted(x, 0, int(v))  # noqa: E731
    else:
        levels = [float(v) for v in range(-90, 91, 6)]
        change = rotated
    candidates = np.flatnonzero(exam.clean_right)[:24].tolist()
    probabilities = torch.stack(
        [exam.logits(change(exam.images[candidates], v)).softmax(1) for v in levels]
    )
    labels = exam.labels[candidates]
    true = probabilities.gather(2, labels.expand(len(levels), -1)[..., None])[..., 0]
    one = int(true.mean(0).argmin())  # the one that suffers most is where the curve can be read
    scores = probabilities[:, one]
    label = int(labels[one])
    order = [label, *[int(c) for c in scores.amax(0).argsort(descending=True) if int(c) != label]]
    word = "pixels to the right" if kind == "shift" else "degrees anticlockwise"
    return (
        score_curves(
            levels,
            {exam.classes[c]: scores[:, c].tolist() for c in order[:4]},
            xlabel=word,
            title=f"Scores of one “{exam.classes[label]}”",
            caption=f"Softmax scores of one image, the worst of {len(candidates)}, as it is {'shifted' if kind == 'shift' else 'rotated'}; "  # noqa: E501
            "its own class first.",
            picture=exam.images[candidates[one]].permute(1, 2, 0).numpy(),
        ),
    )


def score_curves(
    x: Sequence[float], series: Mapping[str, Sequence[float]], *, xlabel: str, title: str, caption: str,
    picture: np.ndarray | None = None,
) -> Figure:  # fmt: skip
    """Scores against a change, with the image (H, W, C) in [0, 1] beside them."""
    with style():
        figure = new_figure(6.8, 3.2)
        axes = figure.subplots()
        for i, (name, y) in enumerate(series.items()):
            axes.plot(
                x, y, color=CYCLE[i % len(CYCLE)], marker=MARKS[i % len(MARKS)], markersize=3.5, label=name,
                linewidth=2 if i == 0 else 1.2,
            )  # fmt: skip
        axes.axvline(0, color="#8c959f", linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set(xlabel=xlabel, ylim=(-0.02, 1.02), title=title)
        as_percent(axes.yaxis)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 0.62))
        if picture is not None:
            inset = axes.inset_axes((1.04, 0.66, 0.2, 0.34))
            inset.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            inset.axis("off")
        return render(figure, caption=caption, alt=f"Curves of {len(series)} class scores.")


def shifted_example(
    models: Mapping[str, nn.Module], image: Tensor, label: int, classes: Sequence[str], *, most: int | None = None
) -> Finding:  # fmt: skip
    """The shifted seven of seed 001: the answers of several networks to one image (C, H, W) as it moves right.

    models: name -> module from pixels in [0, 1] to logits. most: pixels both ways, a quarter of the width if not given.
    """
    started = time.perf_counter()
    most = max(1, image.shape[-1] // 4) if most is None else most
    moves = list(range(-most, most + 1))
    batch = torch.cat([shifted(image[None], 0, d) for d in moves])
    rows, series, said = [], {}, []
    for name, model in models.items():
        exam = Exam(model, batch, torch.full((len(batch),), label), classes)
        answers = exam.said.tolist()
        series[name] = exam.clean.softmax(1)[:, label].tolist()
        changes = sum(a != b for a, b in pairwise(answers))
        good = [d for d, a in zip(moves, answers, strict=True) if a == label]
        rows += [
            (name, d, classes[a], s) for d, a, s in zip(moves, answers, series[name], strict=True)
        ]
        said.append(
            f"{name} is right at {len(good)} of {len(moves)} positions and changes its mind {changes} times"
        )
    return Finding(
        name="probe-shifted-example",
        title=f"One “{classes[label]}”, shifted",
        verdict="; ".join(said) + ".",
        tables=(
            Table(
                columns=("network", "shift", "says", f"score of “{classes[label]}”"),
                rows=tuple(rows),
                formats=("", "+d", "", ".1%"),
            ),
        ),
        figures=(
            score_curves(
                [float(d) for d in moves], series, xlabel="pixels to the right", title=f"Score of “{classes[label]}”",
                caption="The softmax score of the true class as the image moves.",
                picture=image.permute(1, 2, 0).numpy(),
            ),
        ),
        seed=0,
        seconds=time.perf_counter() - started,
    )  # fmt: skip
