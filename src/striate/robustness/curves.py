"""Class-score curves: the scores of one image as it is shifted or turned; the shifted seven of lecture 001."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from striate.figures import CYCLE, GRID, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.robustness.chart import MARKS, as_percent
from striate.robustness.context import Context
from striate.robustness.transforms import rotated, shifted

LOOKED = 9  # levels at which the image of the curve is chosen


def class_scores(context: Context, kind: str) -> tuple[Figure, ...]:
    """Class-score curves of one image under shift or rotation."""
    if kind not in ("shift", "rotation") or not (context.labelled and context.clean_correct.any()):
        return ()
    if kind == "shift":
        m = max(1, context.side // 4)
        levels = [float(v) for v in range(-m, m + 1)]
        change = lambda x, v: shifted(x, 0, int(v))  # noqa: E731
    else:
        levels = [float(v) for v in range(-90, 91, 6)]
        change = rotated
    candidates = np.flatnonzero(context.clean_correct)[:24].tolist()
    x, labels = context.images[candidates], context.labels[candidates]
    true = torch.zeros(len(candidates))
    for v in levels[:: -(-len(levels) // LOOKED)]:
        shares = context.probabilities(context.logits(change(x, v)))
        true += shares.gather(1, labels[:, None])[:, 0]
    one = int(true.argmin())  # the one that suffers most is where the curve can be read
    scores = context.probabilities(
        context.logits(torch.cat([change(x[one : one + 1], v) for v in levels]))
    )
    label = int(labels[one])
    order = [label, *[int(c) for c in scores.amax(0).argsort(descending=True) if int(c) != label]]
    word = "pixels to the right" if kind == "shift" else "degrees anticlockwise"
    return (
        score_curves(
            levels,
            {context.classes[c]: scores[:, c].tolist() for c in order[:4]},
            xlabel=word,
            title=f"Scores of one “{context.classes[label]}”",
            caption=f"Softmax scores of one image, the worst of {len(candidates)}, as it is {'shifted' if kind == 'shift' else 'rotated'}; "  # noqa: E501
            "its own class first.",
            picture=context.images[candidates[one]].permute(1, 2, 0).numpy(),
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
        axes.axvline(0, color=GRID, linewidth=0.8, linestyle=(0, (4, 3)))
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
    """The shifted seven of lecture 001: the predictions of several networks for one image (C, H, W) as it moves right.

    models: name -> module from pixels in [0, 1] to logits. most: pixels both ways, a quarter of the width if not given.
    """
    started = time.perf_counter()
    most = max(1, image.shape[-1] // 4) if most is None else most
    moves = list(range(-most, most + 1))
    batch = torch.cat([shifted(image[None], 0, d) for d in moves])
    rows, series, sentences = [], {}, []
    for name, model in models.items():
        context = Context(model, batch, torch.full((len(batch),), label), classes)
        predictions = context.predictions.tolist()
        series[name] = context.clean.softmax(1)[:, label].tolist()
        changes = sum(a != b for a, b in pairwise(predictions))
        good = [d for d, a in zip(moves, predictions, strict=True) if a == label]
        rows += [
            (name, d, classes[a], s)
            for d, a, s in zip(moves, predictions, series[name], strict=True)
        ]
        sentences.append(
            f"{name} is correct at {len(good)} of {len(moves)} positions and changes its prediction {changes} times"
        )
    return Finding(
        name="probe-shifted-example",
        title=f"One “{classes[label]}”, shifted",
        verdict="; ".join(sentences) + ".",
        tables=(
            Table(
                columns=("network", "shift", "predicted class", f"score of “{classes[label]}”"),
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
