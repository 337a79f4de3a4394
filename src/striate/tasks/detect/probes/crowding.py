"""The probe `crowding`: a second one of an object's kind comes closer and closer, until one of the two is lost."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from striate.errors import DataError
from striate.figures import BLUE, GREEN, ORANGE, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.probes.finding_objects import (
    Share,
    judged_of,
    predictions_of,
    regular,
    share_of,
    sure_of,
    truths_of,
)
from striate.tasks.detect.probes.placing import covered
from striate.tasks.detect.reach import Sight
from striate.tasks.detect.sight import sight_of
from striate.wording import percent

DISTANCES = (2.0, 1.5, 1.25, 1.0, 0.75, 0.5, 0.35, 0.25)  # between centres, in sides of the object
MARGIN = 2  # pixels around a copy that fade into the image
HIDDEN = 0.75  # share of an object under its copy from which on nobody could find it
NOTABLE = 0.05


class Pair(NamedTuple):
    """Where an object and its copy lie: indices in the image's objects, of those in the back and in front."""

    back: int
    front: int


def crowding(context: Any) -> Finding:
    """Which share of pairs of one class is found as two, against the distance of their centres in sides of the object.

    One object an image, drawn by the seed, is copied beside itself, over what is there, with an edge of 2 pixels that fades;
    at two sides' distance it stands alone, which shows what the copying itself costs. The one that lies behind is asked for
    until three quarters of it are covered. Where the network's geometry lets only one of two be found, such as of two peaks
    of a class in touching cells, it is counted which.
    context: the probe context. Raises DataError where no object has room for a copy.
    """
    started = time.perf_counter()
    truths = truths_of(context)
    sure = sure_of(predictions_of(context, context.images), truths)
    rows: list[Any] = []
    n, sight = len(context), sight_of(context.model, tuple(context.images[:1].shape), traced=False)
    for distance in DISTANCES:
        images, aims, pairs = copied(context, truths, distance)
        judged = judged_of(predictions_of(context, images), aims, sure)
        asked, two, front, back, none = (np.zeros(n) for _ in range(5))
        touching, kept_front = 0, 0
        for i, (one, aim, pair) in enumerate(zip(judged, aims, pairs, strict=True)):
            if pair is None:
                continue
            a, b = bool(one.found[pair.back]), bool(one.found[pair.front])
            asked[i] = 1
            two[i], front[i], back[i], none[i] = a and b, b and not a, a and not b, not (a or b)
            if a != b and sight.excludes(aim.take([pair.back, pair.front])):
                touching += 1
                kept_front += b
        rows.append(
            (distance, share_of(context, two, asked), *(float(x.sum()) for x in (front, back, none)), touching, kept_front)
        )  # fmt: skip
    if not rows[0][1].objects:
        raise DataError(
            "no object has room beside it for a copy two of its sides away; give larger images, or others with --data"
        )
    return _finding(context, rows, sure, sight, time.perf_counter() - started)


def copied(
    context: Any, truths: list[Objects], distance: float
) -> tuple[Tensor, list[Objects], list[Pair | None]]:
    """The images (N, C, H, W) with one object copied at a distance, their objects, and which two are the pair; None
    where there is none."""
    images, aims, pairs = context.images.clone(), list(truths), list[Pair | None]()
    for i, truth in enumerate(truths):
        spot = spot_of(truth, context.images.shape[-2:], seed=context.seed + i)
        if spot is None:
            pairs.append(None)
            continue
        at, axis, sign = spot
        box = truth.boxes[at]
        move = np.zeros(2)
        move[axis] = sign * round(distance * (box[axis + 2] - box[axis]))
        shift = int(move[0]), int(move[1])
        if shift == (0, 0):
            pairs.append(None)
            continue
        images[i] = pasted(context.images[i], box, shift)
        front = box + np.tile(move, 2)
        aims[i], pair = with_copy(truth, at, front)
        pairs.append(pair)
    return images, aims, pairs


def spot_of(truth: Objects, size: tuple[int, int], *, seed: int) -> tuple[int, int, int] | None:
    """(object, axis, sign) such that a copy of the object fits into the image at the largest distance; None if none does."""
    able = []
    limits = (size[1], size[0])
    for at in regular(truth).tolist():
        box = truth.boxes[at]
        for axis in (0, 1):
            side = box[axis + 2] - box[axis]
            for sign in (-1, 1):
                away = sign * DISTANCES[0] * side
                fits = box[axis] + away >= 0 and box[axis + 2] + away <= limits[axis]
                if side >= 2 and fits:
                    able.append((at, axis, sign))
    if not able:
        return None
    return able[int(np.random.default_rng((seed, 2)).integers(len(able)))]


