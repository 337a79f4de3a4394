"""VIA (VGG Image Annotator): a project or its annotations as JSON, or their CSV; rectangles, circles, ellipses, polygons.

Source: Dutta and Zisserman, "The VIA annotation software for images, audio and video" (2019), whose files these are.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.source import Damage
from striate.data.table import decoded
from striate.data.tree import Parts, Tree
from striate.documents import from_json
from striate.errors import DataError
from striate.files import open_regular, read_regular
from striate.schema import is_kind
from striate.tasks.detect.data.annotations import (
    FAR,
    Annotations,
    ClassNames,
    Draft,
    Outline,
    Polygons,
    fault,
    shown,
    text_of,
)
from striate.tasks.detect.data.streaming import first_keys
from striate.wording import one_line

FORMAT = "VIA"
HEAD = 2**16  # bytes by which a file is recognised
MOST = 1_000_000_000  # bytes of one file
LOOKED_AT = 10  # files of a folder
CORNERS = 64  # of a circle's or ellipse's outline
PROJECT = frozenset({"_via_settings", "_via_img_metadata", "_via_attributes"})
COLUMNS = ("filename", "region_shape_attributes", "region_attributes")
USUAL = (
    "class",
    "label",
    "name",
    "type",
    "category",
    "species",
    "object",
)  # attributes that name a class


@dataclass(frozen=True, kw_only=True)
class Region:
    """One region as a file states it. shape, attributes: what it says of its place and of what it is."""

    file: str
    shape: Mapping[str, Any]
    attributes: Mapping[str, Any]


def find_via(root: Path, tree: Tree) -> list[Parts]:
    """VIA's JSON files of a folder, or its CSV where there is no JSON."""
    for end in (".json", ".csv"):
        files = [p for p in tree.rest if p[-1].lower().endswith(end)]
        found = [p for p in files[:LOOKED_AT] if is_via(root.joinpath(*p))]
        if found:
            return found
    return []


def is_via(path: Path) -> bool:
    """Whether a file begins as VIA's do."""
    try:
        with open_regular(path) as file:
            head = file.read(HEAD).decode("utf-8-sig", "replace")
    except OSError:
        return False
    if path.suffix.lower() == ".csv":
        try:
            first = next(csv.reader(head.splitlines()), [])
        except csv.Error:
            return False
        return set(COLUMNS) <= {name.strip().lstrip("#") for name in first}
    if path.suffix.lower() != ".json":
        return False
    return bool(PROJECT & set(first_keys(path))) or (
        '"filename"' in head and '"regions"' in head and not {"images", "shapes"} & set(first_keys(path))
    )  # fmt: skip


def read_via(root: Path, files: Sequence[Parts]) -> Annotations:
    """Read the files; a region that is broken is a fault of its own. Raises DataError for a file that is none of VIA's."""
    drafts: dict[str, Draft] = {}
    regions: list[Region] = []
    faults: list[Damage] = []
    for parts in files:
        for file, several in _images(root.joinpath(*parts)):
            drafts.setdefault(file, Draft(file, parts[:-1]))
            regions += several
    which = _attribute(regions)
    classes = ClassNames()
    for number, region in enumerate(regions, 1):
        try:
            box, outline = _place(region.shape)
        except DataError as error:
            faults.append(fault(one_line(region.file), f"region {number} {error}"))
            continue
        name = "" if which is None else _named(region.attributes.get(which))
        drafts[region.file].add(classes.number(name), box, outline)
    if which is None:
        notes = ["no attribute of the regions names a class, so that all are of one"]
    else:
        notes = [f"the class of a region is its attribute {shown(which)}"]
    return Annotations(
        format=FORMAT, classes=classes.names or ("object",), images=tuple(d.done() for d in drafts.values()),
        files=tuple(files), complete=False, faults=tuple(faults), notes=tuple(notes),
    ).sorted()  # fmt: skip


def _images(path: Path) -> Iterator[tuple[str, list[Region]]]:
    """Each image that a file names, with its regions."""
    try:
        data = read_regular(path, limit=MOST)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    return _from_csv(path, data) if path.suffix.lower() == ".csv" else _from_json(path, data)


def _from_json(path: Path, data: bytes) -> Iterator[tuple[str, list[Region]]]:
    try:
        content = from_json(data)
    except ValueError as error:
        raise DataError(f"{path} is no JSON ({error}); save it again from VIA") from None
    if isinstance(content, dict) and "_via_img_metadata" in content:
        content = content["_via_img_metadata"]
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no images as VIA has them; export the annotations again")
    for entry in content.values():
        if not isinstance(entry, dict) or not text_of(entry.get("filename") or ""):
            raise DataError(f"{path} has an image without a filename; export the annotations again")
        file = text_of(entry["filename"])
        given = entry.get("regions") or []
        several = list(given.values()) if isinstance(given, dict) else given  # VIA 1 numbers them
        if not isinstance(several, list):
            raise DataError(f"{path} has regions of {shown(file)} that are no list")
        yield file, [_region(file, one) for one in several]


