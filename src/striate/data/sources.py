"""The table of sources, and the one door to all of them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.data.digits import open_digits
from striate.data.fashion import open_fashion
from striate.data.folder import Encode, open_folder
from striate.data.lines import open_lines
from striate.data.listed import table_of_sources
from striate.data.manifest import is_manifest
from striate.data.manifest_source import source_of_manifest
from striate.data.own import given_again, is_given
from striate.data.place import data_path
from striate.data.reading import SUFFIXES
from striate.data.records import Progress
from striate.data.source import Source
from striate.data.table import SUFFIXES as TABLES
from striate.errors import DataError, UsageError
from striate.files import is_regular, is_there
from striate.findings import Finding
from striate.plugins import Table
from striate.ranges import check_ranges
from striate.wording import in_quotes

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A named source: what opens it, what it is, and whether it takes a count and a size."""

    open: Callable[..., Source]
    about: str
    generated: bool = False


_OWN: dict[str, Entry] = {
    "digits": Entry(
        open=open_digits, about="1,797 handwritten digits, 8 x 8 grey, that scikit-learn carries"
    ),
    "lines": Entry(
        open=open_lines,
        about="vertical against horizontal lines, 64 x 64 grey, as many as you like (lecture 003)",
        generated=True,
    ),
    "fashion-mnist": Entry(
        open=open_fashion, about="60,000 + 10,000 pictures of clothes, 28 x 28 grey, ten classes"
    ),
}


def _plugged(name: str, opened: Any) -> Entry:
    """A plug-in's row: an Entry, or a function (seed=, val=, test=) -> Source."""
    if isinstance(opened, Entry):
        return opened
    if not callable(opened):
        raise UsageError(f"a source is a function that opens one, got {type(opened).__name__}")
    about = (getattr(opened, "__doc__", None) or "").strip().partition("\n")[0]
    return Entry(open=opened, about=about or "a plug-in")


SOURCES: Table[Entry] = Table("striate.sources", _OWN, _plugged)


def open_source(
    data: str | Path,
    *,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    count: int | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    outside: bool = False,
    encode: Encode | None = None,
) -> Source:
    """Open a named source, a folder of images or a table of labels, split into train, validation and test.

    seed: decides the split, and the images of a generated source.
    val, test: shares of the images; None chooses, a split that the source has itself is kept.
    count, size: how many images, of how many pixels a side; only for generated sources.
    progress: called with (files done, files in all) while a folder is read.
    outside: whether a table may name files that do not lie in its folder.
    encode: what a task makes of the classes that a folder or a table gives; see `open_folder`.
    Raises UsageError for an unknown name or wrong number, DataError if the images cannot be used.
    """
    check_ranges(seed=seed, val=val, test=test, count=count, size=size)
    if isinstance(data, str) and is_given(data):
        return given_again(data)  # type: ignore[no-any-return]
    if isinstance(data, str) and data in SOURCES:
        entry = SOURCES[data]
        more = {k: v for k, v in (("count", count), ("size", size)) if v is not None}
        if more and not entry.generated:
            raise UsageError(f"{' and '.join(more)} cannot be chosen for {data}; leave it out")
        return entry.open(seed=seed, val=val, test=test, **more)
    path = data_path(data)
    if count is not None or size is not None:
        raise UsageError("count and size are for generated sources; leave them out for a folder")
    if not is_there(path):
        raise UsageError(_unknown(data))
    if is_manifest(path):
        if encode is not None:
            raise DataError(
                f"{path} is a manifest, which holds one class an image; give the folder or the table"
            )
        return source_of_manifest(path, seed=seed, val=val, test=test)
    if path.suffix.lower() in TABLES and is_regular(path):
        return open_folder(
            path.parent, seed=seed, val=val, test=test, progress=progress, table=path.name, outside=outside,
            encode=encode,
        )  # fmt: skip
    if is_regular(path):
        raise DataError(_file(path))
    return open_folder(
        path, seed=seed, val=val, test=test, progress=progress, outside=outside, encode=encode
    )


def _unknown(data: str | Path) -> str:
    text = str(data)
    close = difflib.get_close_matches(text, SOURCES, n=1, cutoff=0.6)
    hint = (
        f"did you mean {close[0]}?" if close else f"give a folder, or one of {', '.join(SOURCES)}"
    )
    return f"there is no folder or source {in_quotes(text)}; {hint}"


def _file(path: Path) -> str:
    name = path.name.lower()
    if any(name.endswith(suffix) for suffix in SUFFIXES):
        return f"{path} is an image; give the folder that holds the classes, or use striate predict"
    if any(name.endswith(suffix) for suffix in ARCHIVES):
        return f"{path} is an archive; unpack it and give the folder"
    return f"{path} is a file; give the folder that holds the images, each class in its own folder"


def list_sources(more: Mapping[str, str] | None = None) -> Finding:
    """The table of sources as a Finding. more: name -> what it is, of sources that a task adds."""
    known = {name: entry.about for name, entry in SOURCES.items()} | dict(more or {})
    return table_of_sources(known)
