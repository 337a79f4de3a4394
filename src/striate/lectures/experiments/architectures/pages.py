"""The pages of the architecture experiment: Canziani's figure, and who is not in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.figures import CYCLE, INK, new_figure, style
from striate.findings import Finding, Table
from striate.lectures.experiments.drawing import Chart, chart, per_cent
from striate.statistics.intervals import wilson
from striate.wording import percent

if TYPE_CHECKING:
    from striate.lectures.experiments.architectures.run import Trained

FAMILIES = {  # how names begin, in the order of the colours
    "vgg": "VGG",
    "resnet": "ResNet",
    "densenet": "DenseNet",
    "lenet": "LeNet-5",
    "alexnet": "AlexNet, NiN, GoogLeNet",
    "nin": "AlexNet, NiN, GoogLeNet",
    "googlenet": "AlexNet, NiN, GoogLeNet",
}
OTHERS = "compact, mlp, EfficientNet"
CORRELATED = 5  # networks from which on a rank correlation is reported
CLOSE = 0.02  # as good as the best, for practical purposes


def family(name: str) -> str:
    """The family that a network is drawn with."""
    return next((f for start, f in FAMILIES.items() if name.startswith(start)), OTHERS)


def short(count: float) -> str:
    """A count as 0.3 M, 42 M or 1.2 G."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= limit:
            return f"{count / limit:.3g} {unit}"
    return f"{count:.0f}"