def _region(file: str, given: Any) -> Region:
    parts = [
        given.get(name) if isinstance(given, dict) else None
        for name in ("shape_attributes", "region_attributes")
    ]
    shape, attributes = (part if isinstance(part, dict) else {} for part in parts)
    return Region(file=file, shape=shape, attributes=attributes)


def _from_csv(path: Path, data: bytes) -> Iterator[tuple[str, list[Region]]]:
    text, _ = decoded(data)
    try:
        rows = list(csv.DictReader(io.StringIO(text.lstrip("\ufeff#"), newline=None)))
    except csv.Error as error:
        raise DataError(f"{path} is no table ({error}); export it again") from None
    for line, row in enumerate(rows, 2):
        file = text_of(row.get("filename") or "")
        if not file:
            raise DataError(f"{path}, line {line}, names no file; export it again")
        cells = []
        for name in COLUMNS[1:]:
            try:
                value = from_json(row.get(name) or "{}")
            except ValueError:
                value = None
            cells.append(value if isinstance(value, dict) else {"broken": True})
        # An image without regions has one line, whose shape is empty.
        yield file, [Region(file=file, shape=cells[0], attributes=cells[1])] if cells[0] else []


def _attribute(regions: Sequence[Region]) -> str | None:
    """The attribute that names the class: one that is called so, else the one that most regions have."""
    counts = Counter(
        name for region in regions for name, value in region.attributes.items() if _named(value)
    )
    usual = [name for name in counts if name.strip().casefold() in USUAL]
    if usual:
        return min(usual, key=lambda name: USUAL.index(name.strip().casefold()))
    return counts.most_common(1)[0][0] if counts else None


def _named(value: Any) -> str:
    """The class that an attribute's value names; of ticked boxes the first."""
    if isinstance(value, dict):
        ticked = [text_of(name) for name, on in value.items() if on in (True, "true", 1)]
        return ticked[0] if ticked else ""
    return "" if value is None or isinstance(value, list | bool) else text_of(value)


def _place(shape: Mapping[str, Any]) -> tuple[tuple[float, ...], Outline | None]:
    """The box and the outline, None for a rectangle. Raises DataError with the end of a sentence."""
    kind = text_of(shape.get("name") or "")
    if kind == "rect":
        x, y, width, height = _numbers(shape, kind, "x", "y", "width", "height")
        return (x, y, x + width, y + height), None
    if kind == "circle":
        x, y, r = _numbers(shape, kind, "cx", "cy", "r")
        return _ring(x, y, r, r, 0.0)
    if kind == "ellipse":
        x, y, across, down = _numbers(shape, kind, "cx", "cy", "rx", "ry")
        turn = shape.get("theta", 0.0)
        return _ring(x, y, across, down, float(turn) if is_kind(turn, (float,)) else 0.0)
    if kind in ("polygon", "polyline"):
        points = [shape.get(f"all_points_{axis}") for axis in "xy"]
        lists = all(isinstance(p, list) and all(is_kind(v, (float,)) for v in p) for p in points)
        if not lists or len(points[0]) != len(points[1]):  # type: ignore[arg-type]
            raise DataError(f"is a {kind} whose points are no two lists of numbers; it is left out")
        ring = np.array(points, dtype=np.float64).T
        if kind == "polyline" and (len(ring) < 4 or not (ring[0] == ring[-1]).all()):
            raise DataError("is a line that is not closed, which has no area and is left out")
        if len(ring) < 3 or not np.isfinite(ring).all() or np.abs(ring).max() > FAR:
            raise DataError(f"is a {kind} of {len(ring)} points, or of some that are no places; it is left out")  # fmt: skip
        return (*ring.min(0).tolist(), *ring.max(0).tolist()), Polygons((ring,))
    raise DataError(f"is a {shown(kind) or 'shape without a name'}, which has no area and is left out")  # fmt: skip


def _numbers(shape: Mapping[str, Any], kind: str, *names: str) -> list[float]:
    values = [shape.get(name) for name in names]
    if not all(is_kind(v, (float,)) and math.isfinite(v) and abs(v) < FAR for v in values):  # type: ignore[arg-type]
        raise DataError(f"is a {kind} whose {', '.join(names)} are no numbers; it is left out")
    return [float(v) for v in values]  # type: ignore[arg-type]


def _ring(
    x: float, y: float, across: float, down: float, turn: float
) -> tuple[tuple[float, ...], Polygons]:
    at = np.arange(CORNERS) * (2 * math.pi / CORNERS)
    own = np.stack([across * np.cos(at), down * np.sin(at)], 1)
    c, s = math.cos(turn), math.sin(turn)
    wide, high = math.hypot(across * c, down * s), math.hypot(across * s, down * c)
    ring = own @ np.array([[c, s], [-s, c]]) + [x, y]
    return (x - wide, y - high, x + wide, y + high), Polygons((ring,))
