"""The pages of the neocognitron experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from striate.figures import BLUE, GREEN, GRID, ORANGE, VERMILLION, new_figure, style
from striate.findings import Finding, Table
from striate.lectures.experiments.drawing import Chart, chart, per_cent
from striate.lectures.experiments.neocognitron.drawing import learned_sheet, response_sheet
from striate.lectures.experiments.neocognitron.images import moved
from striate.lectures.experiments.neocognitron.measuring import Kinds
from striate.models import Neocognitron
from striate.models.neocognitron import Organised
from striate.statistics.intervals import mean_interval, wilson
from striate.wording import percent

if TYPE_CHECKING:
    from striate.lectures.experiments.neocognitron.run import Result, Sizes

LOOKS = {  # colour, mark, line by kind of network; a broken line learned the generated set
    "neocognitron": (BLUE, "o"),
    "lenet5": (VERMILLION, "s"),
    "neocognitron, r and q of 1980": (GREEN, "^"),
}
NEO, LENET = "neocognitron, digits", "lenet5, digits"


def look(name: str) -> dict[str, object]:
    """How a network is drawn on every page."""
    kind, _, data = name.rpartition(", ")
    colour, mark = LOOKS[kind]
    line = "-" if data == "digits" else (0, (4, 2))
    return {"color": colour, "marker": mark, "linestyle": line, "markersize": 4.5}


def accuracy_page(results: Mapping[str, Result], count: int, sizes: Sizes) -> Finding:
    """What each network reads, in place, moved, and of the generated test set."""
    accuracy = {n: [float(r.mean()) for r in x.right] for n, x in results.items()}
    bands = {n: [wilson(r.sum(), count) for r in x.right] for n, x in results.items()}
    varied = {
        n: (float(x.varied.mean()), *wilson(x.varied.sum(), count)) for n, x in results.items()
    }
    most = sizes.most
    verdict = (
        f"Without labels, from digits in the middle, the neocognitron learns features that a linear read-out reads: "
        f"{percent(accuracy[NEO][0])} of {count:,} unseen digits are right in place and "
        f"{percent(accuracy[NEO][-1])} moved by {most} pixels. LeNet-5, trained by backpropagation on the same "
        f"digits, has {percent(accuracy[LENET][0])} and {percent(accuracy[LENET][-1])}. After moved and bent digits it is "
        f"{percent(accuracy['neocognitron, generated'][-1])} against {percent(accuracy['lenet5, generated'][-1])}."
    )
    paper = next((n for n in results if "1980" in n), None)
    if paper is not None:
        used = ", ".join(f"{o.used} of {len(o.reinforced)}" for o in results[paper].learned)
        verdict += (
            f" With r and q as in 1980, drawn for five patterns, {used} planes of S1 to S3 learn anything, and "
            f"{percent(accuracy[paper][0])} is right."
        )
    with style():
        figure = new_figure(7.8, 3.8)
        axes = figure.subplots()
        x = list(range(most + 1))
        for name, values in accuracy.items():
            drawn = look(name)
            axes.plot(x, values, label=name, **drawn)  # type: ignore[arg-type]
            low, high = zip(*bands[name], strict=True)
            axes.fill_between(x, low, high, color=drawn["color"], alpha=0.12, linewidth=0)  # type: ignore[arg-type]
        axes.axhline(0.1, color=GRID, linewidth=1, linestyle=":")
        axes.annotate(
            "guessing", (0.01, 0.1), xycoords=("axes fraction", "data"), ha="left", va="bottom", fontsize=8, color=GRID
        )  # fmt: skip
        axes.set(xlabel="shift (pixels)", ylabel="right", title="Accuracy against shift", ylim=(0, 1.03))  # fmt: skip
        axes.set_xticks(x)
        per_cent(axes.yaxis)
        axes.grid(axis="y")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        figure_ = chart(
            figure,
            caption="Unseen digits, mean over four directions, with 95 % bands. After the comma: what the network learned "
            "from, digits in the middle or the generated set.",
            alt="Curves of accuracy; LeNet-5 trained in the middle falls, the neocognitron stays.",
        )
    best = accuracy[NEO][-1]
    return Finding(
        name="neocognitron-accuracy",
        title="Digits, without a teacher",
        verdict=verdict,
        tables=(
            Table(
                columns=(
                    "network, learned from", "in place", "from", "to", *(f"{d} px" for d in range(1, most + 1)),
                    "generated", "from", "to", "planes that learned",
                ),
                rows=tuple(
                    (n, accuracy[n][0], *bands[n][0], *accuracy[n][1:], *varied[n],
                     ", ".join(str(o.used) for o in r.learned) or None)
                    for n, r in results.items()
                ),
                formats=("", *[".1%"] * (most + 6), ""),
                caption=f"Share right of {count:,} unseen digits: in place, moved (mean over four directions), "
                "and moved, turned, scaled and bent; intervals of 95 %. The neocognitron's planes organise themselves "
                f"without labels from {sizes.present:,} images at most; labels fit the read-out alone. LeNet-5 learns "
                "all of its weights from labels.",
            ),
        ),
        figures=(figure_,),
        data={
            "accuracy": accuracy,
            "generated": {n: list(v) for n, v in varied.items()},
            "planes": {n: [o.used for o in r.learned] for n, r in results.items()},
            "images": count,
            "key_figure": {
                "value": best, "low": bands[NEO][-1][0], "high": bands[NEO][-1][1],
                "label": f"right {most} pixels away",
                "baseline": accuracy[LENET][-1], "baseline_label": LENET,
            },
        },
    )  # fmt: skip


def seeds_page(
    found: Mapping[str, Sequence[tuple[float, float]]], count: int, sizes: Sizes
) -> Finding:
    """How far the accuracies of one seed can be trusted. found: by network, shares right in place and farthest moved."""
    seeds = min(len(v) for v in found.values())
    spans = {n: [mean_interval(x) for x in zip(*v, strict=True)] for n, v in found.items()}
    shown = "; ".join(
        f"{n} reads {percent(here[0])} ({percent(here[1])} to {percent(here[2])}) in place and {percent(away[0])} "
        f"({percent(away[1])} to {percent(away[2])}) moved by {sizes.most} pixels"
        for n, (here, away) in spans.items()
    )
    verdict = (
        f"Over {seeds} seeds, each with its own split of the digits: {shown}."
        if seeds > 1
        else "There was time for one seed alone; give more with --budget."
    )
    return Finding(
        name="neocognitron-seeds",
        title="The same with other seeds",
        verdict=verdict,
        status="note" if seeds > 1 else "warning",
        tables=(
            Table(
                columns=(
                    "network, learned from digits", "seeds", "in place", "from", "to", f"{sizes.most} px", "from", "to",
                    "in place, by seed",
                ),
                rows=tuple(
                    (n, len(v), *spans[n][0], *spans[n][1], ", ".join(percent(x) for x, _ in v)) for n, v in found.items()
                ),
                formats=("", "d", *[".1%"] * 6, ""),
                caption=f"Share right of {count:,} unseen digits; the mean over seeds and its 95 % interval by Student's t. "
                "Constants were chosen on the test digits of seed 0, splits of other seeds share most of them.",
            ),
        ),
        data={
            "seeds": seeds,
            "right": {n: [list(x) for x in v] for n, v in found.items()},
            "intervals": {n: [list(x) for x in v] for n, v in spans.items()},
        },
    )  # fmt: skip


def planes_page(
    model: Neocognitron, learned: Sequence[Organised], images: Tensor, test: Tensor, labels: Tensor
) -> Finding:
    """Every plane: what it learned of images (N, 1, H, W), and what it responds to one digit of `test` at two places."""
    used = {o.layer: o.used for o in learned}
    sizes = {o.layer: len(o.reinforced) for o in learned}
    four = int((labels == 4).nonzero()[0]) if bool((labels == 4).any()) else 0  # the paper's figure
    image = test[four : four + 1]
    pixels = 2
    silent = {k: v - used[k] for k, v in sizes.items()}
    idle = sum(silent.values())
    verdict = (
        "From S1 to S3 planes learn pieces of strokes, parts of digits, and whole digits: "
        + ", ".join(f"{used[k]} of {sizes[k]} in {k.upper()}" for k in used)
        + " have learned something"
        + ("." if idle else "; none was left, and rarer features have no plane.")
    )  # fmt: skip
    return Finding(
        name="neocognitron-planes",
        title="Every plane",
        verdict=verdict,
        tables=(
            Table(
                columns=(
                    "layer", "planes", "learned", "presentations", "reinforcements a plane, median", "most",
                ),
                rows=tuple(
                    (
                        o.layer.upper(), len(o.reinforced), o.used, o.presentations, int(o.reinforced.median()),
                        int(o.reinforced.max()),
                    )
                    for o in learned
                ),
                formats=("", "d", "d", ",", ",", ","),
                caption="How often planes were reinforced, by at most one of their cells an image.",
            ),
        ),
        figures=(
            learned_sheet(model, images, used),
            response_sheet(model, image, moved(image, 0, pixels), pixels),
        ),
        data={
            "used": used,
            "planes": sizes,
            "reinforced": {o.layer: o.reinforced.tolist() for o in learned},
        },
    )  # fmt: skip


def shift_page(results: Mapping[str, Result], sizes: Sizes) -> Finding:
    """How much a shift leaves of every layer's response."""
    far = sizes.most
    at = {n: results[n].left[far] for n in (NEO, LENET)}
    c3, fc2 = at[NEO]["c3"], at[LENET]["fc2"]
    near = results[NEO].left[1]
    wins = all(near[f"c{i}"].value > near[f"s{i}"].value for i in (1, 2, 3))
    verdict = (
        f"Moved by {far} pixels, the response of C3 correlates {c3.value:.2f} ({c3.low:.2f} to {c3.high:.2f}) with that "
        f"in place, that of LeNet-5's last hidden layer {fc2.value:.2f} ({fc2.low:.2f} to {fc2.high:.2f}); both learned "
        "digits in the middle. "
    )
    verdict += (
        "By one pixel every C layer changes less than the S layer in front of it."
        if wins
        else "By one pixel not every C layer changes less than the S layer in front of it."
    )
    shown = [n for n in results if "1980" not in n]
    return Finding(
        name="neocognitron-shift",
        title="What a shift changes, layer by layer",
        verdict=verdict,
        tables=tuple(
            Table(
                columns=("layer", *(x for d in (1, far) for x in (f"{d} px", "from", "to"))),
                rows=tuple(
                    (layer, *(v for d in (1, far) for v in results[n].left[d][layer]))
                    for layer in results[n].left[far]
                ),
                formats=("", *[".2f"] * 6),
                caption=f"{n}: correlation of a layer's response before and after a shift, over four directions, with "
                "95 % intervals over images.",
            )
            for n in shown
        ),
        figures=(_left_chart(results, shown, far),),
        data={
            "left": {
                n: {str(d): {k: list(v) for k, v in by.items()} for d, by in r.left.items()}
                for n, r in results.items()
            }
        },
    )  # fmt: skip


