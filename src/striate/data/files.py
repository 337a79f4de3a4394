"""Files that a command was given: paths, folders and patterns become image files, and what is left out is named."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.data.filetype import Content, looks_like_image, type_of
from striate.data.leftout import LeftOut
from striate.data.manifest import manifest_at
from striate.data.naming import ignored
from striate.data.place import data_path
from striate.data.tree import Tree, grow, is_run
from striate.errors import DataError, UsageError
from striate.files import is_folder, is_there
from striate.paths import given_path
from striate.volumes import is_volume

if TYPE_CHECKING:
    import numpy as np

Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The image files that paths, folders and patterns name, in order, and what is left out beside them.

    arrays: images that were given themselves, by name, for those among `files` that are no files: their numbers. only:
    places among `files` of those that are looked at here, None for all: others are another process's.
    """

    files: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    only: tuple[int, ...] | None = None

    @property
    def chosen(self) -> list[tuple[int, str]]:
        """Place and name of each file that is looked at here."""
        if self.only is None:
            return list(enumerate(self.files))
        return [(i, self.files[i]) for i in self.only]

    def image(self, name: str) -> Path | np.ndarray:
        """One of `files`, or the array of that name."""
        return self.arrays[name] if name in self.arrays else Path(name)

    @property
    def sentences(self) -> list[str]:
        """What is left out, a sentence a kind."""
        return [left.sentence for left in self.left_out]

    @property
    def remarks(self) -> list[str]:
        """What is not looked at, a sentence a kind: pages and pictures after the first, and what is left out."""
        names = [name for name in self.files if name not in self.arrays]
        pages = [f for f in names if f.lower().endswith((".tif", ".tiff")) and _pages(f) > 1]
        moving = [f for f in names if f.lower().endswith((".gif", ".webp")) and _moves(f)]
        found = []
        for files, what, remedy in (
            (pages, "pages", ", or take them with `striate tile --page`"),
            (moving, "pictures", ""),
        ):
            if files:
                many = f"{len(files)} files hold" if len(files) > 1 else "1 file holds"
                found.append(
                    f"{many} several {what}, of which the first is read ({files[0]}); save the others as files of their own"
                    f"{remedy}"
                )
        return [*found, *self.sentences]


def _pages(path: str) -> int:
    from striate.images import pages_of

    try:
        return pages_of(Path(path))
    except DataError:  # its row says why
        return 1


def _moves(path: str) -> bool:
    from striate.images import moves

    return moves(Path(path))  # False for what cannot be read: its row says why


