"""A table of boxes: a line an object, its file, its place in any of the usual ways, and its class."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.data.columns import FILE, LABEL, SPLIT, cell, plain
from striate.data.naming import SPLIT_NAMES
from striate.data.source import Damage
from striate.data.table import decoded, read_table
from striate.data.tree import Parts, Tree
from striate.errors import DataError
from striate.files import open_regular
from striate.images import SUFFIXES
from striate.tasks.detect.data.annotations import Annotations, ClassNames, Draft, fault, joined
from striate.wording import one_line

FORMAT = "a table of boxes"
HEAD = 2**16  # bytes by which a table is recognised
LOOKED_AT = 10  # tables
# How four columns place a box -> their names, in the order in which they are looked for.
CORNERS, SIDES, CENTRE = (
    "left, top, right, bottom",
    "left, top, width, height",
    "centre x, centre y, width, height",
)
PLACES: tuple[tuple[str, tuple[str, str, str, str]], ...] = (
    (CORNERS, ("xmin", "ymin", "xmax", "ymax")),
    (CORNERS, ("x_min", "y_min", "x_max", "y_max")),
    (CORNERS, ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax")),
    (CORNERS, ("x0", "y0", "x1", "y1")),
    (CORNERS, ("x1", "y1", "x2", "y2")),
    (CORNERS, ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")),
    (CORNERS, ("roi.x1", "roi.y1", "roi.x2", "roi.y2")),
    (CORNERS, ("left", "top", "right", "bottom")),
    (SIDES, ("left", "top", "width", "height")),
    (SIDES, ("bbox_x", "bbox_y", "bbox_width", "bbox_height")),
    (SIDES, ("bbox_left", "bbox_top", "bbox_width", "bbox_height")),
    (SIDES, ("x", "y", "w", "h")),
    (SIDES, ("x", "y", "width", "height")),
    (CENTRE, ("x_center", "y_center", "width", "height")),
    (CENTRE, ("x_centre", "y_centre", "width", "height")),
    (CENTRE, ("xcenter", "ycenter", "width", "height")),
    (CENTRE, ("x_center", "y_center", "w", "h")),
    (CENTRE, ("center_x", "center_y", "width", "height")),
    (CENTRE, ("cx", "cy", "w", "h")),
    (CENTRE, ("cx", "cy", "width", "height")),
    (CENTRE, ("xc", "yc", "w", "h")),
)
ONE = ("bbox", "box", "bounding_box", "boxes")  # a column that holds all four numbers
CROWD = ("iscrowd", "is_crowd", "difficult", "isgroupof", "is_group_of", "crowd")
WIDTHS, HEIGHTS = ("image_width", "img_width", "width"), ("image_height", "img_height", "height")


@dataclass(frozen=True, kw_only=True)
class Places:
    """Which column holds what. box: four, or one that holds all. headed: whether the first row is a heading."""

    file: int
    label: int | None
    box: tuple[int, ...]
    kind: str
    split: int | None = None
    crowd: int | None = None
    size: tuple[int, int] | None = None
    headed: bool = True


def find_tables_of_boxes(root: Path, tree: Tree) -> list[Parts]:
    """The tables of a folder whose columns place boxes; of train.csv and its like all, else the first."""
    files = [p for p in tree.files if p[-1].lower().endswith((".csv", ".tsv"))]
    found = [p for p in files[:LOOKED_AT] if is_table_of_boxes(root.joinpath(*p))]
    splits = [p for p in found if _split_word(p) is not None]
    return splits if len(splits) > 1 else found[:1]


def is_table_of_boxes(path: Path) -> bool:
    """Whether a table's columns place boxes, by its beginning."""
    rows = _head(path)
    return bool(rows) and places_of(rows) is not None


