"""The pages of the up-sampling experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from striate.figures import BLUE, GRID, INK, ORANGE, SEQUENTIAL, VERMILLION, new_figure, style
from striate.findings import Figure, Finding, Table
from striate.lectures.experiments.drawing import chart, per_cent, pictures
from striate.lectures.experiments.learning import answers, seeded
from striate.lectures.experiments.upsampling.upsamplers import (
    STRIDE,
    WAYS,
    overlap,
    phases,
    transposed,
)
from striate.tasks.segment.findings.headline import interval
from striate.wording import percent

if TYPE_CHECKING:
    from striate.lectures.experiments.upsampling.run import Result

DRAWS = 4_000  # random layers whose phases are compared with the overlap
SHOWN = 24  # pixels of a smooth image that are shown enlarged


class Share(NamedTuple):
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float


def score_page(results: Mapping[str, Result], images: Tensor, truth: Tensor, seed: int) -> Finding:
    """How much of the digits of images (N, 3, H, W) each decoder finds, and how well it meets their outlines."""
    iou = {n: Share(*map(float, interval(r.scores, "iou:1", seed))) for n, r in results.items()}
    edge = {n: Share(*map(float, interval(r.scores, "boundary", seed))) for n, r in results.items()}
    best, worst = (f(iou, key=lambda n: iou[n].value) for f in (max, min))
    sharp, blunt = (f(edge, key=lambda n: edge[n].value) for f in (max, min))
    differ = iou[worst].high < iou[best].low
    verdict = (
        f"IoU of the digits is {percent(iou[worst].value)} ({worst}) to {percent(iou[best].value)} ({best}), "
        f"boundary F1 {percent(edge[blunt].value)} ({blunt}) to {percent(edge[sharp].value)} ({sharp}), on "
        f"{len(truth)} unseen scenes after the same training"
    )
    verdict += (
        "."
        if differ
        else "; the intervals of first and last overlap: this does not show a difference."
    )
    names = list(results)
    with style():
        figure = new_figure(7.4, 0.5 * len(names) + 1.3)
        axes = figure.subplots()
        at = np.arange(len(names))[::-1]
        for offset, numbers, colour, mark, label in (
            (0.14, iou, BLUE, "o", "IoU of the digits"),
            (-0.14, edge, VERMILLION, "s", "boundary F1"),
        ):
            y = at + offset
            axes.hlines(
                y, [numbers[n].low for n in names], [numbers[n].high for n in names], color=colour
            )
            axes.plot([numbers[n].value for n in names], y, mark, color=colour, label=label)
        axes.set_yticks(at, names)
        axes.tick_params(axis="y", length=0)
        axes.set(title="The same network with five ways up", ylim=(-0.6, len(names) - 0.4))
        per_cent(axes.xaxis)
        axes.grid(axis="x")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        drawn = chart(
            figure, caption="With 95 % intervals over the test scenes.",
            alt=f"Two marks for each of {len(names)} decoders.",
        )  # fmt: skip
    shown = int(truth.float().mean((1, 2)).argmax())
    picture = ((images[shown].permute(1, 2, 0) + 1) / 2).numpy()
    row = [("scene", picture), ("truth", truth[shown].numpy())]
    row += [(name, torch.sigmoid(r.maps[shown]).numpy()) for name, r in results.items()]
    return Finding(
        name="upsampling-scores",
        title="Five ways up, the same network",
        verdict=verdict,
        tables=(
            Table(
                columns=("decoder", "IoU", "from", "to", "boundary F1", "from", "to", "parameters"),
                rows=tuple(
                    (
                        n, iou[n].value, iou[n].low, iou[n].high, edge[n].value, edge[n].low, edge[n].high,
                        r.parameters,
                    )
                    for n, r in results.items()
                ),
                formats=("", ".1%", ".1%", ".1%", ".1%", ".1%", ".1%", ","),
                caption="Digit or ground, for every pixel; no bridges, so that all detail must come up through "
                "the decoder.",
            ),
        ),
        figures=(
            drawn,
            pictures(
                [row], side=1.25, caption="An unseen scene, its digits, and each decoder's probability of a digit.",
                alt="A scene and five maps.",
            ),
        ),
        data={
            "iou": {n: [v.value, v.low, v.high] for n, v in iou.items()},
            "boundary": {n: [v.value, v.low, v.high] for n, v in edge.items()},
            "parameters": {n: r.parameters for n, r in results.items()},
            "key_figure": {
                "value": iou[best].value, "low": iou[best].low, "high": iou[best].high, "label": f"IoU with {best}",
                "baseline": iou[worst].value, "baseline_label": worst,
            },
        },
    )  # fmt: skip


def checkerboard_page(results: Mapping[str, Result], plain: Mapping[str, Tensor]) -> Finding:
    """What each network makes of images (N, 3, H, W) without detail: any pattern in its map is its own."""
    strength = {
        n: {
            f"{kind}, {when}": float(values[kind].mean())
            for when, values in (("untrained", r.untrained), ("trained", r.trained))
            for kind in plain
        }
        for n, r in results.items()
    }  # fmt: skip
    trained = {n: s["smooth, trained"] for n, s in strength.items()}
    order = sorted(trained, key=trained.__getitem__)
    constant = [n for n in results if strength[n]["constant, trained"] < 1e-4]
    verdict = (
        f"On smooth images, where every pattern is the network's own, the trained map of {order[-1]} repeats itself every 4 "
        f"pixels with {percent(trained[order[-1]])} of the spread that it has on scenes, that of {order[0]} with "
        f"{percent(trained[order[0]])}. "
    )
    if constant:
        gives = "give" if len(constant) > 1 else "gives"
        verdict += f"On images of one colour {' and '.join(constant)} {gives} no pattern at all. "
    overlaps = {n: phases(overlap(way.kernel)) for n, way in WAYS.items() if way.kernel is not None}
    even = {n: bool(p.min() == p.max()) for n, p in overlaps.items()}
    word = {n: "even" if e else "uneven" for n, e in even.items()}
    first = max(overlaps, key=lambda n: strength[n]["constant, trained"])
    verdict += (
        "Of the transposed convolutions "
        + ", ".join(
            f"{n} ({word[n]} overlap) has {percent(strength[n]['constant, trained'])}"
            for n in overlaps
        )
        + " on one colour"
    )
    verdict += (
        ": an even overlap alone does not prevent it, since each phase has weights of its own."
        if even[first]
        else ": the uneven overlap shows."
    )
    calm = order[0]
    with style():
        figure = new_figure(7.6, 0.62 * len(results) + 1.4)
        axes = figure.subplots(1, 2, sharey=True)
        names = list(results)
        at = np.arange(len(names))[::-1]
        for panel, kind in zip(axes, plain, strict=True):
            for offset, when, colour in ((0.19, "untrained", GRID), (-0.19, "trained", ORANGE)):
                values = [strength[n][f"{kind}, {when}"] for n in names]
                panel.barh(at + offset, values, height=0.34, color=colour, label=when)
                for y, v in zip(at + offset, values, strict=True):
                    panel.annotate(
                        percent(v),
                        (v, y),
                        xytext=(3, 0),
                        textcoords="offset points",
                        va="center",
                        fontsize=8,
                    )
            panel.set_title(f"{kind} images")
            panel.margins(x=0.22)
            panel.set_xlabel("pattern, in the spread on scenes", fontsize=9)
            per_cent(panel.xaxis)
        axes[0].set_yticks(at, names)
        for panel in axes:
            panel.tick_params(axis="y", length=0)
        axes[1].legend(loc="lower right", fontsize=8)
        drawn = chart(
            figure,
            caption="Root mean square of what repeats every 4 pixels (two strides of 2) in the map of an image "
            "without detail, over the "
            "standard deviation of the same network's map on scenes.",
            alt="Bars for five decoders on constant and smooth images, before and after training.",
        )
    return Finding(
        name="upsampling-checkerboards",
        title="Checkerboards",
        verdict=verdict,
        status="warning" if trained[order[-1]] > 0.05 else "note",
        advice=f"Where a map's values matter and not only its classes, take {calm}."
        if trained[order[-1]] > 0.05
        else "",
        tables=(
            Table(
                columns=("decoder", *next(iter(strength.values()))),
                rows=tuple((n, *s.values()) for n, s in strength.items()),
                formats=("", *[".2%"] * 4),
                caption="Strength of the pattern, mean over images of one colour and over ramps between two colours.",
            ),
        ),
        figures=(drawn, close_up(results, plain)),
        data={"strength": strength, "images": len(plain["smooth"])},
    )


def close_up(results: Mapping[str, Result], plain: Mapping[str, Tensor]) -> Figure:
    """A piece of each trained network's map (N, K, H, W) of the same smooth image, contrast by its own spread on scenes."""
    kinds = {"constant": "one colour", "smooth": "a ramp"}
    rows = []
    for kind in plain:
        # The image on which the patterns are strongest, taken together.
        which = int(sum(r.trained[kind] for r in results.values()).argmax())  # type: ignore[union-attr]
        x = plain[kind][which : which + 1]
        middle = (x.shape[-1] - SHOWN) // 2
        row = [("image", ((x[0].permute(1, 2, 0) + 1) / 2).numpy())]
        for name, r in results.items():
            logits = answers(r.model, x)[0]
            y = (logits[1] - logits[0])[middle : middle + SHOWN, middle : middle + SHOWN]
            row.append((name, (0.5 + (y - y.mean()) / (2 * r.maps.std())).clamp(0, 1).numpy()))
        rows.append(row)
    return pictures(
        rows, side=1.25, names=[kinds[k] for k in plain],
        caption=f"An image without detail, and {SHOWN} x {SHOWN} pixels of each trained network's map of it: "
        "grey is its mean, white and black "
        "one standard deviation of its map on scenes.",
        alt="Two rows of maps; some show a grid.",
    )  # fmt: skip


