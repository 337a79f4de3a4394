"""Mending: what an annotation file states of an image becomes Objects, and each object that had to be changed is named.

Corners in the wrong order are put right, boxes are cut at the image's borders; what is no box, lies outside, has no area or
stands there twice goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from striate.errors import DataError
from striate.tasks.detect.data.annotations import ImageAnnotations, Outline, Polygons
from striate.tasks.detect.data.polygons import rasterise
from striate.tasks.detect.data.turning import scaled_outline, upright_boxes, upright_outline
from striate.tasks.detect.objects import Objects, Region

ROUNDING = 1.0  # pixels beyond a border that rounding explains
LEAST = 1e-6  # pixels of a side; below, a box has no area
SAME_SHAPE = 0.01  # relative difference of two aspect ratios that rounding explains


@dataclass(frozen=True, kw_only=True)
class Form:
    """An image: its upright (height, width), and the EXIF orientation that made it so."""

    height: int
    width: int
    orientation: int = 1

    @property
    def stored(self) -> tuple[int, int]:
        """(height, width) of the stored pixels."""
        return (self.width, self.height) if self.orientation > 4 else (self.height, self.width)


@dataclass(frozen=True, kw_only=True)
class Mended:
    """objects: of one image. faults: kind and words of each changed or left out. boxed: objects without an outline."""

    objects: Objects
    faults: tuple[tuple[str, str], ...] = ()
    boxed: int = 0


@np.errstate(
    over="ignore", invalid="ignore"
)  # what no number is comes out as none, and is left out by `mend`
def placed(image: ImageAnnotations, form: Form, *, turn: bool) -> tuple[ImageAnnotations, str]:
    """The annotations in pixels of the upright image, and how they got there: "", "turned", "scaled" or "other".

    turn: whether boxes lie on the stored pixels where the stated size cannot tell. "other": the stated size is neither of
    the image's and the boxes are left as they are.
    """
    upright, how, orientation = (form.height, form.width), "", 1
    boxes, outlines = image.boxes, image.outlines
    if form.orientation > 1:
        stored_alone = image.size == form.stored and image.size != upright
        if stored_alone or (turn and (image.size in (None, form.stored))):
            orientation, how = form.orientation, "turned"
    base = form.stored if how else upright
    across, down = (base[1], base[0]) if image.shares else (1.0, 1.0)
    if not image.shares and image.size is not None and image.size != base:
        height, width = image.size
        across, down = base[1] / width, base[0] / height
        if abs(across / down - 1) > SAME_SHAPE:
            across = down = 1.0
            how = "other"
        else:
            how = "scaled"
    if (across, down) != (1.0, 1.0):
        boxes = boxes * (across, down, across, down)
        outlines = tuple(None if o is None else scaled_outline(o, across, down) for o in outlines)
    if orientation > 1:
        boxes = upright_boxes(boxes, orientation, *upright)
        outlines = tuple(None if o is None else upright_outline(o, orientation, *upright) for o in outlines)  # fmt: skip
    return replace(image, boxes=boxes, outlines=outlines, shares=False, size=upright), how


def swapped(image: ImageAnnotations) -> ImageAnnotations:
    """The same with x and y exchanged."""
    outlines = tuple(
        Polygons(tuple(r[:, ::-1].copy() for r in o.rings)) if isinstance(o, Polygons) else o for o in image.outlines
    )  # fmt: skip
    return replace(image, boxes=image.boxes[:, [1, 0, 3, 2]], outlines=outlines)


def fit(image: ImageAnnotations, form: Form) -> tuple[int, int, int]:
    """How many boxes there are, how many lie inside, and how many of the others would with x and y exchanged."""
    known = image.boxes[np.isfinite(image.boxes).all(1)]

    def inside(boxes: np.ndarray) -> np.ndarray:
        ends = (form.width + ROUNDING, form.height + ROUNDING)
        fits: np.ndarray = (
            (boxes.min(1) >= -ROUNDING)
            & (boxes[:, ::2].max(1) <= ends[0])
            & (boxes[:, 1::2].max(1) <= ends[1])
        )
        return fits

    now = inside(known) if len(known) else np.zeros(0, bool)
    other = inside(known[:, [1, 0, 3, 2]]) if len(known) else now
    return len(known), int(now.sum()), int((~now & other).sum())


def mend(image: ImageAnnotations, form: Form, classes: Sequence[str]) -> Mended:
    """Objects of an image whose annotations are `placed`."""
    faults: list[tuple[str, str]] = []
    boxes, labels, crowd, regions = [], [], [], []
    seen: set[tuple[object, ...]] = set()
    boxed = 0
    for i in range(len(image)):
        what = f"object {i + 1} ({classes[image.labels[i]]})"
        region = _region(image.outlines[i], form, what, faults)
        box = image.boxes[i]
        if np.isnan(box).all():
            if region is None and image.outlines[i] is None:
                faults.append(("no number", f"{what} has no box; it is left out"))
                continue
            stated = image.outlines[i]
            box = np.array(_around(stated) if stated is not None else ())
        made = _box(box, form, what, faults)
        if made is None:
            continue
        twin = (
            int(image.labels[i]),
            bool(image.crowd[i]),
            *np.round(made, 3).tolist(),
            _print(region),
        )
        if twin in seen:
            faults.append(("duplicate", f"{what} stands there twice; once is kept"))
            continue
        seen.add(twin)
        if region is None:
            boxed += image.outlines[i] is None
            region = _pixel(made, form) if image.outlines[i] is not None else None
        boxes.append(made)
        labels.append(int(image.labels[i]))
        crowd.append(bool(image.crowd[i]))
        regions.append(region)
    whole = [r for r in regions if r is not None]
    if (
        len(whole) < len(regions)
        and whole
        and all(c or r for c, r in zip(crowd, regions, strict=True))
    ):
        # Crowds of which only a box is known fill it.
        whole = [r or _full(b, form) for r, b in zip(regions, boxes, strict=True)]
    complete = len(whole) == len(regions) and len(whole) > 0
    objects = Objects.of(boxes, labels, crowd=crowd, regions=whole if complete else None)
    return Mended(objects=objects, faults=tuple(faults), boxed=boxed)


def _region(
    outline: Outline | None, form: Form, what: str, faults: list[tuple[str, str]]
) -> Region | None:
    """The pixels of an outline; None where it has none."""
    if outline is None:
        return None
    if isinstance(outline, Region):
        top, left = max(outline.top, 0), max(outline.left, 0)
        if (
            top == outline.top
            and left == outline.left
            and outline.top + outline.height <= form.height
            and outline.left + outline.width <= form.width
        ):
            return outline
        bottom, right = (
            min(outline.top + outline.height, form.height),
            min(outline.left + outline.width, form.width),
        )
        if top >= bottom or left >= right:
            return None
        part = outline.mask[
            top - outline.top : bottom - outline.top, left - outline.left : right - outline.left
        ]
        return Region.of(part, top=top, left=left) if part.any() else None
    try:
        return rasterise(outline, form.height, form.width)
    except DataError as error:
        faults.append(("outline", f"{what}: {error}; its box is used"))
        return None


def _around(outline: Outline) -> tuple[float, float, float, float]:
    if isinstance(outline, Region):
        return outline.box
    points = np.concatenate(outline.rings)
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    return left, top, right, bottom


def _box(
    box: np.ndarray, form: Form, what: str, faults: list[tuple[str, str]]
) -> tuple[float, ...] | None:
    """The box as it can be used, or None."""
    if not np.isfinite(box).all():
        faults.append(("no number", f"{what} has a box of what is no number; it is left out"))
        return None
    left, top, right, bottom = box.tolist()
    if left > right or top > bottom:
        faults.append(
            (
                "corners",
                f"{what} has its corners in the wrong order, or a side below 0; they are exchanged",
            )
        )
        left, right, top, bottom = min(left, right), max(left, right), min(top, bottom), max(top, bottom)  # fmt: skip
    if right - left < LEAST or bottom - top < LEAST:
        faults.append(
            (
                "no area",
                f"{what} has a box of {right - left:g} x {bottom - top:g} pixels; it is left out",
            )
        )
        return None
    cut = max(left, 0.0), max(top, 0.0), min(right, float(form.width)), min(bottom, float(form.height))  # fmt: skip
    if cut[2] - cut[0] < LEAST or cut[3] - cut[1] < LEAST:
        faults.append(("outside", f"{what} lies outside the image; it is left out"))
        return None
    beyond = max(cut[0] - left, cut[1] - top, right - cut[2], bottom - cut[3])
    if beyond > ROUNDING:
        faults.append(
            (
                "clipped",
                f"{what} reaches {beyond:,.4g} pixels beyond the image and is cut at its border",
            )
        )
    return cut


def _pixel(box: Sequence[float], form: Form) -> Region:
    """The pixel in the middle of a box, for an outline too thin to hold the middle of any."""
    column = min(int((box[0] + box[2]) / 2), form.width - 1)
    row = min(int((box[1] + box[3]) / 2), form.height - 1)
    return Region.of(np.ones((1, 1), bool), top=row, left=column)


def _full(box: Sequence[float], form: Form) -> Region:
    left, top = int(box[0]), int(box[1])
    right, bottom = min(int(np.ceil(box[2])), form.width), min(int(np.ceil(box[3])), form.height)
    return Region.of(np.ones((max(bottom - top, 1), max(right - left, 1)), bool), top=top, left=left)  # fmt: skip


def _print(region: Region | None) -> object:
    return None if region is None else (region.top, region.left, region.runs.tobytes())
