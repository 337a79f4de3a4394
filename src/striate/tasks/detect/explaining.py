"""Explaining a detection: its score and the edges of its box as numbers of the network's map, with the pixels they can
see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.answer import Aim, Part
from striate.errors import GeometryError, UsageError
from striate.geometry import trace
from striate.tasks.detect.boxes import overlap
from striate.tasks.detect.forms.form import Forms, Spot
from striate.tasks.detect.forms.table import form_of
from striate.tasks.detect.forward import outputs_of
from striate.tasks.detect.frame import scales_of
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.sight import axes_of
from striate.tasks.trained import Trained
from striate.units.fields import clipped, span
from striate.wording import counted

EDGES = ("left", "top", "right", "bottom")
SMALL = 2**18  # pixels; of a larger image only what the network sees of the object is asked about
NEAR = 0.25  # of an object's side: a move of an edge by which `kept` falls to 1/e
SAME_SCORE = 1e-3  # difference of two scores that arithmetic makes
CPU = torch.device("cpu")


def aim_at(
    trained: Trained, image: Tensor, size: tuple[int, int] | None, *, index: int | None = None, at: Part | None = None,
    number: int | None = None, edge: str | None = None, forms: Forms = form_of,
) -> Aim:  # fmt: skip
    """What is explained of an image (C, h, w) uint8, as `Trained.read` gives it of one of (height, width) pixels; `size`
    None: all pixels are those of the image as it is seen.

    The best object, or the best of class `index`; the object `number` of the list that `predict` gives, from 1; or the
    smallest one over the place `at`, rows and columns of the original image, and where none lies there the class that the
    cell under it comes closest to. edge: of `EDGES`, in pixels, instead of the raw score. Raises UsageError for an object,
    a place or an edge that does not exist.
    """
    if edge is not None and edge not in EDGES:
        raise UsageError(f"--edge is {', '.join(EDGES[:-1])} or {EDGES[-1]}, got {edge!r}")
    classes, how = trained.classes, trained.preprocessing
    output = outputs_of(trained.model, how, [image], device=CPU)[0]
    form, k = forms(output), len(classes)
    shape = image.shape[-2], image.shape[-1]
    objects, spots = form.spots(output, k, shape)
    scales = (1.0, 1.0) if size is None else scales_of(size, how)
    place = _chosen(objects, index=index, at=at, number=number, size=size or shape, scales=scales)
    point = None if at is None else _point(at, scales)
    spot = spots[place] if place is not None else form.nearest(output, k, index, point)
    with torch.no_grad():
        known = form.read(output, k, spot)[0].double().cpu()
    middle, away = spot.middle, known[2:].numpy()
    box = np.concatenate([middle - away[:2], middle + away[2:]])
    if place is not None:
        box = objects.boxes[place]
    crop, cone = _seen(trained, image, spot, known, forms)
    top, left = (0, 0) if crop is None else (crop[0].start, crop[1].start)
    here = spot if crop is None else spot.moved(top, left)
    part = shape if crop is None else (crop[0].stop - top, crop[1].stop - left)
    region = _region(box - [left, top, left, top], part)
    there = f"({middle[0] / scales[1]:.0f}, {middle[1] / scales[0]:.0f})"
    words = f"{classes[spot.label]} with a score of {_score(objects, place, known)} at {there}"
    if at is not None and place is None:
        words = f"{classes[spot.label]}, of which none is found at {there} (score {float(known[1]):.2f})"
    wanted = Objects.of((box - [left, top, left, top])[None], [spot.label])
    aim = Aim(
        number=lambda output: form.read(output, k, here)[:, 0],
        words=words,
        region=region,
        cone=cone,
        crop=crop,
        detected=lambda output: left_of(output, wanted, k, forms),
        beside={
            f"{name.capitalize()} edge": _edge(
                name, lambda output: form.read(output, k, here), known, scales, box, cone, region
            )
            for name in EDGES
        },
    )  # fmt: skip
    if edge is None:
        return aim
    chosen = aim.beside[f"{edge.capitalize()} edge"]
    return replace(chosen, words=f"{chosen.words} of {words}", crop=crop)


def _score(objects: Objects, place: int | None, known: Tensor) -> str:
    """The score that `predict` gives; where more than the peak is in it, as how clear a mask is, the peak's beside it."""
    peak = float(known[1])
    if place is None or objects.scores is None:
        return f"{peak:.2f}"
    score = float(objects.scores[place])
    if abs(score - peak) < SAME_SCORE:
        return f"{score:.2f}"
    return f"{score:.2f} (its peak's {peak:.2f}, which is explained, times its mask's {score / peak:.2f})"


