"""The probe `size`: images enlarged and reduced, and the share of objects of each size in pixels that is found."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from striate.figures import BLUE, GRID, ORANGE, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.tasks.detect.evaluation.kinds import Judged, judge
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.probes.finding_objects import (
    Share,
    judged_of,
    predictions_of,
    share_of,
    sure_of,
    truths_of,
)
from striate.tasks.detect.probes.placing import measure_of, scaled
from striate.tasks.detect.reach import Sight
from striate.tasks.detect.sight import sight_of
from striate.wording import percent

SCALES = (0.125, 0.18, 0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0)
LEAST_SIDE = 16  # pixels of an image; smaller ones show nothing
EDGES = 2.0 ** np.arange(0, 10.25, 0.5)  # pixels, between the groups of sizes
FEW = 10  # objects, below which a group says nothing
USUAL_SHARE = (0.05, 0.95)  # quantiles between which a size is one of the images as they are
BEYOND = (
    2.0  # times the sizes of the images as they are, up to which what is found tells of these alone
)
NARROW = (
    "It finds the sizes that the images have, and no others were shown: if they will come, train with a wider zoom "
    "(`--set zoom=2`)."
)
REASONS = {
    "unsure": "found, with too low a score",
    "box": "seen, but off by half",
    "class": "taken for another class",
    "sharing": "its centre's cell is taken by a neighbour",
    "silent": "nothing is found near it",
}


def size_probe(context: Any) -> Finding:
    """Recall against the size of objects in pixels (square root of the box's area), and AP against the scale of the images.

    Whole images are resized, bilinearly and antialiased, so that nothing is cut or invented at their borders. A hit is a box
    of the right class that overlaps its object by half, with a score that gives the best F1 on the images as they are.
    context: the probe context.
    """
    started = time.perf_counter()
    truths = truths_of(context)
    clean = predictions_of(context, context.images)
    sure = sure_of(clean, truths)
    sight = sight_of(context.model, tuple(context.images[:1].shape), traced=False)
    usual = np.sqrt(np.concatenate([t.sides.prod(1)[~t.crowd] for t in truths]))
    low, high = np.quantile(usual, USUAL_SHARE).tolist() if len(usual) else (0.0, 0.0)
    sides: list[list[np.ndarray]] = [[] for _ in truths]
    hits: list[list[np.ndarray]] = [[] for _ in truths]
    reasons: list[tuple[float, str]] = []
    levels = []
    for scale in SCALES:
        images, (down, across) = resized(context.images, scale)
        if min(images.shape[-2:]) < LEAST_SIDE:
            continue
        aims = truths if scale == 1 else [scaled(t, down, across) for t in truths]
        predictions = clean if scale == 1 else predictions_of(context, images)
        evidence = context.metric.matched(predictions, aims)
        levels.append((scale, context.score(evidence), *context.interval([evidence])))
        judged = judged_of(predictions, aims, sure)
        for i, (one, aim, every) in enumerate(zip(judged, aims, predictions, strict=True)):
            size = np.sqrt(aim.sides.prod(1))
            sides[i].append(size[one.counted])
            hits[i].append(one.found[one.counted])
            reasons += [
                (float(size[at]), why_missed(int(at), aim, one, every, sight))
                for at in np.flatnonzero(one.counted & ~one.found)
            ]
    groups = _groups(context, sides, hits)
    seconds = time.perf_counter() - started
    return _finding(context, groups, levels, reasons, (low, high), sure, sight, seconds)


def resized(images: Tensor, scale: float) -> tuple[Tensor, tuple[float, float]]:
    """Images (N, C, H, W) at `scale` times their size, and by how much height and width really changed."""
    height, width = images.shape[-2:]
    size = max(1, round(height * scale)), max(1, round(width * scale))
    if size == (height, width):
        return images, (1.0, 1.0)
    made = F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)
    return made.clamp(0, 1), (size[0] / height, size[1] / width)


def why_missed(at: int, truth: Objects, judged: Judged, predictions: Objects, sight: Sight) -> str:
    """Why object `at` of an image was not found, of REASONS. judged: by the predictions that are sure; predictions: all."""
    if judge(predictions, truth, measure_of([truth])).found[at]:
        return "unsure"
    near = judged.objects == at
    if (near & (judged.kinds == 2)).any():
        return "class"
    if (near & (judged.kinds == 1)).any():
        return "box"
    middles = (truth.boxes[:, :2] + truth.boxes[:, 2:]) / 2
    reach = np.maximum(truth.sides.max(1), truth.sides[at].max()) + 2 * sight.stride
    near = np.abs(middles - middles[at]).max(1) < reach
    others = np.flatnonzero(judged.found & near & (np.arange(len(truth)) != at))
    if any(sight.excludes(truth.take([at, int(other)])) for other in others):
        return "sharing"
    return "silent"


def _groups(
    context: Any, sides: Sequence[list[np.ndarray]], hits: Sequence[list[np.ndarray]]
) -> list[tuple[float, float, Share]]:
    """(from, to, share found) of each group of sizes that holds enough objects."""
    groups = []
    for low, high in pairwise(EDGES.tolist()):
        count, found = np.zeros(len(sides)), np.zeros(len(sides))
        for i, (size, hit) in enumerate(zip(sides, hits, strict=True)):
            values = np.concatenate(size) if size else np.zeros(0)
            at = (values >= low) & (values < high)
            count[i] = at.sum()
            found[i] = np.concatenate(hit)[at].sum() if size else 0
        if count.sum() >= FEW:
            groups.append((low, high, share_of(context, found, count)))
    return groups


def _finding(
    context: Any,
    groups: list[tuple[float, float, Share]],
    levels: list[tuple[float, float, float, float]],
    reasons: list[tuple[float, str]],
    usual: tuple[float, float],
    sure: float,
    sight: Sight,
    seconds: float,
) -> Finding:
    best = max((g[2].value for g in groups), default=0.0)
    good = [g for g in groups if g[2].value >= 0.9 * best and best > 0]
    rows, data = [], []
    for low, high, share in groups:
        missed = [why for size, why in reasons if low <= size < high]
        names = sorted(set(missed), key=lambda why: -missed.count(why))
        main = names[0] if names else ""
        text = f"{REASONS[main]} ({percent(missed.count(main) / len(missed), 0)})" if main else ""
        rows.append((f"{low:.3g} to {high:.3g}", share.objects, share.value, share.low, share.high, text))  # fmt: skip
        data.append(
            {"from": low, "to": high, **share._asdict(), "missed": {n: missed.count(n) for n in names}}
        )  # fmt: skip
    if not groups:
        verdict = "There are too few objects to tell which sizes it finds."
    else:
        first, last = good[0], good[-1]
        verdict = (
            f"Finds {percent(best)} of the objects of the sizes that it finds best, and at least nine tenths of that from "
            f"{first[0]:.0f} to {last[1]:.0f} pixels; the images as they are have objects of {usual[0]:.0f} to "
            f"{usual[1]:.0f}."
        )
        small = [row for row in data if row["to"] <= first[0]]
        if small:
            counts: dict[str, int] = {}
            for row in small:
                for why, n in row["missed"].items():
                    counts[why] = counts.get(why, 0) + n
            found = sum(row["value"] * row["objects"] for row in small) / sum(
                r["objects"] for r in small
            )
            verdict += f" Below it finds {percent(found)}"
            if counts:
                most = max(counts, key=lambda why: counts[why])
                verdict += f", most often because {BECAUSE[most]}"
            verdict += "."
    within = [d for d in data if d["to"] > usual[0] and d["from"] < usual[1]]
    lost = min((d["high"] for d in within), default=1.0) < 0.8 * best
    # What is found ends about where the sizes of the images do: others were never shown.
    narrow = bool(good) and good[0][0] > usual[0] / BEYOND and good[-1][1] < usual[1] * BEYOND
    return Finding(
        name="probe-size",
        title="Size of objects",
        verdict=verdict,
        status="warning" if lost else "note" if narrow or not groups else "good",
        advice=_advice(data, usual, best) if lost else NARROW if narrow else "",
        tables=(
            Table(
                columns=("pixels", "objects", "recall", "from", "to", "those missed, most often"),
                rows=tuple(rows),
                formats=("", ",", ".1%", ".1%", ".1%", ""),
                caption=f"Square root of the box's area; recall at a score of {sure:g}, with its 95 % interval over "
                f"resampled images. A cell has {sight.stride} pixels. Each object counts once at each scale.",
            ),
            Table(
                columns=("images at", "AP", "from", "to"),
                rows=tuple((f"{scale:g} times", *rest) for scale, *rest in levels),
                formats=("", ".3f", ".3f", ".3f"),
                caption=f"{len(context):,} images, resized as a whole.",
            ),
        ),
        figures=(_chart(groups, usual, sight.stride),) if groups else (),
        data={
            "sizes": data, "usual": list(usual), "score": sure, "scales": [v[0] for v in levels],
            "ap": [v[1] for v in levels], "stride": sight.stride, "images": len(context),
        },
        seed=context.seed,
        seconds=seconds,
    )  # fmt: skip


BECAUSE = {
    "unsure": "their score is too low",
    "box": "they are off by half",
    "class": "they are taken for another class",
    "sharing": "by the network's geometry only one of them and a neighbour can be found",
    "silent": "nothing is found near them",
}


def _advice(data: list[dict[str, Any]], usual: tuple[float, float], best: float) -> str:
    within = [d for d in data if d["to"] > usual[0] and d["from"] < usual[1]]
    worst = min(within, key=lambda d: d["value"])
    middle = float(np.sqrt(usual[0] * usual[1]))
    if worst["from"] < middle:
        return "Small objects of these images are missed: train on images enlarged (`--set enlarge=2`)."
    return (
        "Large objects of these images are missed: train on images reduced (`--set enlarge=0.5`)."
    )


def _chart(
    groups: list[tuple[float, float, Share]], usual: tuple[float, float], stride: int
) -> Figure:
    with style():
        figure = new_figure(6.4, 3.4)
        axes = figure.subplots()
        x = [float(np.sqrt(low * high)) for low, high, _ in groups]
        axes.axvspan(*usual, color=GRID, alpha=0.25, linewidth=0, label="in the images as they are")
        axes.axvline(stride, color=ORANGE, linestyle="--", label=f"a cell ({stride} pixels)")
        axes.plot(x, [s.value for *_, s in groups], "o-", color=BLUE, markersize=4, label="recall")
        low, high = ([getattr(s, end) for *_, s in groups] for end in ("low", "high"))
        axes.fill_between(x, low, high, color=BLUE, alpha=0.15, linewidth=0)
        axes.set_xscale("log", base=2)
        axes.set(xlabel="size in pixels (square root of the area)", ylabel="recall", ylim=(-0.02, 1.03))  # fmt: skip
        axes.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
        axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        axes.minorticks_off()
        axes.grid(axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
        ends = f"{percent(groups[0][2].value)} at {x[0]:.0f} pixels, {percent(groups[-1][2].value)} at {x[-1]:.0f}"
        return render(figure, caption="Recall against size (95 % band).", alt=f"Recall: {ends}.")
