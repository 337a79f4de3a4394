"""Instance masks: an image file whose pixels hold the number or the colour of their object, or a file an object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from striate.data.pool import ordered
from striate.data.source import Damage
from striate.data.tree import Parts, Tree
from striate.errors import DataError
from striate.tasks.detect.data.annotations import Annotations, Draft, fault
from striate.tasks.detect.objects import Region
from striate.tasks.segment.data.pairing import Pairs, pair
from striate.tasks.segment.data.reading import TRANSPARENT, RawMask, read_mask

FORMAT = "instance masks"
VOID = 255  # the border of objects in VOC's and DAVIS's palettes
MOST = 65_535  # objects of an image
SCATTERED = 200  # times the image's pixels, in the boxes of its objects together: they lie apart, and are no noise
OBJECT = "object"


def find_instance_masks(root: Path, tree: Tree) -> list[Parts]:
    """The mask files of a folder of images and masks."""
    pairs = _pairs(root)
    return (
        [] if pairs is None else [tuple(m.split("/")) for several in pairs.masks for m in several]
    )


def _pairs(root: Path) -> Pairs | None:
    try:
        return pair(root)
    except DataError:
        return None


def read_instance_masks(root: Path, files: Sequence[Parts]) -> Annotations:
    """Every object of every mask, all of one class. Raises DataError where no mask can be read."""
    pairs = pair(root)
    faults: list[Damage] = []
    kept: list[tuple[str, str | None, list[RawMask]]] = []
    notes: list[str] = [*pairs.notes]
    for image, split, read in zip(
        pairs.images,
        pairs.given,
        ordered(lambda m: _read(root, m), pairs.masks),
        strict=True,
    ):
        if isinstance(read, str):
            faults.append(fault(image, read))
        else:
            kept.append((image, split, read))
    if not kept:
        raise DataError(
            f"no mask in {root} can be read; the first, {faults[0].path}: {faults[0].reason}"
        )
    single = [raws[0] for _, _, raws in kept if len(raws) == 1]
    binary = bool(single) and all(len(_held(raw)) <= 1 for raw in single)
    void = any(VOID in _held(r) and _held(r) - {VOID} for r in single if r.kind == "palette")
    drafts = []
    for image, split, raws in kept:
        draft = Draft(image, split=split)
        size = raws[0].turned(raws[0].orientation).shape
        draft.size = (int(size[0]), int(size[1]))
        try:
            regions = [
                r
                for raw in raws
                for r in _objects(raw, alone=len(raws) > 1, parts=binary, void=void)
            ]
        except DataError as error:
            faults.append(fault(image, f"its mask {error}"))
            regions = []
        for region in regions:
            draft.add(0, region.box, region)
        drafts.append(draft)
    if len(single) < len(kept):
        notes.append("each mask file is one object")
    elif binary:
        notes.append(
            "the masks hold one value beside the background, so each connected part is taken as an object"
        )
    else:
        colours = any(raw.kind == "colour" for raw in single)
        notes.append(
            f"each {'colour' if colours else 'number'} of a mask is taken as an object, black as background"
        )
    if void:
        notes.append(
            "255 is taken as the border between objects, as VOC has it, and belongs to none"
        )
    return Annotations(
        format=FORMAT, classes=(OBJECT,), images=tuple(d.done() for d in drafts), files=tuple(files), faults=tuple(faults),
        notes=tuple(notes),
    )  # fmt: skip


def _read(root: Path, masks: Sequence[str]) -> list[RawMask] | str:
    raws: list[RawMask] = []
    for mask in masks:
        try:
            raws.append(read_mask(root / mask))
        except DataError as error:
            return str(error)
    if len({raw.values.shape for raw in raws}) > 1:
        return "its masks have several sizes"
    return raws


def _held(raw: RawMask) -> set[int]:
    """Values other than the background's."""
    values = np.unique(raw.values if raw.kind in ("colour", "grey") else raw.numbers())
    return {int(v) for v in values if 0 < v != TRANSPARENT}


def _objects(raw: RawMask, *, alone: bool, parts: bool, void: bool) -> list[Region]:
    """Raises DataError, with the end of a sentence, for a photograph or noise: each object costs the pixels of its box."""
    values = raw.turned(raw.orientation)
    solid = (values > 0) & (values != TRANSPARENT)
    if void:
        solid &= values != VOID
    if alone:
        return [Region.of(solid)] if solid.any() else []
    if parts:
        numbers, count = ndimage.label(solid, np.ones((3, 3)))
    else:
        _, inverse = np.unique(np.where(solid, values, 0), return_inverse=True)
        numbers = inverse.reshape(values.shape) + (0 if not solid.all() else 1)
        count = int(numbers.max())
    if count > MOST:
        raise DataError(f"holds {count:,} objects; at most {MOST:,} are read")
    places = ndimage.find_objects(numbers, max_label=count)
    boxes = sum((p[0].stop - p[0].start) * (p[1].stop - p[1].start) for p in places if p)
    if boxes > max(SCATTERED * numbers.size, 2**24):
        raise DataError(
            f"holds {count:,} values that are scattered over all of it, as those of a photograph are"
        )
    return [
        Region.of(numbers[place] == i, top=place[0].start, left=place[1].start)
        for i, place in enumerate(places, 1)
        if place is not None
    ]
