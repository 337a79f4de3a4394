"""CVAT's XML for images: boxes, polygons, masks and ellipses of every image in one file, streamed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from striate.data.naming import SPLIT_NAMES
from striate.data.source import Damage
from striate.data.tree import Parts, Tree
from striate.errors import DataError
from striate.images.pixels import MAX_PIXELS
from striate.tasks.detect.data.annotations import (
    FAR,
    Annotations,
    ClassNames,
    Draft,
    Outline,
    Polygons,
    fault,
    joined,
    number_of,
    shown,
    side_of,
)
from striate.tasks.detect.data.markup import Element, elements, first_tag
from striate.tasks.detect.data.polygons import turned_box, turned_ring
from striate.tasks.detect.objects import Region
from striate.wording import one_line

FORMAT = "CVAT XML"
LOOKED_AT = 5
READ = ("box", "polygon", "mask", "ellipse")
NO_AREA = ("polyline", "points", "cuboid", "skeleton")
CROWD = ("crowd", "iscrowd", "is_crowd", "difficult")  # attributes
ROUND = 64  # corners of an ellipse's ring


def find_cvat(root: Path, tree: Tree) -> list[Parts]:
    """CVAT's files below a folder."""
    files = [p for p in tree.rest if p[-1].lower().endswith(".xml")]
    return [p for p in files[:LOOKED_AT] if first_tag(root.joinpath(*p)) == "annotations"]


def read_cvat(root: Path, files: Sequence[Parts]) -> Annotations:
    """Read the files. Raises DataError where one is broken, or is of a video, whose frames are no files."""
    classes = ClassNames()
    drafts: list[Draft] = []
    faults: list[Damage] = []
    for parts in files:
        path = root.joinpath(*parts)
        for element in elements(path, "image", "track"):
            if element.tag == "track":
                raise DataError(
                    f"{path} is CVAT's XML of a video, whose frames are no image files; export CVAT for images 1.1"
                )
            if "name" not in element.attributes:
                number = shown(element.attributes.get("id", "?"))
                faults.append(fault(joined(parts), f"image {number} has no name"))
                continue
            drafts.append(_draft(element, parts, classes, faults))
    if not drafts:
        raise DataError(f"{root.joinpath(*files[0])} names no images")
    return Annotations(
        format=FORMAT, classes=classes.names, images=tuple(d.done() for d in drafts), files=tuple(files),
        faults=tuple(faults),
    ).sorted()  # fmt: skip


def _draft(image: Element, parts: Parts, classes: ClassNames, faults: list[Damage]) -> Draft:
    stated = image.attributes
    size = tuple(side_of(stated.get(side)) for side in ("height", "width"))
    split = SPLIT_NAMES.get(stated.get("subset", "").casefold())
    draft = Draft(stated["name"], parts[:-1], size=size if all(size) else None, split=split)  # type: ignore[arg-type]
    for number, shape in enumerate(image.children, 1):
        what = f"shape {number} ({shown(shape.attributes.get('label', 'no label'))})"
        if shape.tag in NO_AREA:
            faults.append(
                fault(
                    one_line(draft.file),
                    f"{what} is a {shape.tag}, which has no area, and is left out",
                )
            )
            continue
        if shape.tag not in READ or shape.attributes.get("outside") == "1":
            continue  # a tag of the whole image; or what is not in this one
        try:
            box, outline = _shape(shape)
        except DataError as error:
            faults.append(fault(one_line(draft.file), f"{what} {error}"))
            continue
        label = shape.attributes.get("label", "").strip()
        if not label:
            faults.append(fault(one_line(draft.file), f"shape {number} has no label"))
            continue
        draft.add(classes.number(label), box, outline, crowd=_crowd(shape))
    return draft


def _shape(shape: Element) -> tuple[tuple[float, ...] | None, Outline | None]:
    """Box and outline of a shape. Raises DataError with the end of a sentence."""
    stated = shape.attributes
    turn = number_of(stated.get("rotation", "0"))
    if not math.isfinite(turn):
        raise DataError("is turned by what is no number; it is left out")
    if shape.tag == "box":
        left, top, right, bottom = (number_of(stated.get(n)) for n in ("xtl", "ytl", "xbr", "ybr"))
        if turn == 0:
            return (left, top, right, bottom), None
        return None, turned_box((left, top, right, bottom), turn)
    if shape.tag == "ellipse":
        x, y, across, down = (number_of(stated.get(n)) for n in ("cx", "cy", "rx", "ry"))
        angles = np.arange(ROUND) * (2 * math.pi / ROUND)
        ring = np.stack([x + across * np.cos(angles), y + down * np.sin(angles)], 1)
        return None if turn else (x - across, y - down, x + across, y + down), turned_ring(
            ring, (x, y), turn
        )
    if shape.tag == "polygon":
        try:
            ring = np.array(
                [[float(n) for n in p.split(",")] for p in stated["points"].split(";") if p.strip()]
            )
        except (KeyError, ValueError):
            ring = np.empty((0, 2))
        if ring.ndim != 2 or ring.shape[-1] != 2 or len(ring) < 3 or not np.isfinite(ring).all():
            raise DataError("has points that enclose nothing or are no numbers; it is left out")
        return None, Polygons((ring,))
    region = _mask(stated)
    finer = tuple(number_of(stated.get(n)) for n in ("xtl", "ytl", "xbr", "ybr"))
    return (finer if all(map(math.isfinite, finer)) else region.box), region


def _crowd(shape: Element) -> bool:
    """Whether an attribute marks a group of objects, or one too difficult to tell."""
    marks = (a for a in shape.all("attribute") if a.attributes.get("name", "").casefold() in CROWD)
    return any(mark.text.strip().casefold() in ("true", "1", "yes") for mark in marks)


def _mask(stated: dict[str, str]) -> Region:
    """Run lengths over the mask's own box, row by row; the last zeros may be missing."""
    place = [number_of(stated.get(n)) for n in ("left", "top")]
    width, height = (side_of(stated.get(n)) for n in ("width", "height"))
    if not all(abs(n) <= FAR for n in place) or not width or not height:
        raise DataError("is a mask without a place or size; it is left out")
    if width * height > MAX_PIXELS:
        raise DataError(
            f"is a mask of {width * height:,} pixels, and at most {MAX_PIXELS:,} are read; it is left out"
        )
    left, top = map(int, place)
    try:
        runs = np.array([int(n) for n in stated.get("rle", "").split(",") if n.strip()], np.int64)
    except (ValueError, OverflowError):
        raise DataError("is a mask whose run lengths are no numbers; it is left out") from None
    if len(runs) and not 0 <= runs.min() <= runs.max() <= MAX_PIXELS:  # else their sum may overflow
        raise DataError(
            "is a mask whose run lengths are below 0 or without measure; it is left out"
        )
    rest = width * height - int(runs.sum())
    if rest < 0:
        raise DataError(
            f"is a mask whose run lengths are for {int(runs.sum()):,} pixels, and its box has {width * height:,}"
        )
    values = np.arange(len(runs)) % 2 == 1
    flat = np.concatenate([np.repeat(values, runs), np.zeros(rest, dtype=bool)])
    if not flat.any():
        raise DataError("is a mask without a pixel; it is left out")
    return Region.of(flat.reshape(height, width), top=top, left=left)
