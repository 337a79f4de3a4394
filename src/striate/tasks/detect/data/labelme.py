"""LabelMe JSON: a file an image, its shapes as polygons, rectangles, circles or masks; a group's shapes are one object."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from striate.data.pool import ordered
from striate.data.source import Damage
from striate.data.tree import Parts, Tree
from striate.documents import from_json
from striate.errors import DataError
from striate.files import read_regular
from striate.images import decode
from striate.images.pixels import MAX_PIXELS
from striate.schema import is_kind
from striate.tasks.detect.data.annotations import (
    FAR,
    Annotations,
    ClassNames,
    Draft,
    Outline,
    Polygons,
    fault,
    joined,
    shown,
    side_of,
    text_of,
)
from striate.tasks.detect.data.polygons import rasterise
from striate.tasks.detect.data.streaming import first_keys
from striate.tasks.detect.objects import Region
from striate.wording import one_line

FORMAT = "LabelMe JSON"
LOOKED_AT = 5
MOST = 1_000_000_000  # bytes of one file, which may hold its image
FINE = 0.05  # pixels by which a circle's ring may miss it
IGNORED = ("__ignore__", "_ignore_")


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """One shape: its box (left, top, right, bottom), and its outline, None for a rectangle. crowd: marked as difficult."""

    label: str
    group: Any
    box: tuple[float, ...]
    outline: Outline | None
    crowd: bool


def find_labelme(root: Path, tree: Tree) -> list[Parts]:
    """The JSON files of a folder, if one of the first few is LabelMe's."""
    files = [p for p in tree.rest if p[-1].lower().endswith(".json")]
    stems = {PurePosixPath(p[-1]).stem for p in tree.images}
    files = [p for p in files if PurePosixPath(p[-1]).stem in stems]
    return files if any(is_labelme(root.joinpath(*p)) for p in files[:LOOKED_AT]) else []


def is_labelme(path: Path) -> bool:
    """Whether a file begins as LabelMe's do."""
    keys = set(first_keys(path))
    return "shapes" in keys or {"version", "flags", "imagePath"} <= keys or {"imageData", "imagePath"} <= keys  # fmt: skip


def read_labelme(root: Path, files: Sequence[Parts]) -> Annotations:
    """Read the files; one that is broken is a fault of its own, unless all are."""
    classes = ClassNames()
    drafts: list[Draft] = []
    faults: list[Damage] = []
    for parts, content in zip(
        files, ordered(lambda p: _content(root.joinpath(*p)), files), strict=True
    ):
        if isinstance(content, str):
            faults.append(fault(joined(parts), content))
        else:
            drafts.append(_draft(content, parts, classes, faults))
    if not drafts:
        raise DataError(
            f"none of the {len(files):,} JSON files below {root} can be read; the first, {faults[0].path}: "
            f"{faults[0].reason}"
        )
    return Annotations(
        format=FORMAT, classes=classes.names, images=tuple(d.done() for d in drafts), files=tuple(files),
        complete=False, faults=tuple(faults),
    ).sorted()  # fmt: skip


def _content(path: Path) -> dict[str, Any] | str:
    try:
        content = from_json(read_regular(path, limit=MOST))
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    except ValueError as error:
        return f"it is no JSON ({error})" if path.stat().st_size else "it is empty"
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        return "it has no shapes"
    # The picture is in the folder; what the file holds of it only fills memory.
    content.pop("imageData", None)
    return content


def _draft(
    content: dict[str, Any], parts: Parts, classes: ClassNames, faults: list[Damage]
) -> Draft:
    stated = text_of(content.get("imagePath") or "").replace("\\", "/")
    stem = PurePosixPath(parts[-1]).stem
    # Renamed pairs keep the old name inside.
    file = stated if PurePosixPath(stated).stem == stem else stem
    size = tuple(side_of(content.get(name)) for name in ("imageHeight", "imageWidth"))
    draft = Draft(file, parts[:-1], size=size if all(size) else None)  # type: ignore[arg-type]
    groups: dict[tuple[str, str], list[Shape]] = {}
    for number, given in enumerate(content["shapes"], 1):
        try:
            shape = _shape(given)
        except DataError as error:
            faults.append(fault(one_line(file), f"shape {number} {error}"))
            continue
        group = text_of(shape.group) if shape.group is not None else f"alone {number}"
        groups.setdefault((shape.label, group), []).append(shape)
    for (label, _), several in groups.items():
        try:
            box, outline = _one(several)
        except DataError as error:
            what = f"a group of {len(several)} shapes ({shown(label)})"
            faults.append(fault(one_line(file), f"{what} {error}; it is left out"))
            continue
        if label.casefold() in IGNORED:
            # Of no class: a crowd of the first.
            draft.add(0, box, outline, crowd=True)
            continue
        draft.add(classes.number(label), box, outline, crowd=all(s.crowd for s in several))
    return draft