def find_files(paths: Paths | Found) -> Found:
    """Files named by paths, folders (all images in them, at any depth) and patterns, in order.

    A folder is read as training reads it: hidden and system folders, runs and what is no image are left out. Of several
    paths, as a shell makes them of `photos/*`, system files and runs are left out too; a path that stands alone is taken.
    Raises UsageError for a path that names nothing.
    """
    if isinstance(paths, Found):
        return paths
    if not isinstance(paths, str | Path) and not isinstance(paths, Iterable):
        raise UsageError(
            f"images are files, folders, arrays, tensors or Pillow images, got {type(paths).__name__}; give one of those"
        )
    patterns = [str(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    if not patterns:
        raise UsageError("there is no image: the list of paths is empty; give files or folders")
    search = _Search()
    for pattern in patterns:
        search.add(pattern, alone=len(patterns) == 1)
    return Found(files=tuple(search.files), left_out=search.left_out())


def find_images(images: Any, *, numbers: bool = False) -> Found:
    """Files as `find_files` finds them, or images themselves: arrays, tensors or Pillow images, see `as_arrays`.

    numbers: for a network that has learned from plain numbers, see `Preprocessing.numbers`. Raises UsageError for what is
    neither.
    """
    from striate.data.given import are_arrays, as_arrays

    if not are_arrays(images):
        return find_files(images)
    arrays = {str(i): image for i, image in enumerate(as_arrays(images, numbers=numbers))}
    return Found(files=tuple(arrays), arrays=arrays)


def stays(files: Iterable[str]) -> frozenset[tuple[int, int]]:
    """What `holds` needs to know of files that must never be written over."""
    return frozenset(key for key in map(_identity, files) if key is not None)


def holds(inputs: frozenset[tuple[int, int]], path: Path) -> bool:
    """Whether `path` is one of the files that `stays` was given, by whatever name."""
    return _identity(path) in inputs


def _identity(path: str | Path) -> tuple[int, int] | None:
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_dev, state.st_ino


class _Search:
    """files and what is left out, of one pattern after another."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.left: dict[str, list[str]] = {}
        self.held: dict[str, int] = {}

    def left_out(self) -> tuple[LeftOut, ...]:
        return tuple(
            LeftOut(kind=kind, paths=tuple(paths), images=self.held.get(kind, 0))
            for kind, paths in self.left.items()
        )

    def add(self, pattern: str, *, alone: bool) -> None:
        path = given_path(pattern, "an image's path")
        try:
            path = data_path(pattern if is_volume(pattern) else path)
        except DataError:
            if alone or not path.is_file():
                raise  # one that cannot be read stops no others: it gets its row
        files, left = len(self.files), sum(map(len, self.left.values()))
        if not alone and os.path.lexists(path) and ignored(path.name):
            self._leave("system", str(path))
        elif is_folder(path):
            self._folder(path, alone=alone)
        elif (known := manifest_at(path)) is not None:
            chunks = known.table.column("path").chunks
            self.files += [str(known.root / key) for chunk in chunks for key in chunk.to_pylist()]
        elif is_there(path):
            self.files.append(str(path))
        elif glob.has_magic(str(path)):
            self._pattern(path)
        elif os.path.lexists(path):
            self.files.append(str(path))  # a broken link, which the reader names
        if len(self.files) == files and (alone or sum(map(len, self.left.values())) == left):
            more = " ".join(unused.sentence for unused in self.left_out())
            raise UsageError(
                f"no image at {pattern}; give files, folders or a pattern such as 'photos/*.jpg'"
                + (f". There: {more.rstrip('.')}" if more else "")
            )

    def _folder(self, path: Path, *, alone: bool) -> None:
        if is_run(path):
            if alone:
                raise UsageError(f"{path} is a run, not a folder of images; give images to predict")
            self._leave("run", str(path))
            return
        try:
            tree = grow(path)
        except DataError as error:
            raise UsageError(str(error)) from error
        self._take(path, tree)

    def _take(self, path: Path, tree: Tree) -> None:
        self.files += [str(path.joinpath(*parts)) for parts in tree.images]
        for left in tree.left_out("closed", "unsupported", "other"):
            for name in left.paths:
                self._leave(left.kind, str(path / name))
            self.held[left.kind] = self.held.get(left.kind, 0) + left.images

    def _pattern(self, path: Path) -> None:
        fixed = 0
        while not glob.has_magic(path.parts[fixed]):
            fixed += 1
        below = Path(*path.parts[:fixed]) if fixed else None
        for name in sorted(glob.glob(str(path), recursive=True)):
            match = Path(name)
            inner = match.relative_to(below).parts if below else match.parts
            if any(ignored(part) for part in inner):
                if not match.is_dir():
                    self._leave("system", name)
            elif match.is_dir():
                if "**" not in path.parts:
                    self._folder(match, alone=False)
            elif looks_like_image(match.name, set()):
                self.files.append(name)
            else:
                self._sort(name, match.name)

    def _sort(self, path: str, name: str) -> None:
        content = type_of(path, name)
        kinds = {Content.SPECIAL: "special", Content.UNSUPPORTED: "unsupported"}
        if content is Content.IMAGE:
            self.files.append(path)
        else:
            self._leave(kinds.get(content, "other"), path)

    def _leave(self, kind: str, path: str) -> None:
        self.left.setdefault(kind, []).append(path)