def place(axes: Any, names: Sequence[str], points: np.ndarray, radii: np.ndarray) -> None:
    """Write each name beside its bubble at points (N, 2), of radii (N,), where it covers no other name and no bubble's
    middle.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    taken: list[tuple[float, float, float, float]] = []
    scale = figure.dpi / 72
    at = axes.transData.transform(points)
    frame = axes.get_window_extent()
    for i in np.argsort(-points[:, 1]):
        width, height = 5.0 * len(names[i]) * scale, 9.5 * scale
        x, y = at[i]
        best: tuple[float, float, float, bool] | None = None
        for reach in (3, 12, 22, 34, 48, 64):
            r = (radii[i] + reach) * scale
            for dx, dy in (
                (1, 0),
                (-1, 0),
                (0, 1),
                (0, -1),
                (0.8, 0.8),
                (-0.8, 0.8),
                (0.8, -0.8),
                (-0.8, -0.8),
            ):
                cx = x + dx * r + (width / 2 if dx > 0 else -width / 2 if dx < 0 else 0)
                cy = y + dy * r + (height / 2 if dy > 0 else -height / 2 if dy < 0 else 0)
                box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
                if box[0] < frame.x0 or box[2] > frame.x1 or box[1] < frame.y0 or box[3] > frame.y1:
                    continue
                hits = sum(
                    box[0] < t[2] and t[0] < box[2] and box[1] < t[3] and t[1] < box[3]
                    for t in taken
                )
                hits += sum(
                    box[0] - 3 < p[0] < box[2] + 3 and box[1] - 3 < p[1] < box[3] + 3 for p in at
                )
                score = hits * 100 + reach
                if best is None or score < best[0]:
                    best = (score, cx, cy, reach > 12)
        if best is None:
            continue
        _, cx, cy, far = best
        taken.append((cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2))
        spot = axes.transData.inverted().transform((cx, cy))
        axes.annotate(
            names[i],
            points[i],
            xytext=spot,
            textcoords="data",
            ha="center",
            va="center",
            fontsize=8,
            arrowprops={
                "arrowstyle": "-",
                "color": INK,
                "linewidth": 0.5,
                "shrinkA": 4,
                "shrinkB": 0,
            }
            if far
            else None,
        )


def bubbles(
    trained: Sequence[Trained],
    x: Sequence[float],
    size: Sequence[float],
    *,
    xlabel: str,
    sizes: str,
    title: str,
    count: int,
) -> Chart:
    """Accuracy against a cost, a bubble a network, its area by another cost."""
    from matplotlib.lines import Line2D

    shown = list(dict.fromkeys([*FAMILIES.values(), OTHERS]))
    colours = dict(zip(shown, CYCLE, strict=True))
    y = np.array([t.mean for t in trained])
    largest = max(size)
    area = np.array([18 + 900 * s / largest for s in size])
    with style():
        figure = new_figure(8.6, 6.0)
        axes = figure.subplots()
        axes.set_xscale("log")
        for t, at, value, a in zip(trained, x, y, area, strict=True):
            colour = colours[family(t.candidate.name)]
            low, high = wilson(value * count, count)
            axes.vlines(at, low, high, color=colour, linewidth=1, alpha=0.6)
            axes.scatter(
                [at], [value], s=a, color=colour, alpha=0.45, edgecolor=colour, linewidth=1
            )
            axes.plot([at], [value], ".", color=INK, markersize=3)
        axes.set(xlabel=xlabel, ylabel="right on unseen digits", title=title)
        axes.set_xlim(min(x) / 2.2, max(x) * 2.2)
        bottom, top = float(y.min()), float(y.max())
        reach = max(top - bottom, 0.05)
        axes.set_ylim(max(-0.05, bottom - 0.1 * reach), top + 0.14 * reach)
        axes.xaxis.set_major_formatter(lambda v, _: short(v))
        per_cent(axes.yaxis)
        axes.grid(axis="both")
        present = [f for f in shown if any(family(t.candidate.name) == f for t in trained)]
        handles = [
            Line2D([], [], marker="o", linestyle="", color=colours[f], alpha=0.7, label=f)
            for f in present
        ]
        for share in (1.0, 0.25):
            handles.append(
                Line2D(
                    [],
                    [],
                    marker="o",
                    linestyle="",
                    markerfacecolor="none",
                    color=INK,
                    markersize=float(np.sqrt(18 + 900 * share)),
                    label=f"{short(share * largest)} {sizes}",
                )
            )
        axes.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(1.01, 1.0),
            labelspacing=1.6,
            handletextpad=1.6,
        )
        points = np.column_stack([x, y])
        place(axes, [t.candidate.name for t in trained], points, np.sqrt(area) / 2)
        return chart(
            figure,
            caption=f"A bubble a network, its area by its {sizes}; the line through it is the 95 % interval "
            f"over {count} test digits.",
            alt=f"Bubbles of {len(trained)} networks.",
        )


def ranks(values: Sequence[float]) -> np.ndarray:
    """Place (N,) of each value, equal ones sharing the mean of theirs."""
    numbers = np.asarray(values)
    return np.array([(numbers < v).sum() + ((numbers == v).sum() - 1) / 2 for v in numbers])


def cost_page(trained: Sequence[Trained], images: int, of: int, count: int, side: int) -> Finding:
    """Accuracy against multiply-adds and parameters."""
    macs = [t.candidate.macs for t in trained]
    parameters = [t.candidate.parameters for t in trained]
    order = sorted(trained, key=lambda t: -t.mean)
    best = order[0]
    near = min((t for t in trained if t.mean >= best.mean - CLOSE), key=lambda t: t.candidate.macs)
    front = [
        t.candidate.name
        for t in trained
        if not any(o.mean > t.mean and o.candidate.macs <= t.candidate.macs for o in trained)
    ]
    r = {}
    for name, cost in (("multiply-adds", macs), ("parameters", parameters)):
        a, b = ranks(cost), ranks([t.mean for t in trained])
        r[name] = float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0
    after = f"After {images:,} images each ({images / of:.3g} passes), "
    if len(trained) == 1:  # nothing to compare, and no statistics of one point
        verdict = (
            f"Only {best.candidate.name} was trained ({images:,} images, {images / of:.3g} passes): {percent(best.mean)} "
            "right. One network says nothing about cost; give more time with --budget."
        )
    else:
        verdict = (
            f"{after}{best.candidate.name} is best of {len(trained)} with {percent(best.mean)}"
        )
        verdict += (
            f"; {near.candidate.name} comes within {100 * CLOSE:.0f} points ({percent(near.mean)}) at "
            f"{percent(near.candidate.macs / best.candidate.macs)} of its multiply-adds"
            if near is not best
            else f", and none that is within {100 * CLOSE:.0f} points needs fewer multiply-adds"
        )
        verdict += "."
    if len(trained) >= CORRELATED:
        rho = r["multiply-adds"]
        more = (
            "mostly better" if rho > 0.5 else "mostly worse" if rho < -0.5 else "not simply better"
        )
        verdict += (
            f" Accuracy and cost go together with a rank correlation of {r['multiply-adds']:+.2f} for multiply-adds and "
            f"{r['parameters']:+.2f} for parameters: at this length of training more is {more}."
        )
    else:
        r = {}
    low, high = wilson(best.mean * count, count)
    return Finding(
        name="architectures-costs",
        title="Accuracy against cost",
        verdict=verdict,
        tables=(
            Table(
                columns=(
                    "network",
                    "right",
                    "from",
                    "to",
                    "seeds",
                    "over seeds",
                    "multiply-adds",
                    "parameters",
                    "ms an image",
                ),
                rows=tuple(
                    (
                        t.candidate.name,
                        t.mean,
                        *wilson(t.mean * count, count),
                        len(t.accuracy),
                        f"{100 * min(t.accuracy):.1f}–{100 * max(t.accuracy):.1f} %"
                        if len(t.accuracy) > 1
                        else None,
                        t.candidate.macs,
                        t.candidate.parameters,
                        1000 * t.candidate.seconds,
                    )
                    for t in order
                ),
                formats=("", ".1%", ".1%", ".1%", "d", "", ",d", ",d", ".2f"),
                caption=f"{count} unseen digits of {side} x {side} pixels; mean over seeds with its 95 % "
                "interval over digits. The same recipe for "
                "all: AdamW, batches of 16, the same order. Multiply-adds and parameters by the traced "
                "geometry, for one image.",
            ),
        ),
        figures=(
            bubbles(
                trained,
                [float(m) for m in macs],
                [float(p) for p in parameters],
                xlabel="multiply-adds of one image",
                sizes="parameters",
                title="Accuracy against multiply-adds",
                count=count,
            ),
            bubbles(
                trained,
                [float(p) for p in parameters],
                [float(m) for m in macs],
                xlabel="parameters",
                sizes="multiply-adds",
                title="Accuracy against parameters",
                count=count,
            ),
        ),
        data={
            "key_figure": {
                "value": best.mean,
                "low": low,
                "high": high,
                "label": f"right with {best.candidate.name}",
                "baseline": 0.1,
                "baseline_label": "guessing",
            },
            "networks": {
                t.candidate.name: {
                    "macs": t.candidate.macs,
                    "parameters": t.candidate.parameters,
                    "accuracy": list(t.accuracy),
                }
                for t in trained
            },
            "front": front,
            "near": near.candidate.name,
            "rank_correlation": r,
            "images": images,
            "passes": images / of,
        },
    )


def left_out_page(left_out: Mapping[str, str], asked: int) -> Finding:
    """Which of the zoo's classifiers are not in the figure, and why."""
    n = len(left_out)
    return Finding(
        name="architectures-left-out",
        title="Who is not there",
        verdict=f"All {asked} classifiers of the zoo are in the figure."
        if not n
        else f"{n} of {asked} classifiers {'is' if n == 1 else 'are'} left out: {', '.join(left_out)}.",
        status="good" if not n else "note",
        tables=(Table(columns=("network", "why"), rows=tuple(left_out.items())),) if n else (),
        data={"left_out": dict(left_out)},
    )
