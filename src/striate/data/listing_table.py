"""A table with a heading that lists images: what stands in one of its columns, by image."""

from __future__ import annotations

from pathlib import Path

from striate.data.columns import cell, find_columns
from striate.data.finder import Finder
from striate.data.table import SUFFIXES, Table, read_table
from striate.data.tree import grow
from striate.errors import DataError, UsageError
from striate.wording import as_text, in_quotes


def open_listing(path: Path, root: Path) -> tuple[Table, int, Finder]:
    """A table with a heading, the column that names files, and what finds them below `root`. Raises DataError."""
    table = read_table(path)
    if len(table.rows) < 2:
        raise DataError(f"{path} holds no line below its heading; give it a line an image")
    place = path.resolve().parent
    base = place.relative_to(root.resolve()).parts if place.is_relative_to(root.resolve()) else ()
    finder = Finder(root, (*base, path.name), grow(root).images)
    columns = find_columns(
        table.rows, finder.holds, lambda value: not isinstance(finder.find(value), str)
    )
    if columns.file is None or not columns.headed:
        missing = "names files" if columns.headed else "is a heading"
        raise DataError(
            f"nothing in the first line of {path} {missing}: {', '.join(table.rows[0])}; name the columns file and name"
        )
    return table, columns.file, finder


def column_of(path: Path, root: Path, name: str) -> dict[str, str]:
    """A column of a table by image: key below `root` to text. Raises DataError for a column that is not there."""
    table, file, finder = open_listing(path, root)
    if name not in table.rows[0]:
        raise DataError(
            f"{path} has no column {in_quotes(name)}; it has {', '.join(table.rows[0])}"
        )
    at, found = table.rows[0].index(name), {}
    for row in table.rows[1:]:
        parts = finder.find(cell(row, file))
        if not isinstance(parts, str):
            found["/".join(parts)] = as_text(cell(row, at))
    return found


def the_listing(data: Path, what: str) -> Path:
    """The table that is `data`, or the only one in that folder. what: the option that names a column of it. Raises
    UsageError."""
    if data.is_dir():
        tables = [t for t in grow(data).files if t[-1].lower().endswith((".csv", ".tsv"))]
        if len(tables) != 1:
            raise UsageError(
                f"{what} names a column of the table of names, and {data} holds {len(tables)} tables; give the table itself"
            )
        return data.joinpath(*tables[0])
    if data.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{what} names a column of a table, and {data} is none; give the table")
    return data