def _chosen(
    objects: Objects, *, index: int | None, at: Part | None, number: int | None, size: tuple[int, int],
    scales: tuple[float, float],
) -> int | None:  # fmt: skip
    """Which of the objects is meant; None where there is none."""
    able = np.ones(len(objects), bool) if index is None else objects.labels == index
    if number is not None:
        if at is not None:
            raise UsageError("--object and --at both choose an object; give one")
        if not 1 <= number <= len(objects):
            raise UsageError(
                f"--object {number}: the network finds {counted(len(objects), 'object')} in this image, and they are "
                "numbered from 1 as `striate predict` lists them"
            )
        return number - 1
    if at is not None:
        rows, columns = at
        if rows.stop > size[0] or columns.stop > size[1]:
            raise UsageError(
                f"--at {rows.start},{columns.start} lies outside the image of {size[0]} rows and {size[1]} columns"
            )
        point = np.array(_point(at, scales))
        low, high = objects.boxes[:, :2], objects.boxes[:, 2:]
        able &= ((low <= point) & (point < high)).all(1)
        inside = np.flatnonzero(able)
        return int(inside[objects.sides[inside].prod(1).argmin()]) if len(inside) else None
    best = np.flatnonzero(able)
    return int(best[0]) if len(best) else None


def _point(at: Part, scales: tuple[float, float]) -> tuple[float, float]:
    """(x, y) of the middle of a place, in pixels as the network sees them."""
    y, x = ((side.start + side.stop) / 2 for side in at)
    return x * scales[1], y * scales[0]


def _edge(
    name: str, read: Callable[[Any], Tensor], known: Tensor, scales: tuple[float, float], box: np.ndarray,
    cone: Part | None, region: Part,
) -> Aim:  # fmt: skip
    """Where an edge lies, as the distance from the cell's middle in pixels of the image itself."""
    which = EDGES.index(name)
    across = which % 2 == 0
    scale = scales[1] if across else scales[0]
    was = float(known[2 + which])
    side = max(float(box[2] - box[0] if across else box[3] - box[1]), 1.0)
    return Aim(
        number=lambda output: read(output)[:, 2 + which] / scale,
        words=f"the {name} edge",
        region=region,
        cone=cone,
        either=True,
        kept=lambda output: (-(read(output)[:, 2 + which] - was).abs() / (NEAR * side)).exp(),
    )


def left_of(output: Any, wanted: Objects, classes: int, forms: Forms = form_of) -> Tensor:
    """How much of an object is left in each image of an output for N images, (N,) in [0, 1]: the best product of overlap
    and score over the detections of its class, D-RISE's similarity where a detection has one class.
    """
    best = []
    for found in forms(output).decode(output, classes):
        same = found.take(found.labels == wanted.labels[0])
        assert same.scores is not None
        shared = overlap(same.boxes, wanted.boxes)[:, 0] * same.scores
        best.append(float(shared.max()) if len(shared) else 0.0)
    return torch.tensor(best)


def _seen(
    trained: Trained, image: Tensor, spot: Spot, known: Tensor, forms: Forms
) -> tuple[Part | None, Part | None]:
    """(crop, cone): the part of a large image (C, h, w) that is enough to compute a cell, and in it what the cell sees.

    A crop begins at a multiple of all strides, so that each layer's positions stay where they were; what its borders change
    the cell does not see. known: (6,) what the cell says of the whole image, see `Form.read`; a crop that gives anything
    else, as where padding hangs on the image's size, is not used.
    """
    shape = image.shape[-2], image.shape[-1]
    if spot.map is None:
        return None, None
    try:
        layers = trace(trained.model, (1, trained.preprocessing.channels, *shape))
    except (GeometryError, UsageError):
        return None, None
    axes = axes_of(layers)[spot.map]
    if not axes:
        return None, None
    cells = (spot.row, spot.tall), (spot.column, spot.wide)
    sides = clipped(
        [_span(a, first, count, n) for a, (first, count), n in zip(axes, cells, shape, strict=True)], shape
    )  # fmt: skip
    cone = slice(*sides[0]), slice(*sides[1])
    strides = [int(a.stride) for one in layers for a in one.receptive_field or () if a is not None]
    step = max(strides)
    aligned = all(step % s == 0 for s in strides)
    if shape[0] * shape[1] <= SMALL or not aligned:
        return None, cone
    cut = [
        (low // step * step, min(-(-high // step) * step, n))
        for (low, high), n in zip(sides, shape, strict=True)
    ]
    (top, bottom), (left, right) = cut
    part = image[:, top:bottom, left:right]
    again = outputs_of(trained.model, trained.preprocessing, [part], device=CPU)[0]
    with torch.no_grad():
        numbers = forms(again).read(again, len(trained.classes), spot.moved(top, left))[0].double()
    if not torch.allclose(numbers, known, rtol=1e-3, atol=1e-3):
        return None, cone
    inner = (
        slice(cone[0].start - top, cone[0].stop - top),
        slice(cone[1].start - left, cone[1].stop - left),
    )
    return (slice(top, bottom), slice(left, right)), inner


def _span(axis: Any, first: int, count: int, extent: int) -> tuple[int, int]:
    """First pixel and one past the last that any of some cells in a row sees along an axis of so many pixels."""
    spans = [span(axis, at, extent) for at in range(first, first + count)]
    return min(low for low, _ in spans), max(high for _, high in spans)


def _region(box: np.ndarray, shape: tuple[int, int]) -> Part:
    """The pixels that a box covers, one at least."""
    sides = []
    for low, high, n in ((box[1], box[3], shape[0]), (box[0], box[2], shape[1])):
        start = min(max(int(np.floor(low)), 0), n - 1)
        sides.append(slice(start, max(min(int(np.ceil(high)), n), start + 1)))
    return sides[0], sides[1]
