"""Tables of labels: one class an image, by one line an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from striate.data.columns import Columns, cell, find_columns
from striate.data.finder import Finder
from striate.data.kinds import ONE_CLASS, kind_of
from striate.data.naming import SPLIT_NAMES, normal
from striate.data.source import Damage
from striate.data.table import Table, read_table
from striate.errors import DataError

YES, NO = frozenset({"true", "1", "1.0", "yes"}), frozenset({"false", "0", "0.0", "no", ""})


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image: the file as the table names it, its class, and split and size if it says so."""

    file: str
    label: str
    split: str | None
    size: tuple[int, int] | None  # height, width


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The rows of a table, a sentence on how it was read, and further ones on what was assumed.

    left: rows that were left out, and why. merge: what two lines of one image give together; None where they clash.
    word: a row's label as a person reads it. once: why
    lines of one image must not differ; clash: what to do where many do.
    """

    rows: tuple[Row, ...]
    note: str
    remarks: tuple[str, ...] = ()
    left: tuple[Damage, ...] = ()
    merge: Callable[[str, str], str] | None = None
    word: Callable[[str], str] = str
    once: str = "one image has one class"
    clash: str = f"{ONE_CLASS}: keep one line an image"


@dataclass(frozen=True, kw_only=True)
class Useless:
    """Why a table gives no classes, as the end of a sentence that begins with its name, more of it, and what to do."""

    why: str
    detail: str = ""
    remedy: str = ""


def read_labels(path: Path, finder: Finder) -> Labels | Useless:
    """Read a table of labels, or say why it is none.

    Raises DataError with one sentence if the file or a value cannot be understood.
    """
    table = read_table(path)
    if not table.rows:
        raise DataError(f"{path} is empty; give it the columns file and label")
    columns = find_columns(
        table.rows, finder.holds, lambda value: not isinstance(finder.find(value), str)
    )
    finder.lenient.clear()
    body = table.rows[1:] if columns.headed else table.rows
    if refused := _not_classes(columns, body):
        return refused
    if columns.file is None or columns.label is None:
        hot = _one_hot(columns, body)
        if isinstance(hot, Useless):
            return hot
        if hot is None:
            missing = "file" if columns.file is None else "label"
            return Useless(
                why=f"has no {missing} column",
                detail=f": its first line reads {', '.join(table.rows[0])}",
                remedy="name the columns file and label",
            )
        texts, how = hot, f"columns {', '.join(columns.names[i] for i in columns.rest[:3])}"
        how += f"{', ...' if len(columns.rest) > 3 else ''} hold 1 for its class"
    else:
        texts = [cell(row, columns.label) for row in body]
        how = f"column {columns.names[columns.label]} its class"
    return _labels(path, table, columns, body, texts, how)


def _labels(
    path: Path, table: Table, columns: Columns, body: Sequence[Sequence[str]], texts: list[str], how: str
) -> Labels | Useless:  # fmt: skip
    at = [i for i, row in enumerate(body) if cell(row, columns.file) and texts[i]]
    name = columns.names[columns.label] if columns.label is not None else ""
    kind = kind_of([texts[i] for i in at], name)
    if kind.why_not:
        return Useless(why=kind.why_not, remedy=kind.remedy)
    rows: list[Row] = []
    skip = len(table.rows) - len(body)
    for i, label in zip(at, kind.classes, strict=True):
        if label is None:
            continue
        row = body[i]
        rows.append(
            Row(
                file=cell(row, columns.file),
                label=normal(label),
                split=split_of(path, table.lines[i + skip], columns, row),
                size=size_of(cell(row, columns.height), cell(row, columns.width)),
            )
        )
    assert columns.file is not None
    note = f"{path.name}: column {columns.names[columns.file]} names the file, {how}"
    if columns.split is not None:
        note += f", column {columns.names[columns.split]} its split"
    if not columns.headed:
        note = f"{path.name} has no heading: {note.removeprefix(f'{path.name}: ')}"
    if len(at) < len(body):
        note += f"; {len(body) - len(at)} lines without a file or class are left out"
    remarks = [*table.remarks, *(f"{path.name}: {text}" for text in kind.notes)]
    if columns.also is not None:
        remarks.append(f"{path.name}: column {columns.names[columns.also]} is not used")
    if columns.boxes:
        remarks.append(
            f"{path.name}: the boxes in {', '.join(columns.boxes)} are not used; the whole image has the class"
        )
    return Labels(rows=tuple(rows), note=note, remarks=tuple(remarks))


def _not_classes(columns: Columns, body: Sequence[Sequence[str]]) -> Useless | None:
    """Tables of objects or masks."""
    files = Counter(cell(row, columns.file) for row in body)
    if columns.boxes and (columns.label is None or max(files.values(), default=0) > 1):
        return Useless(
            why=f"holds boxes of objects ({', '.join(columns.boxes)})",
            remedy=f"{ONE_CLASS}, or a mask: give one line an image with the columns file and label, or masks as files",
        )
    if columns.masks is not None and (columns.label is None or max(files.values(), default=0) > 1):
        return Useless(
            why=f"holds masks (column {columns.masks})",
            remedy="save the masks as files: images/ and masks/ side by side, a mask of the same name for each image",
        )
    return None


def _one_hot(columns: Columns, body: Sequence[Sequence[str]]) -> list[str] | Useless | None:
    """The class of each row where each has a column of zeros and ones; None where the columns are no such."""
    if columns.file is None or not columns.headed or len(columns.rest) < 2:
        return None
    zero, one = {"0", "0.0", "false", "-1", ""}, {"1", "1.0", "true", "x"}
    texts: list[str] = []
    most = 0
    for row in body:
        values = [cell(row, i).casefold() for i in columns.rest]
        if not set(values) <= zero | one:
            return None
        hot = [i for i, value in zip(columns.rest, values, strict=True) if value in one]
        most = max(most, len(hot))
        texts.append(columns.names[hot[0]] if hot else "")
    if most > 1:
        some = ", ".join(columns.names[i] for i in columns.rest[:3])
        return Useless(
            why=f"gives images several labels: 1 in more than one of the columns {some}",
            remedy=f"{ONE_CLASS}: write the columns file and label",
        )
    return texts if most else None


def size_of(height: str, width: str) -> tuple[int, int] | None:
    """Height and width that a table states."""
    known = all(side.isdecimal() and len(side) < 10 for side in (height, width))
    return (int(height), int(width)) if known else None


def split_of(path: Path, number: int, columns: Columns, row: Sequence[str]) -> str | None:
    """The split that a row names. Raises DataError for a word that names none."""
    value = cell(row, columns.split).casefold()
    if columns.split is None:
        return None
    if columns.flag is not None:
        if value in NO:
            return None if columns.flag != "train" else "test"
        if value in YES:
            return columns.flag
        raise DataError(
            f"{path}, line {number}: {columns.names[columns.split]} must be true or false, got {value!r}"
        )
    if not value:
        return None
    if value not in SPLIT_NAMES:
        raise DataError(
            f"{path}, line {number}: the split must be train, val or test, "
            f"got {cell(row, columns.split)!r}"
        )
    return SPLIT_NAMES[value]
