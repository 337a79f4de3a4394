"""Updates: gradients and update-to-weight ratios of each layer during training, from what a watched training noted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from striate.errors import UsageError
from striate.figures import GRID, SEQUENTIAL, new_figure, render, style
from striate.findings import Figure, Finding, Status, Table
from striate.wording import counted

# "A rough heuristic is that this ratio should be somewhere around 1e-3" (Stanford CS231n, "Learning and evaluation:
# ratio of weights:updates"); ten times either way is usual.
BAND = (1e-4, 1e-2)
WILD = 0.1  # a median ratio beyond this: a step throws a tenth of the weights over
STILL = 0.01  # all steps together have moved the weights by no more than this share of their size
VANISHING = 1e-4  # smallest over largest gradient from which gradients vanish
LINES = 8
SLOWER = "Lower the learning rate, or warm up longer."


class Row(Protocol):
    """One layer at one step: norms of its gradient, its weights, and what the step changed of them."""

    @property
    def step(self) -> int: ...
    @property
    def layer(self) -> str: ...
    @property
    def gradient(self) -> float: ...
    @property
    def weight(self) -> float: ...
    @property
    def update(self) -> float: ...


@dataclass(frozen=True)
class Learned:
    """A layer over a training: medians over the middle half of the steps, and how far all steps together went.

    ratio: update over weight. path: the sum of all steps' ratios, those between two notes counted as the note before.
    """

    layer: str
    gradient: float
    weight: float
    ratio: float
    path: float


def updates(rows: Sequence[Row], *, optimizer: str = "") -> Finding:
    """Judge how strongly each layer learned: update over weight, and gradients from the first layer to the last.

    rows: (step, layer, gradient, weight, update), norms, layers in the order of the network. optimizer: its name, for the
    figure. Medians are over the middle half of the steps: at both ends the learning rate is small by intent. Raises
    UsageError for no rows.
    """
    if not rows:
        raise UsageError("nothing was noted of the training's updates; train with --watch")
    layers = list(dict.fromkeys(r.layer for r in rows))
    steps = sorted({r.step for r in rows})
    broken = next(
        (r for r in rows if not all(map(math.isfinite, (r.gradient, r.weight, r.update)))), None
    )
    learned = [summary([r for r in rows if r.layer == layer], steps) for layer in layers]
    verdict, status, advice = verdict_of(learned, broken)
    return Finding(
        name="diagnose-updates",
        title="Gradients and updates",
        verdict=verdict,
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=("layer", "gradient", "weights", "update / weight", "moved in all"),
                rows=tuple((x.layer, x.gradient, x.weight, x.ratio, x.path) for x in learned),
                formats=("", ".1e", ".2g", ".1e", ".2g"),
                caption=f"Norms, medians over the middle half of {steps[-1] - steps[0] + 1:,} steps, {len(steps)} of them "
                "noted. Moved in all: the ratios of all steps added up; under 0.01 a layer has hardly learned.",
            ),
        ),
        figures=(
            draw(rows, layers, "ratio", "Update over weight", f"{optimizer} " if optimizer else ""),
            draw(rows, layers, "gradient", "Norm of the gradient", ""),
        ),
        data={
            "steps": steps,
            "layers": {
                x.layer: {"ratio": x.ratio, "gradient": x.gradient, "path": x.path} for x in learned
            },
            "broken": None if broken is None else {"step": broken.step, "layer": broken.layer},
        },
    )


def ratio_of(row: Row) -> float:
    """Update over weight; 0 where nothing moved."""
    return row.update / max(row.weight, 1e-30) if row.update else 0.0


def summary(rows: Sequence[Row], steps: Sequence[int]) -> Learned:
    """One layer's medians and path."""
    # Warm-up and decay make both ends of a training small by intent: the middle half is judged.
    low, high = steps[len(steps) // 4], steps[-1 - len(steps) // 4]
    middle = [r for r in rows if low <= r.step <= high] or list(rows)
    ends = [*(r.step for r in rows[1:]), rows[-1].step + 1]
    path = sum(ratio_of(r) * (end - r.step) for r, end in zip(rows, ends, strict=True))
    return Learned(
        rows[0].layer,
        median(r.gradient for r in middle),
        median(r.weight for r in middle),
        median(ratio_of(r) for r in middle),
        path,
    )


def verdict_of(learned: list[Learned], broken: Row | None) -> tuple[str, Status, str]:
    """One sentence on the layer that is worst off."""
    if broken is not None:
        return (
            f"The gradient or update of {broken.layer} was no longer finite at step {broken.step:,}.",
            "problem",
            "Lower the learning rate, or train with --precision fp32.",
        )
    frozen = [x for x in learned if x.path == 0]
    moving = [x for x in learned if x.path > 0]
    if not moving:
        return "No layer moved at all.", "problem", "Look at the learning rate; it seems to be 0."
    low, high = min(moving, key=lambda x: x.ratio), max(moving, key=lambda x: x.ratio)
    span = f"A step changes weights by {low.ratio:.0e} ({low.layer}) to {high.ratio:.0e} ({high.layer}) of their size"
    still = [x for x in moving if x.path < STILL]
    if frozen:
        span += f"; {counted(len(frozen), 'layer')}, {frozen[0].layer} first, never moved"
    if high.ratio > WILD:
        return f"{span}: {high.layer} jumps; about 1e-3 is usual.", "warning", SLOWER
    if len(still) > len(moving) / 2:
        return (
            f"{span}; all steps together moved {still[0].layer} by only {still[0].path:.1g} of its size: "
            f"{counted(len(still), 'layer')} of {len(learned)} hardly learned.",
            "warning",
            "Raise the learning rate, or train longer.",
        )
    strong, weak = max(moving, key=lambda x: x.gradient), min(moving, key=lambda x: x.gradient)
    if weak.gradient < VANISHING * strong.gradient:
        return (
            f"Gradients vanish: that of {weak.layer} is {weak.gradient / max(strong.gradient, 1e-30):.0e} of that of "
            f"{strong.layer}.",
            "warning",
            "Use ReLU in place of sigmoid or tanh, batch norm, or residual connections.",
        )
    if still:
        names = ", ".join(x.layer for x in still[:3])
        return (
            f"{span}; {names} hardly learned.",
            "note",
            "Right where those layers were pretrained; else raise the learning rate.",
        )
    if high.ratio > BAND[1] * 3:
        return (
            f"{span}, more than the usual 1e-3, and gradients reach every layer.",
            "note",
            "Normalised networks bear it; where the loss is unsteady, lower the learning rate.",
        )
    return f"{span}, and gradients reach every layer.", "note" if frozen else "good", ""


def draw(rows: Sequence[Row], layers: list[str], what: str, title: str, of: str) -> Figure:
    """Lines over steps for at most eight layers: the "gradient", or the "ratio" of update to weights."""
    import matplotlib

    few = min(LINES, len(layers))
    shown = list(
        dict.fromkeys(layers[round(i * (len(layers) - 1) / max(few - 1, 1))] for i in range(few))
    )
    colours = matplotlib.colormaps[SEQUENTIAL]
    with style():
        figure = new_figure(6.8, 3.4)
        axes = figure.subplots()
        if what == "ratio":
            axes.axhspan(*BAND, color=GRID, alpha=0.18, linewidth=0)
            axes.axhline(1e-3, color=GRID, linewidth=1, linestyle=(0, (4, 3)))
        for i, layer in enumerate(shown):
            mine = [r for r in rows if r.layer == layer]
            values = [ratio_of(r) if what == "ratio" else r.gradient for r in mine]
            axes.plot(
                [r.step for r in mine],
                [v if math.isfinite(v) and v > 0 else math.nan for v in values],
                color=colours(0.88 * i / max(len(shown) - 1, 1)),
                marker="osDv^P*X"[i],
                markersize=4,
                markevery=max(1, len(mine) // 8),
                linewidth=1.3,
                label=layer,
            )
        axes.set_yscale("log")
        axes.set(xlabel="step", title=title)
        axes.grid(axis="y")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
        more = f" {len(shown)} of {len(layers)} layers." if len(layers) > len(shown) else ""
        caption = (
            f"Norm of each {of}update over that of the weights; dark the first layers. Dashed the usual 1e-3 (Stanford "
            "CS231n), grey ten times either way."
            if what == "ratio"
            else "Dark the first layers. Lines that lie decades apart, the first layers lowest, are vanishing gradients."
        )
        return render(
            figure, caption=caption + more, alt=f"{title} of {len(shown)} layers over steps."
        )