def claims(root: Path, files: Sequence[Parts]) -> bool:
    """Whether a table can be of boxes alone: several lines name one file, or no column names classes.

    One line an image may as well give the whole image a class.
    """
    rows = _head(root.joinpath(*files[0]))
    places = places_of(rows) if rows else None
    if places is None:
        return False
    names = [cell(row, places.file) for row in rows[places.headed :]]
    return places.label is None or len(set(names)) < len(names)


def _head(path: Path) -> list[list[str]]:
    if path.suffix.lower() not in (".csv", ".tsv"):
        return []
    try:
        with open_regular(path) as file:
            data = file.read(HEAD + 1)
    except OSError:
        return []
    text, _ = decoded(data)
    lines = text.splitlines()[: -1 if len(data) > HEAD else None]
    if not lines:
        return []
    separator = max(",;\t|", key=lines[0].count)
    try:
        return [
            [c.strip() for c in row]
            for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=separator)
            if row
        ]
    except csv.Error:
        return []


def places_of(rows: Sequence[Sequence[str]]) -> Places | None:
    """Which column is what, by the heading; without one, a file, four numbers and perhaps a class."""
    header = [plain(name) for name in rows[0]]
    at = {name: i for i, name in reversed(list(enumerate(header)))}
    for kind, names in PLACES:
        if all(name in at for name in names):
            return _headed(header, at, tuple(at[name] for name in names), kind)
    for name in ONE:
        if name in at:
            return _headed(header, at, (at[name],), SIDES)
    return _headless(rows)


def _headed(
    header: Sequence[str], at: dict[str, int], box: tuple[int, ...], kind: str
) -> Places | None:
    file = next((at[n] for n in FILE if n in at and at[n] not in box), None)
    if file is None:
        return None
    label = next((at[n] for n in LABEL if n in at and at[n] not in (*box, file)), None)
    size = [
        next((at[n] for n in names if n in at and at[n] not in box), None)
        for names in (HEIGHTS, WIDTHS)
    ]
    return Places(
        file=file, label=label, box=box, kind=kind,
        split=next((at[n] for n in SPLIT if n in at), None),
        crowd=next((at[n] for n in CROWD if n in at), None),
        size=None if None in size else (size[0], size[1]),  # type: ignore[arg-type]
    )  # fmt: skip


def _headless(rows: Sequence[Sequence[str]]) -> Places | None:
    """path, x1, y1, x2, y2, class, as Keras's RetinaNet reads it; a line with the path alone is background."""
    some = [row for row in rows[:200] if len(row) >= 5 and all(_is_number(c) for c in row[1:5])]
    if not some or len(some) < len([r for r in rows[:200] if any(r[1:5])]) / 2:
        return None
    # A first row that names no image is a heading, of columns that place no boxes.
    if not all(row[0].lower().endswith(tuple(SUFFIXES)) for row in [rows[0], *some]):
        return None
    numbers = np.array([[float(c) for c in row[1:5]] for row in some])
    if np.isin(numbers, (0, 1)).all():
        return None  # yes and no of four tags
    ordered = bool((numbers[:, 2:] > numbers[:, :2]).all())
    label = 5 if len(some[0]) > 5 else None
    return Places(
        file=0, label=label, box=(1, 2, 3, 4), kind=CORNERS if ordered else SIDES, headed=False
    )