def _left_chart(results: Mapping[str, Result], shown: Sequence[str], far: int) -> Chart:
    with style():
        figure = new_figure(8.6, 3.6)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, kind in zip(panels, ("neocognitron", "lenet5"), strict=True):
            for name in (n for n in shown if n.startswith(kind)):
                data = name.rpartition(", ")[2]
                for pixels, colour in ((1, ORANGE), (far, BLUE)):
                    by = results[name].left[pixels]
                    y = np.array(list(by.values()))
                    x = np.arange(len(by))
                    axes.errorbar(
                        x, y[:, 0], (y[:, 0] - y[:, 1], y[:, 2] - y[:, 0]), color=colour, marker="o", markersize=4,
                        linestyle="-" if data == "digits" else (0, (4, 2)), label=f"{pixels} px, {data}",
                    )  # fmt: skip
                    axes.set_xticks(x, list(by))
            axes.axhline(0, color=GRID, linewidth=1)
            axes.set_title({"neocognitron": "neocognitron", "lenet5": "LeNet-5"}[kind])
            axes.grid(axis="y")
        panels[0].set(ylabel="correlation with the response in place", ylim=(-0.15, 1.05))
        panels[1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), title="shift, learned from")
        return chart(
            figure,
            caption="How alike a layer's responses are before and after a shift, at the same places: 1 unchanged, 0 "
            "nothing in common; bars are 95 % intervals.",
            alt="Correlation by layer for both networks; C layers of the neocognitron rise above the S layers.",
        )