def random_phases(
    kernel: int, *, draws: int = DRAWS, seed: int = 0, channels: int = 32
) -> np.ndarray:
    """Root mean square (2, 2) over random layers of what a transposed convolution makes of a constant map, by its phase."""

    # Each output channel has weights of its own: one layer with many of them is many layers.
    layer = seeded(seed, lambda: transposed(kernel)(channels, draws))
    x = torch.rand(1, channels, 1, 1, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        y = layer(x.expand(-1, -1, 6, 6))[0] - layer.bias[:, None, None]  # type: ignore[index,operator]
    y = y[:, 4 : 4 + STRIDE, 4 : 4 + STRIDE]
    return y.square().mean(0).sqrt().numpy()


def cause_page(results: Mapping[str, Result], seed: int) -> Finding:
    """The overlap of kernel and stride, and that it says how strong a random layer is at each phase."""
    kernels = sorted({way.kernel for way in WAYS.values() if way.kernel is not None})
    counts = {k: overlap(k) for k in kernels}
    by_phase = {k: phases(c).ravel() for k, c in counts.items()}
    by_kernel = {k: random_phases(k, seed=seed).ravel() for k in kernels}
    rows = []
    errors = []
    for k in kernels:
        expected = np.sqrt(by_phase[k] / by_phase[k].min())
        measured = by_kernel[k] / by_kernel[k][int(by_phase[k].argmin())]
        errors.append(float(np.abs(measured / expected - 1).max()))
        rows.append(
            (
                f"{k} x {k}", "yes" if k % STRIDE == 0 else "no", *(int(c) for c in by_phase[k]),
                " : ".join(f"{v:.2f}" for v in expected), " : ".join(f"{v:.2f}" for v in measured),
            )
        )  # fmt: skip
    uneven = [k for k in kernels if by_phase[k].min() < by_phase[k].max()]
    even = [k for k in kernels if k not in uneven]
    k = uneven[0]
    verdict = (
        f"With kernel {k} and stride {STRIDE} the positions of the larger map add up "
        f"{', '.join(map(str, by_phase[k]))} values in turn, with kernels "
        f"{' and '.join(map(str, even))}, which the stride divides, always as many. Random layers are as "
        "strong at each phase as the square root "
        f"of that count says, within {percent(max(errors))}."
    )
    with style():
        figure = new_figure(8.0, 3.0)
        panels = figure.subplots(1, len(kernels))
        for axes, size in zip(panels, kernels, strict=True):
            grid = counts[size]
            axes.imshow(grid, cmap=SEQUENTIAL, vmin=0, vmax=4, interpolation="nearest")
            for (r, c), n in np.ndenumerate(grid):
                axes.text(
                    c,
                    r,
                    str(n),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if n < 2.5 else "#1f2329",
                )
            axes.set_title(f"kernel {size}, stride {STRIDE}", fontsize=10)
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_color(INK)
                spine.set_visible(False)
        drawn = chart(
            figure,
            caption="How many values of the smaller map each position of an 8 x 8 map adds up, from the "
            "geometry of the layer. An uneven "
            "count is a checkerboard that the weights have to undo.",
            alt="Three grids of counts; only that of kernel 3 alternates.",
        )
    return Finding(
        name="upsampling-overlap",
        title="The cause: how kernel and stride overlap",
        verdict=verdict,
        status="good" if max(errors) < 0.15 else "note",
        tables=(
            Table(
                columns=(
                    "kernel", "stride divides it", "even, even", "even, odd", "odd, even", "odd, odd",
                    "expected", "measured",
                ),
                rows=tuple(rows),
                formats=("", "", "d", "d", "d", "d", "", ""),
                caption="Values added up at each phase; strength of a layer's map of a constant, by phase, "
                f"over that of the weakest: expected as the root of the count, measured over {DRAWS:,} layers.",
            ),
        ),
        figures=(drawn,),
        data={
            "overlap": {str(k): v.tolist() for k, v in counts.items()},
            "measured": {str(k): v.tolist() for k, v in by_kernel.items()},
            "error": max(errors),
        },
    )  # fmt: skip
