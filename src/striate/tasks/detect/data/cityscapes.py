"""Cityscapes: PNG files whose pixels hold a class's number times a thousand plus the number of the object.

Source: Cordts et al., "The Cityscapes dataset" (2016), and the scripts that came with it. Below a thousand a pixel holds a
class alone: of those that have objects, a group that is not told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from striate.data.naming import SPLIT_NAMES
from striate.data.pool import ordered
from striate.data.source import Damage
from striate.data.tree import Parts, Tree
from striate.errors import DataError
from striate.tasks.detect.data.annotations import Annotations, ClassNames, Draft, fault, joined
from striate.tasks.detect.objects import Region
from striate.tasks.segment.data.reading import read_mask

FORMAT = "Cityscapes instanceIds"
ENDING = "_instanceIds.png"
SETS = ("_gtFine", "_gtCoarse")
OBJECTS = {
    24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 29: "caravan", 30: "trailer", 31: "train",
    32: "motorcycle", 33: "bicycle",
}  # fmt: skip
BASE = 1000
MOST = 65_535  # what a pixel of 16 bits holds
SCATTERED = 200  # times the image's pixels, in the boxes of its objects together: they lie apart, and are no noise


def find_cityscapes(root: Path, tree: Tree) -> list[Parts]:
    """The files of instances of a folder."""
    return [p for p in (*tree.images, *tree.rest) if p[-1].endswith(ENDING)]


def read_cityscapes(root: Path, files: Sequence[Parts], tree: Tree) -> Annotations:
    """Every object of every file. Raises DataError where none can be read."""
    places = {_stem(p[-1]): p for p in tree.images if not p[-1].endswith(ENDING)}
    classes = ClassNames()
    drafts: list[Draft] = []
    faults: list[Damage] = []
    for parts, found in zip(files, ordered(lambda p: _read(root.joinpath(*p)), files), strict=True):
        if isinstance(found, str):
            faults.append(fault(joined(parts), found))
            continue
        size, objects = found
        image = places.get(_stem(parts[-1]))
        split = next((SPLIT_NAMES[p.casefold()] for p in parts if p.casefold() in SPLIT_NAMES), None)  # fmt: skip
        draft = Draft(joined(image) if image else _stem(parts[-1]) + ".png", size=size, split=split)
        for label, region, group in objects:
            name = OBJECTS.get(label, f"class {label}")
            draft.add(classes.number(name), region.box, region, crowd=group)
        drafts.append(draft)
    if not drafts:
        raise DataError(
            f"none of the {len(files):,} files of instances below {root} can be read; the first, {faults[0].path}: "
            f"{faults[0].reason}"
        )
    return Annotations(
        format=FORMAT, classes=classes.names or ("object",), images=tuple(d.done() for d in drafts), files=tuple(files),
        faults=tuple(faults), notes=("pixels hold class * 1000 + number; a class alone is a group of its objects",),
    ).sorted()  # fmt: skip


def _stem(name: str) -> str:
    """What the names of an image and of its files of annotations have in common."""
    stem = name.rpartition(".")[0]
    for ending in ("_instanceIds", "_leftImg8bit", *SETS):
        stem = stem.removesuffix(ending)
    return stem


def _read(path: Path) -> tuple[tuple[int, int], list[tuple[int, Region, bool]]] | str:
    """The size and the objects: (class, region, whether it is a group); or what is wrong."""
    try:
        raw = read_mask(path)
    except DataError as error:
        return str(error)
    if raw.kind in ("colour", "palette"):
        return "it holds colours, and instances are numbers of 16 bits"
    values = raw.values
    if values.min() < 0 or values.max() > MOST:
        return f"it holds numbers beyond {MOST:,}"
    label = np.where(values >= BASE, values // BASE, values)
    things = (values >= BASE) | np.isin(label, list(OBJECTS))
    numbers, inverse = np.unique(np.where(things, values, 0), return_inverse=True)
    inverse = inverse.reshape(values.shape) + (0 if numbers[0] == 0 else 1)
    numbers = numbers[numbers > 0]
    boxes = ndimage.find_objects(inverse, max_label=len(numbers))
    if sum((r.stop - r.start) * (c.stop - c.start) for r, c in boxes) > max(
        SCATTERED * values.size, 2**24
    ):
        return "its objects are scattered over all of it, as the values of a photograph are"
    height, width = values.shape
    objects = []
    for i, (number, (rows, columns)) in enumerate(zip(numbers.tolist(), boxes, strict=True), 1):
        region = Region.of(inverse[rows, columns] == i, top=rows.start, left=columns.start)
        objects.append((number // BASE if number >= BASE else number, region, number < BASE))
    return (height, width), objects