def kinds_page(cells: Mapping[str, Kinds]) -> Finding:
    """S and C cells by phase and by bars."""
    s = [k for k in cells if k.startswith("s")]
    simple = sum(cells[k].simple for k in s)
    driven = sum(cells[k].simple + cells[k].complex for k in s)
    c_complex = sum(cells[k].complex for k in cells if k.startswith("c"))
    c_driven = sum(cells[k].simple + cells[k].complex for k in cells if k.startswith("c"))
    wide = {k: _median(v.places) for k, v in cells.items()}
    both = [(i, wide[f"s{i}"], wide[f"c{i}"]) for i in range(1, len(s) + 1)]
    shown = [(i, a, b) for i, a, b in both if a is not None and b is not None]
    wider = [i for i, a, b in shown if b > a]
    verdict = (
        f"By drifting gratings (F1 / F0), {simple} of {driven} S cells that any grating drives are simple, and "
        f"{c_complex} of {c_driven} C cells are complex. By a bar that moves, C cells respond at more places than S "
        f"cells in {len(wider)} of the {len(shown)} modules that a bar drives: "
        + ", ".join(f"{a:.0f} to {b:.0f} pixels (S{i} to C{i})" for i, a, b in shown)
        + "."
    )  # fmt: skip
    if c_complex < c_driven / 2:
        verdict += " A C cell adds up few pixels beside the period of the gratings that drive it, and follows the phase."
    with style():
        figure = new_figure(8.2, 3.4)
        left, right = figure.subplots(1, 2)
        names = list(cells)
        at = np.arange(len(names))[::-1]
        start = np.zeros(len(names))
        for what, colour in (("simple", BLUE), ("complex", ORANGE), ("silent", GRID)):
            share = np.array([getattr(c, what) / len(c.modulation) for c in cells.values()])
            left.barh(at, share, left=start, color=colour, label=what, height=0.7)
            start += share
        left.set_yticks(at, [n.upper() for n in names])
        per_cent(left.xaxis)
        left.set(title="By drifting gratings", xlabel="share of planes", xlim=(0, 1))
        left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3)
        for y, (name, c) in zip(at, cells.items(), strict=True):
            known = c.places[~np.isnan(c.places)]
            if len(known):
                low, middle, high = np.percentile(known, (25, 50, 75))
                colour = BLUE if name.startswith("s") else ORANGE
                right.hlines(y, low, high, color=colour, linewidth=5, alpha=0.5)
                right.plot(middle, y, "o" if name.startswith("s") else "D", color=colour)
        right.set_yticks(at, [n.upper() for n in names])
        right.set(
            title="By a moving bar", xlabel="places with over half the largest response (pixels)", xlim=(0, 11)
        )  # fmt: skip
        right.grid(axis="x")
        drawn = chart(
            figure,
            caption="Left: F1 / F0 over 1 is simple (Skottun et al. 1991). Right: at how many of 21 places a bar of the "
            "best orientation drives the cell, median and quartiles over planes; circles S, diamonds C.",
            alt="Bars of simple, complex and silent cells by layer, and the number of places.",
        )
    return Finding(
        name="neocognitron-cells",
        title="Simple and complex cells",
        verdict=verdict,
        tables=(
            Table(
                columns=("layer", "simple", "complex", "silent", "F1 / F0, median", "places of a bar, median"),
                rows=tuple(
                    (n.upper(), c.simple, c.complex, c.silent, _median(c.modulation), _median(c.places))
                    for n, c in cells.items()
                ),
                formats=("", "d", "d", "d", ".2f", ".1f"),
                caption="One cell a plane, in the middle. Gratings lie on grey, which is far from the black that the "
                "planes learned on, so that many are silent; bars are white on black, as on the page of lecture 004.",
            ),
        ),
        figures=(drawn,),
        data={
            n: {
                "simple": c.simple, "complex": c.complex, "silent": c.silent,
                "modulation": _median(c.modulation), "places": _median(c.places),
            }
            for n, c in cells.items()
        },
    )  # fmt: skip


def _median(values: np.ndarray) -> float | None:
    """Of the cells that are driven at all; None if there is none."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else None
