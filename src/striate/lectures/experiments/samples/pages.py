"""The pages of the sample experiment: the curves, how many more labels, and what is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from striate.figures import CYCLE, new_figure, style
from striate.findings import Finding, Table
from striate.lectures.experiments.drawing import Chart, chart
from striate.statistics.learning_curve import TWICE, LearningCurve, Trial, fit_curve
from striate.statistics.learning_drawing import draw_curve, frame
from striate.statistics.learning_words import Backtest, backtest, curve_data, curve_tables, forecast
from striate.wording import counted, percent

if TYPE_CHECKING:
    from striate.lectures.experiments.samples.contenders import Contender
    from striate.lectures.experiments.samples.images import Images

MARKS = "osD^vP"


def colours(every: Sequence[Contender]) -> dict[str, tuple[str, str]]:
    """The colour and the mark of each."""
    return {c.name: (CYCLE[i], MARKS[i]) for i, c in enumerate(every)}


def fitted(
    trials: Mapping[str, Sequence[Trial]], least: int, seed: int
) -> dict[str, LearningCurve]:
    """The learning curve of each network."""
    return {name: fit_curve(done, least=least, seed=seed) for name, done in trials.items()}


def as_good(curve: LearningCurve, accuracy: float) -> float:
    """The number of images at which what was measured passes an accuracy, between sizes by ratio; infinite for none."""
    n = np.array([p.images for p in curve.points], float)
    y = np.maximum.accumulate([p.accuracy for p in curve.points])
    if y[-1] < accuracy:
        return float("inf")
    i = int(np.argmax(y >= accuracy))
    if i == 0:
        return float(n[0])
    share = (accuracy - y[i - 1]) / (y[i] - y[i - 1])
    return float(n[i - 1] * (n[i] / n[i - 1]) ** share)


def samples_page(
    every: Sequence[Contender],
    trials: Mapping[str, Sequence[Trial]],
    images: Images,
    least: int,
    seed: int,
    steps: tuple[int, int],
) -> Finding:
    """Accuracy against the number of images, of all networks. steps: of a training at least, and without a budget."""
    curves = fitted(trials, least, seed)
    names = list(curves)
    points = {n: c.points for n, c in curves.items()}
    sizes = [p.images for p in points[names[0]]]
    middle = min(
        range(len(sizes)), key=lambda i: abs(np.log(sizes[i] / np.sqrt(sizes[0] * sizes[-1])))
    )
    at = sizes[middle]
    order = sorted(names, key=lambda n: -points[n][middle].accuracy)
    listed = ", ".join(f"{n} {percent(points[n][middle].accuracy)}" for n in order)
    best = max(names, key=lambda n: points[n][-1].accuracy)
    verdict = (
        f"With {at:,} training images: {listed}; with {sizes[-1]:,} {best} is best with "
        f"{percent(points[best][-1].accuracy)}."
    )
    if len(sizes) == 1:
        verdict = f"There was time for {at:,} training images alone: {listed}."
    elif "mlp" in curves and "convolution" in curves:
        target = points["mlp"][-1].accuracy
        needed = as_good(curves["convolution"], target)
        verdict += (
            f" What the mlp reaches with {sizes[-1]:,} images ({percent(target)}), the convolution reaches with about "
            f"{needed:,.0f}."
            if np.isfinite(needed)
            else f" The convolution stays below the mlp's {percent(target)} with {sizes[-1]:,} images."
        )
    if steps[0] < steps[1]:
        verdict += (
            f" The budget left {steps[0]} steps for a training on few images instead of {steps[1]}: more may be right, and "
            "the order may change, with more."
        )
    p = points[best][-1]
    look = colours(every)
    tested = len(images.truth)
    with style():
        figure = new_figure(7.6, 4.2)
        axes = figure.subplots()
        for name, curve in curves.items():
            draw_curve(
                axes, curve, colour=look[name][0], marker=look[name][1], label=name, band=False
            )
        frame(axes, sizes[-1], chance=1 / images.classes)
        axes.set(title="Accuracy against training images")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        drawn = chart(
            figure,
            caption=f"Mean over {counted(p.trials, 'seed')}, with 95 % intervals over seeds and {tested:,} test images; "
            "lines: the fitted law, dotted where it is not fitted, dashed where it is extrapolated.",
            alt=f"{len(curves)} rising curves of accuracy.",
        )
    return Finding(
        name="samples-accuracy",
        title="Accuracy against training images",
        verdict=verdict,
        tables=(
            Table(
                columns=("images", *names),
                rows=tuple((n, *(points[name][i].accuracy for name in names)) for i, n in enumerate(sizes)),
                formats=(",d", *[".1%"] * len(names)),
                caption=f"Right of {tested:,} test images, mean over {counted(p.trials, 'seed')}; subsets are stratified, "
                f"from {counted(images.classes, 'image')} on with every class.",
            ),
            Table(
                columns=("network", "what it takes for granted", "parameters that learn"),
                rows=tuple((c.name, c.about, c.own) for c in every),
                formats=("", "", ",d"),
                caption="As many parameters as whole widths allow, but for a pretrained backbone; the same steps (at least "
                f"{steps[0]}), batches and optimizer (AdamW).",
            ),
        ),
        figures=(drawn,),
        data={
            "key_figure": {
                "value": p.accuracy,
                "low": p.low,
                "high": p.high,
                "label": f"right with {best}, {sizes[-1]:,} images",
                "baseline": 1 / images.classes,
                "baseline_label": "guessing",
            },
            "images": sizes,
            "accuracy": {n: [q.accuracy for q in points[n]] for n in names},
            "intervals": {n: [[q.low, q.high] for q in points[n]] for n in names},
            "parameters": {c.name: c.own for c in every},
            "tested": tested,
            "steps": steps[0],
            "seeds": p.trials,
        },
    )  # fmt: skip


def labels_page(
    every: Sequence[Contender],
    trials: Mapping[str, Sequence[Trial]],
    images: Images,
    least: int,
    seed: int,
) -> Finding:
    """How many more labels are needed: the law of each network, with what it says of twice the images."""
    curves = fitted(trials, least, seed)
    known = [n for n, c in curves.items() if not c.undetermined]
    best = max(curves, key=lambda n: curves[n].points[-1].accuracy)
    tests = {n: backtest(done, least=least, seed=seed) for n, done in trials.items()}
    checked = [t for t in tests.values() if t is not None]
    verdict = f"{best}: {forecast(curves[best])[0].lower()}{forecast(curves[best])[1:]}."
    if checked:
        held = sum(t.held for t in checked)
        verdict += f" The same forecast from half the images for all of them holds for {held} of {len(checked)} networks."
    return Finding(
        name="samples-labels",
        title="How many more labels?",
        verdict=verdict,
        status="note" if known else "warning",
        advice="" if known else "Take more test images, more seeds (--budget) or more images, and fit again.",
        tables=(
            *reversed(curve_tables(curves, len(images.truth))),
            *([halves(tests)] if checked else []),
        ),
        figures=(zoomed(every, curves, len(images.truth)),),
        data={
            "best": best,
            "curves": {n: curve_data(c) for n, c in curves.items()},
            "backtest": {
                n: None if t is None else {"predicted": t.predicted, "low": t.low, "high": t.high, "measured": t.measured}
                for n, t in tests.items()
            },
        },
    )  # fmt: skip


def halves(tests: Mapping[str, Backtest | None]) -> Table:
    """Whether such forecasts can be trusted here."""
    return Table(
        columns=("network", "half", "all", "forecast", "from", "to", "measured", "inside"),
        rows=tuple(
            (n, t.fitted, t.images, t.predicted, t.low, t.high, t.measured, "yes" if t.held else "no")
            for n, t in tests.items()
            if t is not None
        ),
        formats=("", ",d", ",d", ".1%", ".1%", ".1%", ".1%", ""),
        caption="Whether such a forecast can be trusted here: made from at most half the images for all of them, which were "
        "then measured.",
    )  # fmt: skip


def zoomed(every: Sequence[Contender], curves: Mapping[str, LearningCurve], tested: int) -> Chart:
    """Each network beside the others, from the sizes on that were fitted."""
    look = colours(every)
    with style():
        figure = new_figure(2.5 * len(curves) + 0.6, 3.1)
        grid = figure.subplots(1, len(curves), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (name, curve) in zip(grid, curves.items(), strict=True):
            colour, mark = look[name]
            draw_curve(axes, curve, colour=colour, marker=mark, label=name)
            frame(axes, curve.largest)
            low = min(min(p.low for p in c.points if p.images >= c.first) for c in curves.values())
            axes.set(title=name, ylim=(max(0, low - 0.05), 1.01), xlabel="training images")
            axes.title.set_fontsize(9)
            if axes is not grid[0]:
                axes.set(ylabel="")
        return chart(
            figure,
            caption=f"The fitted laws and the forecast for up to {TWICE} times the images, with the 95 % interval of one "
            f"new training on {tested:,} test images.",
            alt=f"{len(curves)} fitted curves with widening bands.",
        )


def left_out_page(left_out: Mapping[str, str]) -> Finding:
    """What is not there, and why."""
    return Finding(
        name="samples-left-out",
        title="What is not there",
        verdict=f"Left out: {', '.join(left_out)}." if left_out else "Nothing is left out.",
        status="note" if left_out else "good",
        tables=(Table(columns=("what", "why"), rows=tuple(left_out.items())),) if left_out else (),
        data={"left_out": dict(left_out)},
    )