def read_tables_of_boxes(root: Path, files: Sequence[Parts]) -> Annotations:
    """Read the tables. Raises DataError for one that cannot be read or whose columns place no boxes."""
    classes = ClassNames()
    drafts: dict[tuple[str, str | None], Draft] = {}
    faults: list[Damage] = []
    notes: list[str] = []
    for parts in files:
        path = root.joinpath(*parts)
        table = read_table(path)
        places = places_of(table.rows) if table.rows else None
        if places is None:
            raise DataError(
                f"{path} has no columns that place boxes; name them file, x, y, w, h and label, or file, xmin, "
                "ymin, xmax, ymax and label"
            )
        notes += table.remarks
        _rows(
            table.rows[places.headed :],
            table.lines[places.headed :],
            parts,
            places,
            len(files) > 1,
            classes,
            drafts,
            faults,
        )
        how = "columns" if len(places.box) == 4 else "column"
        named = ", ".join(table.rows[0][i] for i in places.box) if places.headed else "2 to 5"
        notes.append(
            f"{path.name}: {how} {named} {'hold' if len(places.box) == 4 else 'holds'} {places.kind}"
        )
        if places.label is None:
            notes.append(f"{path.name} names no classes, so all objects are of one")
    boxes = np.concatenate(
        [np.array(d.boxes).reshape(-1, 4) for d in drafts.values()] or [np.empty((0, 4))]
    )
    known = boxes[np.isfinite(boxes).all(1)]
    shares = bool(len(known)) and known.max() <= 1.0 + 1e-6 and bool((known % 1 != 0).any())
    notes.append(
        "numbers up to 1 are shares of the image's sides"
        if shares
        else "numbers are pixels, from 0"
    )
    for draft in drafts.values():
        draft.shares = shares
    return Annotations(
        format=FORMAT, classes=classes.names, images=tuple(d.done() for d in drafts.values()), files=tuple(files),
        faults=tuple(faults), notes=tuple(notes),
    ).sorted()  # fmt: skip


def _rows(
    rows: Sequence[Sequence[str]], lines: Sequence[int], parts: Parts, places: Places, several: bool, classes: ClassNames,
    drafts: dict[tuple[str, str | None], Draft], faults: list[Damage],
) -> None:  # fmt: skip
    for row, line in zip(rows, lines, strict=True):
        where = f"{joined(parts)}, line {line}"
        name = cell(row, places.file)
        if not name:
            faults.append(fault(where, "it names no file"))
            continue
        split = (
            SPLIT_NAMES.get(cell(row, places.split).casefold())
            if places.split is not None
            else None
        )
        if several and split is None:
            split = _split_word(parts)
        draft = drafts.setdefault((name, split), Draft(name, parts[:-1], split=split))
        if places.size is not None:
            height, width = (_number(cell(row, i)) for i in places.size)
            if height >= 1 and width >= 1 and max(height, width) < 2**31:
                draft.size = int(height), int(width)
        box = _box(row, places)
        if box is None:  # background
            continue
        label = cell(row, places.label) if places.label is not None else "object"
        if not label:
            faults.append(
                fault(one_line(name), f"line {line} of {parts[-1]} has a box and no class")
            )
            continue
        crowd = cell(row, places.crowd).casefold() in ("1", "1.0", "true", "yes")
        draft.add(classes.number(label), box, crowd=crowd)


def _box(row: Sequence[str], places: Places) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom, NaN for what is no number; None where nothing is written."""
    if len(places.box) == 1:
        text = cell(row, places.box[0])
        cells = re.findall(r"[^\s,;\[\](){}]+", text)
        if not cells or text.casefold() in ("nan", "none", "null", "[]"):
            return None
        numbers = [_number(c) for c in cells]
        if len(numbers) != 4:
            return (math.nan,) * 3 + (0.0,)
    else:
        cells = [cell(row, i) for i in places.box]
        if not any(cells) or all(c.casefold() in ("nan", "") for c in cells):
            return None
        numbers = [_number(c) for c in cells]
    x, y, a, b = numbers
    if places.kind == CORNERS:
        return x, y, a, b
    return (x, y, x + a, y + b) if places.kind == SIDES else (x - a / 2, y - b / 2, x + a / 2, y + b / 2)  # fmt: skip


def _split_word(parts: Parts) -> str | None:
    words = re.split(r"[_\-. ]", parts[-1].casefold())
    return next((SPLIT_NAMES[w] for w in words if w in SPLIT_NAMES), None)


def _is_number(text: str) -> bool:
    return not math.isnan(_number(text))


def _number(text: str) -> float:
    try:
        return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        return math.nan
