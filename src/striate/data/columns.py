"""Columns of a table: which names the file, which the class, and which say something else."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from striate.data.naming import SPLIT_NAMES

# Column names in the order in which they are looked for.
FILE = (
    "file_name", "filename", "file", "path", "file_path", "filepath", "image_path", "image_file",
    "image_name", "image", "img", "image_id", "name", "id", "images", "img_path", "img_name",
    "filenames", "imageid", "imagename", "image_filename", "image_file_name", "picture", "photo", "url",
)  # fmt: skip
LABEL = (
    "label", "class", "category", "target", "class_name", "label_name", "category_name", "labels",
    "species", "breed", "diagnosis", "y", "classname", "labelname", "classes", "categories", "class_label",
    "label_text", "class_id", "classid", "label_id", "labelid", "category_id", "categoryid", "tags", "tag",
)  # fmt: skip
WIDTH, HEIGHT = ("width", "image_width", "w"), ("height", "image_height", "h")
SPLIT = ("split", "subset", "partition", "set", "dataset")
CERTAIN = SPLIT[:3]  # these names mean nothing else, so that a value of another meaning is an error
FLAGS = {
    "is_valid": "val", "is_val": "val", "is_validation": "val", "is_test": "test", "is_train": "train",
    "is_training": "train", "is_training_image": "train",
}  # fmt: skip
INDEX = ("", "index", "#", "row", "nr", "no", "idx", "level_0")
MASKS = (
    "encodedpixels",
    "rle",
    "mask_rle",
    "rle_mask",
    "segmentation",
    "polygon",
    "polygons",
    "mask",
    "mask_path",
)
CORNERS = (
    {"xmin", "ymin", "xmax", "ymax"}, {"x_min", "y_min", "x_max", "y_max"}, {"x1", "y1", "x2", "y2"},
    {"x0", "y0", "x1", "y1"}, {"left", "top", "right", "bottom"}, {"left", "top", "width", "height"},
    {"bbox_x", "bbox_y"}, {"x", "y", "w", "h"}, {"x", "y", "width", "height"}, {"x_center", "y_center"},
    {"roi.x1", "roi.y1"}, {"bbox"}, {"bounding_box"}, {"boxes"}, {"objects"},
)  # fmt: skip
ASKED = 200  # rows that are asked whether a column names files


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Indices of columns; label None where none is one, rest are those of no known meaning. names: the heading as written.

    headed: whether the first row is a heading. boxes: names of columns that place a box.
    """

    names: tuple[str, ...]
    headed: bool
    file: int | None
    label: int | None
    split: int | None
    flag: str | None
    height: int | None
    width: int | None
    rest: tuple[int, ...]
    boxes: tuple[str, ...]
    masks: str | None
    also: int | None = None  # another column of labels, which is not used


def find_columns(
    rows: Sequence[Sequence[str]], holds: Callable[[str], bool], finds: Callable[[str], bool]
) -> Columns:
    """Which column of a table is what.

    holds, finds: whether a value names an image letter by letter, and in any form. A column is known by its heading; where
    that names several files, or none, what stands in it decides.
    """
    first = [plain(name) for name in rows[0]]
    known = set(first) & {*FILE, *LABEL}
    headed = not any(holds(cell) for cell in rows[0] if cell) or len(known) > 1
    body = rows[1:] if headed else rows
    names = tuple(rows[0]) if headed else tuple(f"{i + 1}" for i in range(len(rows[0])))
    header = first if headed else [""] * len(first)
    at = np.random.default_rng(0).permutation(len(body))[:ASKED].tolist()

    def share(column: int, ask: Callable[[str], bool]) -> float:
        return sum(ask(cell(body[i], column)) for i in at) / max(len(at), 1)

    file = _file(header, share, holds, finds)
    label = next(
        (i for name in LABEL for i, h in enumerate(header) if h == name and i != file), None
    )
    split, flag = _split(header, body)
    height, width = _named(header, HEIGHT), _named(header, WIDTH)
    boxes = tuple(names[i] for i in _boxes(header))
    taken = {file, label, split, height, width, *_boxes(header)}
    rest = tuple(
        i
        for i in range(len(header))
        if i not in taken and not _is_index(header[i], body, i, headed)
    )
    also = None
    if label is not None:
        also, label = _other_label(header, body, label, file)
    elif (
        file is not None
        and len(rest) == 1
        and header[rest[0]] not in MASKS
        and not (boxes and not headed)
    ):
        label = rest[0]
    masks = next((names[i] for i, name in enumerate(header) if name in MASKS and i != label), None)
    return Columns(
        names=names, headed=headed, file=file, label=label, split=split, flag=flag, height=height, width=width,
        rest=rest, boxes=boxes, masks=masks, also=also,
    )  # fmt: skip


def plain(name: str) -> str:
    """A heading in lower case, with one underscore for blanks and hyphens."""
    return re.sub(r"[\s\-]+", "_", name.strip().strip("#").strip().casefold())


def cell(row: Sequence[str], column: int | None) -> str:
    """A cell, empty where a row is shorter."""
    return row[column] if column is not None and column < len(row) else ""


def _named(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _file(
    header: Sequence[str],
    share: Callable[[int, Callable[[str], bool]], float],
    holds: Callable[[str], bool],
    finds: Callable[[str], bool],
) -> int | None:
    named = [header.index(name) for name in FILE if name in header]
    for column in named:
        if share(column, finds) >= 0.5:
            return column
    # By its content a column must name files in full: a class "1" is no file 1.png.
    shares = [share(column, holds) for column in range(len(header))]
    if shares and max(shares) > 0.5:
        return int(np.argmax(shares))
    return named[0] if named else None


def _split(header: Sequence[str], body: Sequence[Sequence[str]]) -> tuple[int | None, str | None]:
    for name in SPLIT:
        if name in header:
            column = header.index(name)
            values = {cell(row, column).casefold() for row in body} - {""}
            if name in CERTAIN or values & SPLIT_NAMES.keys():
                return column, None
    for name, meaning in FLAGS.items():
        if name in header:
            return header.index(name), meaning
    return None, None


def _boxes(header: Sequence[str]) -> tuple[int, ...]:
    for corners in CORNERS:
        if corners <= set(header):
            return tuple(i for i, name in enumerate(header) if name in corners)
    return ()


def _is_index(name: str, body: Sequence[Sequence[str]], column: int, headed: bool) -> bool:
    """A column without a meaning of its own: numbered rows, as spreadsheets and pandas write them."""
    if not (name in INDEX or name.startswith("unnamed")):
        return False
    if headed and name not in ("", "#"):
        return True
    numbers = [cell(row, column) for row in body]
    return not any(numbers) or any(
        numbers == [str(i + k) for i in range(len(body))] for k in (0, 1)
    )


def _other_label(
    header: Sequence[str], body: Sequence[Sequence[str]], label: int, file: int | None
) -> tuple[int | None, int]:
    """Another column of labels, and the one to use: names rather than the numbers that stand for them."""
    for other in (i for i, name in enumerate(header) if name in LABEL and i not in (label, file)):
        pairs = {(cell(row, label), cell(row, other)) for row in body}
        one_to_one = len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        if (
            one_to_one
            and all(a.isdecimal() for a, _ in pairs)
            and not any(b.isdecimal() for _, b in pairs)
        ):
            return label, other
        return other, label
    return None, label
