"""Groups: what a column of the table of identities says of each image, such as the camera, the place or the light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from striate.data import SOURCES, Source
from striate.data.listing_table import column_of, the_listing
from striate.errors import DataError, UsageError
from striate.paths import given_path
from striate.tasks.embed import glyphs

SETTING = "--set group="


@dataclass(frozen=True, kw_only=True)
class GroupedSource(Source):
    """Images whose groups are known. groups: by key, "" where the table says nothing. column: that names them."""

    groups: Mapping[str, str] = field(default_factory=dict)
    column: str = ""


def grouped(source: Source, data: str, column: str) -> GroupedSource:
    """A source with the groups that a column of its table gives. data: the table, or a folder that holds it.

    Raises UsageError where there is no such table, DataError where it has no such column or says nothing of any image.
    """
    if data in SOURCES or data == glyphs.NAME:
        raise UsageError(
            f"{SETTING}{column} names a column of a table of images, and {data} has none; leave it out"
        )
    path = given_path(data, "the data")
    table = the_listing(path, SETTING)
    known = column_of(table, path if path.is_dir() else path.parent, column)
    keys = [str(key) for split in source.splits.values() for key in split.keys]
    groups = {key: known.get(key, "") for key in keys}
    if not any(groups.values()):
        raise DataError(
            f"the column {column!r} of {table} says nothing of the images that are used; fill it in, or leave {SETTING}"
            f"{column} out"
        )
    rest = {f.name: getattr(source, f.name) for f in fields(source)}
    return GroupedSource(**rest, groups=groups, column=column)


def groups_of(source: Source, keys: Sequence[str]) -> tuple[str, list[str]] | None:
    """The column, and the group of each image by its key; None where none is known."""
    if not isinstance(source, GroupedSource):
        return None
    return source.column, [source.groups.get(key, "") for key in keys]
