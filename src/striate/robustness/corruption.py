"""The corruption probe: errors under every corruption and severity, relative to the clean error, and their mean."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from striate.figures import SEQUENTIAL, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.robustness.chart import bars, gallery
from striate.robustness.context import Context
from striate.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from striate.robustness.sweep import Level, Row, swept
from striate.statistics.intervals import paired
from striate.wording import percent, points

ADVICE = {
    "noise": "Train with noise added to the images, or denoise them first.",
    "blur": "Train with blurred images too, or ask for sharper ones.",
    "fog": "Train with changes of contrast and brightness.",
    "contrast": "Train with changes of contrast and brightness, or stretch the contrast of images first.",
    "brightness": "Train with changes of brightness.",
    "darkness": "Train with changes of brightness.",
    "occlusion": "Train with erased patches (`--set erase=`).",
}


MOVING = frozenset(
    {"elastic", "zoom blur"}
)  # they move objects away from targets that have a place
FEWER = (
    1,
    3,
    5,
)  # severities of scores that are no error rates, which nobody compares with the paper's


def corruption(context: Context) -> Finding:
    """The score under each corruption; of hits the error at five severities (as Hendrycks and Dietterich 2019)."""
    return errors(context) if context.metric.hit else scores(context)


def scores(context: Context) -> Finding:
    """The score under each corruption that leaves things where they are, at severities 1, 3 and 5."""
    started = time.perf_counter()
    levels = []
    for name in CORRUPTIONS:
        if context.moves and name in MOVING:
            continue
        for severity in FEWER:
            note = f"{name} at severity {severity}"
            images = corrupted(context.images, name, severity, seed=context.seed)
            evidence = context.evidence(images, note=note)
            levels.append(Level(note, f"under {note}", severity < FEWER[-1], (evidence,)))

    def figures(rows: Sequence[Row]) -> tuple[Figure, ...]:
        hardest = sorted((r for r in rows if r.name.endswith(f"{FEWER[1]}")), key=lambda r: r.score)
        return (
            bars(
                [r.name.split(" at ")[0] for r in hardest], [r.score for r in hardest],
                title=f"Under corruption of severity {FEWER[1]}", reference=context.clean_score, reference_name="as is",
                share=context.amounts.share, alt=f"Least {context.amounts.value(hardest[0].score)}.",
                caption=f"The {context.metric.name}; the dashed line is that of the images as they are.",
            ),
        )  # fmt: skip

    remedy = "Train with images changed in that way, or keep such images out."
    finding = swept(
        context, "corruption", "Corrupted images", levels, figures=figures,
        advice=lambda _: context.task.remedies.get("corruption", remedy),
    )  # fmt: skip
    return replace(finding, seconds=time.perf_counter() - started)


def errors(context: Context) -> Finding:
    """Errors of hits under each corruption at five severities, relative to the clean error, and the mean of all."""
    started = time.perf_counter()
    rows: list[Any] = []
    errors, hardest = [], ("", 0.0, 0.0, 0.0)
    clean, clean_error = context.clean_evidence, 1 - context.clean_score
    hits_of_all = []
    for name in CORRUPTIONS:
        line, hits = [], np.zeros(len(context))
        for severity in SEVERITIES:
            images = corrupted(context.images, name, severity, seed=context.seed)
            is_correct = context.evidence(images, note=f"{name} at severity {severity}")
            line.append(1 - float(is_correct.mean()))
            hits += is_correct / len(SEVERITIES)
        mean = float(np.mean(line))
        hits_of_all.append(hits)
        rows.append(
            (name, *line, mean, mean - clean_error, mean / clean_error if clean_error else None)
        )
        errors.append(line)
        value, low, high = paired(clean, hits)
        if value < hardest[1] or not hardest[0]:
            hardest = (name, value, low, high)
    mean_error = float(np.mean(errors))
    value, low, high = paired(clean, np.mean(hits_of_all, axis=0))
    name, loss, _worst_low, worst_high = hardest
    easy = min(rows, key=lambda r: r[6])
    bad = loss < -0.05 and worst_high < 0
    key = next((k for k in ADVICE if k in name), "")
    verdict = (
        f"Corruption costs {points(min(value, 0))} on average (95 % interval {-100 * high:.1f} to {-100 * low:.1f}; error "
        f"{percent(clean_error)} clean, {percent(mean_error)} over {len(CORRUPTIONS)} kinds at five severities, "
        f"{len(context):,} images); {name} costs most, {points(min(loss, 0))}, and {easy[0]} least, {points(min(0.0, -float(easy[7])))}."  # noqa: E501
    )
    return Finding(
        name="probe-corruption",
        title="Corrupted images",
        verdict=verdict,
        status="warning" if loss < -0.2 and bad else "note" if bad else "good",
        advice=ADVICE.get(key, "Train with images changed in that way, or keep such images out.") if bad else "",
        tables=(
            Table(
                columns=("corruption", *[f"severity {s}" for s in SEVERITIES], "mean error", "over clean", "times clean"),
                rows=(
                    *sorted(rows, key=lambda r: -float(r[6])),
                    ("mean", *np.mean(errors, axis=0).tolist(), mean_error, mean_error - clean_error,
                     mean_error / clean_error if clean_error else None),
                ),
                formats=("", *[".1%"] * 6, "+.1%", ".1f"),
                caption=f"Errors; relative to the clean error of {percent(clean_error)}: the difference, and how many times.",  # noqa: E501
            ),
        ),
        figures=(_heat(rows, clean_error), _examples(context)),
        data={
            "clean_error": clean_error,
            "mean_error": mean_error,
            "change": value,
            "interval": [low, high],
            "worst": name,
            "errors": {str(r[0]): line for r, line in zip(rows, errors, strict=True)},
            "images": len(context),
        },
        seed=context.seed,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


def _heat(rows: list, clean: float) -> Figure:  # type: ignore[type-arg]
    ordered = sorted(rows, key=lambda r: -float(r[6]))
    values = np.array([r[1:6] for r in ordered], float)
    with style():
        figure = new_figure(5.6, 0.9 + 0.27 * len(ordered))
        axes = figure.subplots()
        axes.imshow(values, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
        for (r, c), v in np.ndenumerate(values):
            axes.text(
                c, r, f"{100 * v:.0f}", ha="center", va="center", fontsize=8,
                color="white" if v < 0.5 else "black",
            )  # fmt: skip
        axes.set_xticks(range(5), [str(s) for s in SEVERITIES])
        axes.set_yticks(range(len(ordered)), [str(r[0]) for r in ordered])
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set(xlabel="severity", title=f"Error in % (clean {100 * clean:.1f})")
        return render(
            figure,
            caption="Error for each corruption and severity, hardest on top.",
            alt=f"{ordered[0][0]} is hardest, {ordered[-1][0]} easiest.",
        )


def _examples(context: Context) -> Figure:
    one = context.images[:1]
    pictures = [("clean", one[0].permute(1, 2, 0).numpy())]
    for name in CORRUPTIONS:
        pictures.append(
            (name, corrupted(one, name, 3, seed=context.seed)[0].permute(1, 2, 0).numpy())
        )
    return gallery(
        pictures,
        caption="One image under each corruption at severity 3.",
        alt="Corrupted examples.",
        columns=7,
    )
