"""The table of sources, and the one door to all of them."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from striate.data.digits import open_digits
from striate.data.folder import open_folder
from striate.data.records import Progress
from striate.data.source import Source
from striate.errors import DataError, UsageError


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A named source: what opens it, what it is, and whether it takes a count and a size."""

    open: Callable[..., Source]
    about: str
    generated: bool = False


SOURCES: dict[str, Entry] = {
    "digits": Entry(
        open=open_digits, about="1,797 handwritten digits, 8 x 8 grey, that scikit-learn carries"
    ),
}


def open_source(
    data: str | Path,
    *,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    count: int | None = None,
    size: int | None = None,
    progress: Progress | None = None,
) -> Source:
    """Open a named source or a folder of images, split into train, validation and test.

    seed: decides the split, and the images of a generated source.
    val, test: shares of the images; None chooses, a split that the source has itself is kept.
    count, size: how many images, of how many pixels a side; only for generated sources.
    progress: called with (files done, files in all) while a folder is read.
    Raises UsageError for an unknown name or wrong number, DataError if the images cannot be used.
    """
    if isinstance(data, str) and data in SOURCES:
        entry = SOURCES[data]
        more = {k: v for k, v in (("count", count), ("size", size)) if v is not None}
        if more and not entry.generated:
            raise UsageError(f"{' and '.join(more)} cannot be chosen for {data}; leave it out")
        return entry.open(seed=seed, val=val, test=test, **more)
    path = Path(data).expanduser()
    if count is not None or size is not None:
        raise UsageError("count and size are for generated sources; leave them out for a folder")
    if not path.exists():
        raise UsageError(_unknown(data))
    if path.is_file():
        raise DataError(_file(path))
    return open_folder(path, seed=seed, val=val, test=test, progress=progress)


def _unknown(data: str | Path) -> str:
    text = str(data)
    close = difflib.get_close_matches(text, SOURCES, n=1, cutoff=0.6)
    hint = (
        f"did you mean {close[0]}?" if close else f"give a folder, or one of {', '.join(SOURCES)}"
    )
    return f"there is no folder or source {text!r}; {hint}"


def _file(path: Path) -> str:
    return f"{path} is a file; give the folder that holds the images, each class in its own folder"
