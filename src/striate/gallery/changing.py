"""Changing: one process at a time writes into a gallery, and whatever ends it leaves the gallery as it was or as it is to
be.

Parts are files of their own under names that their contents give. What counts is `gallery.json`, which takes the place of
the old one in one step when all its parts are there. A part that it does not name is a leftover, which the next change
deletes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from striate.errors import UsageError
from striate.gallery.document import FILE, PART, read_document, written
from striate.gallery.gallery import Gallery, open_parts
from striate.gallery.part import Part, Rows, encoded, rows_at_once
from striate.writing import held, sweep, write_atomically

SMALL = 4096  # rows; a last part with fewer is written again with what is added, so that parts do not become many


class Change:
    """A gallery that this process alone writes. before: as it was, None for a new one. parts: of the document to come."""

    def __init__(self, path: Path, before: Gallery | None) -> None:
        self.path, self.before = path, before
        self.parts: list[dict[str, Any]] = [*before.document["parts"]] if before else []
        self._waiting: list[Rows] = []
        self._count = 0

    def add(self, rows: Rows) -> None:
        """Enrol some images; a part is written as soon as there is enough for one."""
        if not self._count and self.before is not None and self.parts and not self._waiting:
            last = self.before.parts[-1]
            if len(last) < SMALL and self.parts[-1] == self.before.document["parts"][-1]:
                self.parts.pop()
                self._waiting.append(last.rows(np.arange(len(last))))
                self._count = len(last)
        self._waiting.append(rows)
        self._count += len(rows)
        if self._count >= rows_at_once(rows.vectors.shape[1]):
            self.flush()

    def flush(self) -> None:
        """Write what waits as parts."""
        if not self._count:
            return
        whole = _together(self._waiting)
        self._waiting, self._count = [], 0
        step = rows_at_once(whole.vectors.shape[1])
        for start in range(0, len(whole), step):
            self.parts.append(self.write(_cut(whole, start, start + step)))

    def write(self, rows: Rows) -> dict[str, Any]:
        """Write a part; its entry in the document."""
        data = encoded(rows)
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"part-{sha256[:16]}.safetensors"
        write_atomically(self.path / name, data)
        return {"file": name, "rows": len(rows), "sha256": sha256}

    def opened(self, document: Mapping[str, Any]) -> Gallery:
        """The gallery as the document to come has it."""
        return Gallery(self.path, document, open_parts(self.path, document, check=False))

    def commit(self, document: Mapping[str, Any]) -> None:
        """Put the document in the place of the old one, and delete the parts that it does not name."""
        write_atomically(self.path / FILE, written(document))
        _clear(self.path)


@contextlib.contextmanager
def changing(path: Path, *, new: bool = False) -> Iterator[Change]:
    """Change a gallery for the duration of a `with`. new: make the folder where there is none.

    Raises WriteError while another process changes it, UsageError where there is no gallery and none is to be made, or the
    folder holds something else, GalleryError where it was altered.
    """
    made = new and not os.path.lexists(path)
    if made:
        path.mkdir(parents=True, exist_ok=True)
    elif not path.is_dir():
        Gallery.open(path)  # says what is wrong
    elif not (path / FILE).exists() and not _is_free(path):
        if new:
            raise UsageError(
                f"{path} holds something else than a gallery ({', '.join(sorted(os.listdir(path))[:3])}); give "
                "another name, and a folder of its own is made"
            )
        Gallery.open(path)
    try:
        with held(path / FILE):
            there = (path / FILE).exists()
            if not there and not new:
                Gallery.open(path)
            change = Change(path, Gallery.open(path) if there else None)
            _clear(path)
            try:
                yield change
            finally:
                _clear(path)
    finally:
        if made:
            with contextlib.suppress(OSError):
                path.rmdir()  # where nothing was made


def _is_free(path: Path) -> bool:
    """Whether a folder holds nothing but leftovers of an enrolment that was stopped."""
    return all(
        PART.fullmatch(n) or (n.startswith(".striate-") and n.endswith(".part"))
        for n in os.listdir(path)
    )


def _clear(path: Path) -> None:
    """Delete what belongs to no document: parts that it does not name, and what a killed process left."""
    try:
        named = {part["file"] for part in read_document(path)["parts"]}
    except FileNotFoundError:
        named = set()
    sweep(path, again=True)
    for name in os.listdir(path):
        if PART.fullmatch(name) and name not in named:
            with contextlib.suppress(OSError):
                (path / name).unlink()


def _together(several: list[Rows]) -> Rows:
    return Rows(
        vectors=np.concatenate([rows.vectors for rows in several]),
        contents=[x for rows in several for x in rows.contents], names=[x for rows in several for x in rows.names],
        paths=[x for rows in several for x in rows.paths], groups=[x for rows in several for x in rows.groups],
    )  # fmt: skip


def _cut(rows: Rows, start: int, stop: int) -> Rows:
    return Rows(
        vectors=rows.vectors[start:stop], contents=rows.contents[start:stop], names=rows.names[start:stop],
        paths=rows.paths[start:stop], groups=rows.groups[start:stop],
    )  # fmt: skip


def remaining(part: Part, gone: set[str]) -> np.ndarray | None:
    """The rows (m,) of a part whose names stay; None where all do."""
    numbers = np.array([name in gone for name in part.names])
    leaves = numbers[part.name]
    return np.flatnonzero(~leaves) if leaves.any() else None