def pasted(image: Tensor, box: np.ndarray, shift: tuple[int, int]) -> Tensor:
    """An image (C, H, W) with the pixels of a box, and a fading margin around, repeated `shift` (x, y) pixels away."""
    height, width = image.shape[-2:]
    left, top = (max(int(np.floor(v)) - MARGIN, 0) for v in box[:2])
    right = min(int(np.ceil(box[2])) + MARGIN, width)
    bottom = min(int(np.ceil(box[3])) + MARGIN, height)
    # What the copy's margin would put beyond the image is left out.
    left, right = max(left, -shift[0]), min(right, width - shift[0])
    top, bottom = max(top, -shift[1]), min(bottom, height - shift[1])
    y = torch.arange(top, bottom).float() + 0.5
    x = torch.arange(left, right).float() + 0.5
    fade = [
        ((MARGIN + torch.minimum(at - low, high - at)) / MARGIN).clamp(0, 1)
        for at, low, high in ((y, float(box[1]), float(box[3])), (x, float(box[0]), float(box[2])))
    ]
    strength = (fade[0][:, None] * fade[1][None]).to(image)
    made = image.clone()
    target = (
        slice(None), slice(top + shift[1], bottom + shift[1]), slice(left + shift[0], right + shift[0])
    )  # fmt: skip
    part = image[:, top:bottom, left:right]
    made[target] = strength * part + (1 - strength) * image[target]
    return made


def with_copy(truth: Objects, at: int, front: np.ndarray) -> tuple[Objects, Pair | None]:
    """The objects with a copy of one in front, its box (4,); those that it covers by three quarters are neither asked
    for nor wrong."""
    behind, hidden = covered(truth, front, HIDDEN)
    boxes = np.concatenate([behind.boxes, front[None]])
    labels = np.append(truth.labels, truth.labels[at])
    crowd = np.append(truth.crowd | hidden, False)
    pair = None if hidden[at] else Pair(at, len(truth))
    regions = None
    if truth.regions is not None and behind.regions is not None:
        down, right = (int(front[k] - truth.boxes[at, k]) for k in (1, 0))
        own = truth.regions[at]
        regions = [*behind.regions, replace(own, top=own.top + down, left=own.left + right)]
    return Objects.of(boxes, labels, crowd=crowd, regions=regions), pair


def _finding(context: Any, rows: list[Any], sure: float, sight: Sight, seconds: float) -> Finding:
    alone: Share = rows[0][1]
    first = next((r for r in rows[1:] if r[1].objects and r[1].high < alone.value - NOTABLE), None)
    touching, front = sum(r[5] for r in rows), sum(r[6] for r in rows)
    verdict = (
        f"Finds both of {percent(alone.value)} of pairs that stand two sides apart "
        f"(95 % interval {percent(alone.low)} to {percent(alone.high)}; {alone.objects:,} pairs)"
    )
    if first is None:
        verdict += "; no distance tried here costs it 5 points."
    else:
        verdict += (
            f", and of {percent(first[1].value)} at {first[0]:g} sides "
            f"({percent(first[1].low)} to {percent(first[1].high)})."
        )
    if touching:
        which = "front" if 2 * front >= touching else "back"
        share = max(front, touching - front) / touching
        verdict += (
            f" Where by the network's geometry ({sight.heading}) only one of two can be found, it is the one in "
            f"{'front' if which == 'front' else 'the back'} in {percent(share, 0)} of {touching:,}."
        )
    known = [r for r in rows if r[1].objects]
    return Finding(
        name="probe-crowding",
        title="Objects close to one another",
        verdict=verdict,
        status="good" if first is None else "warning" if first[0] >= 1 else "note",
        advice="" if first is None
        else "Train on images in which objects stand as close, or on images enlarged (`--set enlarge=2`), in which centres "
        "lie more cells apart.",
        tables=(
            Table(
                columns=("centres apart", "pairs", "both found", "from", "to", "front alone", "back alone", "neither"),
                rows=tuple(
                    (f"{d:g} sides", s.objects, s.value, s.low, s.high, f / s.objects, b / s.objects, x / s.objects)
                    for d, s, f, b, x, *_ in known
                ),
                formats=("", ",", *[".1%"] * 6),
                caption=f"{len(context):,} images, in each of which one object is copied beside itself; a side is the "
                f"object's along the way. Recall at a score of {sure:g}, intervals from resampled images. A pair of which "
                "three quarters of the back one are covered is left out.",
            ),
        ),
        figures=(_chart(known),),
        data={
            "distances": [r[0] for r in known], "both": [r[1].value for r in known], "low": [r[1].low for r in known],
            "high": [r[1].high for r in known], "pairs": [r[1].objects for r in known], "touching": touching,
            "front_kept": front, "score": sure, "stride": sight.stride, "images": len(context),
        },
        seed=context.seed,
        seconds=seconds,
    )  # fmt: skip


def _chart(rows: list[Any]) -> Figure:
    with style():
        figure = new_figure(6.2, 3.3)
        axes = figure.subplots()
        x = [r[0] for r in rows]
        axes.plot(x, [r[1].value for r in rows], "o-", color=BLUE, markersize=4, label="both found")
        axes.fill_between(
            x, [r[1].low for r in rows], [r[1].high for r in rows], color=BLUE, alpha=0.15, linewidth=0
        )  # fmt: skip
        for at, colour, mark, name in ((2, ORANGE, "s--", "front alone"), (3, GREEN, "^--", "back alone")):  # fmt: skip
            axes.plot(x, [r[at] / r[1].objects for r in rows], mark, color=colour, markersize=4, label=name)  # fmt: skip
        axes.set(
            xlabel="distance of the centres, in sides of the object", ylabel="share of the pairs"
        )
        axes.set_ylim(-0.02, 1.03)
        axes.invert_xaxis()
        axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        axes.grid(axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
        alt = f"Both found: {percent(rows[0][1].value)} to {percent(rows[-1][1].value)}."
        return render(figure, caption="Pairs that come closer (95 % band).", alt=alt)