def _shape(given: Any) -> Shape:
    """Raises DataError with the end of a sentence."""
    if not isinstance(given, dict):
        raise DataError("is no object")
    label = text_of(given.get("label") or "")
    if not label:
        raise DataError("has no label")
    try:
        points = np.array(given.get("points"), dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"({shown(label)}) has points that are no pairs of numbers") from None
    kind = text_of(given.get("shape_type") or "polygon")
    if kind not in ("rectangle", "polygon", "circle", "mask"):
        raise DataError(f"({shown(label)}) is a {shown(kind)}, which has no area and is left out")
    if len(points) < (3 if kind == "polygon" else 2) or not np.isfinite(points).all():
        raise DataError(
            f"({shown(label)}) is a {kind} of {len(points)} points or of what is no number; it is left out"
        )
    if kind in ("circle", "mask") and np.abs(points).max() > FAR:
        raise DataError(f"({shown(label)}) is a {kind} millions of pixels away; it is left out")
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    box: tuple[float, ...] = (left, top, right, bottom)
    outline: Outline | None = None
    if kind == "circle":
        box, outline = _circle(points)
    elif kind == "polygon":
        outline = Polygons((points,))
    elif kind == "mask":
        outline = _mask(given.get("mask"), box, label)
        box = _finer(given.get("box")) or outline.box
    return Shape(
        label=label,
        group=given.get("group_id"),
        box=box,
        outline=outline,
        crowd=given.get("difficult") is True,
    )


def _finer(value: Any) -> tuple[float, ...] | None:
    """A box beside a mask, as Striate writes it where it is finer than whole pixels."""
    known = isinstance(value, list) and len(value) == 4 and all(is_kind(v, (float,)) for v in value)
    return tuple(map(float, value)) if known else None


def _circle(points: np.ndarray) -> tuple[tuple[float, ...], Polygons]:
    """From its centre and a point on it."""
    x, y = points[0].tolist()
    radius = math.dist(points[0], points[1])
    steps = math.ceil(math.pi / math.acos(1 - FINE / radius)) if radius > 2 * FINE else 8
    turn = np.arange(max(min(steps, 10_000), 8)) * (2 * math.pi / max(min(steps, 10_000), 8))
    ring = points[0] + radius * np.stack([np.cos(turn), np.sin(turn)], 1)
    return (x - radius, y - radius, x + radius, y + radius), Polygons((ring,))


def _mask(text: Any, box: tuple[float, ...], label: str) -> Region:
    """The pixels that a PNG inside the file holds, at the box's first corner."""
    try:
        data = base64.b64decode(text, validate=True)
        pixels = decode(io.BytesIO(data).getvalue()).pixels
    except (TypeError, ValueError, binascii.Error) as error:
        raise DataError(
            f"({shown(label)}) has a mask that cannot be read ({error}); it is left out"
        ) from None
    mask = pixels[..., 0] > 0
    if not mask.any():
        raise DataError(f"({shown(label)}) is a mask without a pixel; it is left out")
    return Region.of(mask, top=round(box[1]), left=round(box[0]))


def _one(several: Sequence[Shape]) -> tuple[tuple[float, ...], Outline | None]:
    """The shapes of a group as one object; a rectangle alone is a box without an outline.

    Raises DataError, with the end of a sentence, for masks so far apart that no image holds them.
    """
    if len(several) == 1:
        return several[0].box, several[0].outline
    corners = np.array([shape.box for shape in several])
    box = (*corners[:, :2].min(0).tolist(), *corners[:, 2:].max(0).tolist())
    outlines = [shape.outline or _ring(shape.box) for shape in several]
    if all(isinstance(o, Polygons) for o in outlines):
        return box, Polygons(tuple(r for o in outlines if isinstance(o, Polygons) for r in o.rings))
    if not np.isfinite(corners).all() or np.abs(corners).max() > FAR:
        raise DataError("lies millions of pixels away")
    height, width = math.ceil(max(box[3], 1)), math.ceil(max(box[2], 1))
    if (height - min(box[1], 0)) * (width - min(box[0], 0)) > MAX_PIXELS:
        raise DataError(
            f"reaches over more than the {MAX_PIXELS:,} pixels of the largest image that is read"
        )
    drawn = [o if isinstance(o, Region) else rasterise(o, height, width) for o in outlines]
    return box, _united(drawn)


def _ring(box: tuple[float, ...]) -> Polygons:
    left, top, right, bottom = box
    return Polygons((np.array([[left, top], [right, top], [right, bottom], [left, bottom]]),))


def _united(regions: Sequence[Region | None]) -> Region | None:
    """The pixels of any of several regions."""
    known = [r for r in regions if r is not None]
    if not known:
        return None
    top, left = min(r.top for r in known), min(r.left for r in known)
    height, width = max(r.top + r.height for r in known) - top, max(r.left + r.width for r in known) - left  # fmt: skip
    page = np.zeros((height, width), dtype=bool)
    for r in known:
        page[r.top - top : r.top - top + r.height, r.left - left : r.left - left + r.width] |= (
            r.mask
        )
    return Region.of(page, top=top, left=left)
