"""Tables of labels: a CSV file with one line an image."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from striate.data.naming import SPLIT_NAMES
from striate.errors import DataError

# Column names in the order in which they are looked for.
FILE = (
    "file_name", "filename", "file", "path", "file_path", "filepath", "image_path", "image_file",
    "image_name", "image", "img", "image_id", "name", "id",
)  # fmt: skip
LABEL = (
    "label", "class", "category", "target", "class_name", "label_name", "category_name", "labels",
    "species", "breed", "diagnosis", "y",
)  # fmt: skip
WIDTH, HEIGHT = ("width", "image_width", "w"), ("height", "image_height", "h")
SPLIT = ("split", "subset", "set", "partition", "dataset")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image: the file as the table names it, its class, and split and size if it says so."""

    file: str
    label: str
    split: str | None
    size: tuple[int, int] | None  # height, width


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The rows of a table, and one sentence on how it was read."""

    rows: tuple[Row, ...]
    note: str


def read_labels(path: Path, *, required: bool = True) -> Labels | None:
    """Read a CSV file (comma, semicolon or tab) whose first line names its columns.

    Returns None if it has no label column and none is `required`. Raises DataError with one
    sentence if the file or a value cannot be understood.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        text = path.read_bytes().decode("latin-1")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    try:
        lines = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise DataError(f"cannot read {path}: {error}; save it as CSV again") from error
    if not lines:
        raise DataError(f"{path} is empty; give it the columns file and label")
    header = [_plain(name) for name in lines[0]]
    file, label = _column(header, FILE), _column(header, LABEL)
    split = _column(header, SPLIT)
    height, width = _column(header, HEIGHT), _column(header, WIDTH)
    if file is not None and label is None:
        rest = [i for i in range(len(header)) if i not in (file, split, height, width)]
        label = rest[0] if len(rest) == 1 else None
    if label is None and not required:
        return None
    if file is None or label is None:
        missing = "file" if file is None else "label"
        raise DataError(
            f"{path} has no {missing} column: its first line reads {', '.join(lines[0])}; "
            "name the columns file and label"
        )
    rows: list[Row] = []
    unlabelled = 0
    for number, line in enumerate(lines[1:], 2):
        name, kind = _cell(line, file), _cell(line, label)
        if not name or not kind:
            unlabelled += 1
            continue
        rows.append(
            Row(
                file=name,
                label=kind,
                split=_split(path, number, _cell(line, split)),
                size=_size(_cell(line, height), _cell(line, width)),
            )
        )
    note = f"{path.name}: column {lines[0][file].strip()} names the file, "
    note += f"column {lines[0][label].strip()} its class"
    if split is not None:
        note += f", column {lines[0][split].strip()} its split"
    if unlabelled:
        note += f"; {unlabelled} lines without a file or class are left out"
    return Labels(rows=tuple(rows), note=note)


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _cell(line: Sequence[str], column: int | None) -> str:
    return line[column].strip() if column is not None and column < len(line) else ""


def _size(height: str, width: str) -> tuple[int, int] | None:
    return (int(height), int(width)) if height.isdecimal() and width.isdecimal() else None


def _split(path: Path, number: int, value: str) -> str | None:
    if not value:
        return None
    if value.casefold() not in SPLIT_NAMES:
        raise DataError(
            f"{path}, line {number}: the split must be train, val or test, got {value!r}"
        )
    return SPLIT_NAMES[value.casefold()]
