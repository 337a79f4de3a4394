"""The files below a folder: images, tables and the rest, without what systems and programs leave there.

The one walker: training, `striate data`, masks and predictions of folders all see what it sees.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from striate.data.filetype import Content, backup_of, looks_like_image, sidecar_of, type_of
from striate.data.leftout import LeftOut
from striate.data.naming import ignored, is_placeholder, natural
from striate.data.reading import SUFFIXES, UNSUPPORTED
from striate.data.thumbnails import find_thumbnails
from striate.errors import DataError
from striate.files import Volume, open_regular, volume_of

TABLES = ("metadata.csv", "metadata.jsonl", "metadata.tsv", "labels.csv", "labels.tsv")
RUNS = ("run.toml", "begun.toml")  # in the folder of a run, and of one whose data are being read
MOST_COUNTED = 20_000  # entries of one hidden folder that are looked at to count its images
Parts = tuple[str, ...]


@dataclass(kw_only=True)
class Tree:
    """images, folders, tables: paths relative to the root, as tuples, in natural order.

    tables are files called metadata.csv, labels.csv or the like; rest are the files that are no images;
    closed are the folders that could not be listed, with the reason; left holds by kind what else is
    left out, and held counts the image files in it.
    """

    images: list[Parts] = field(default_factory=list)
    folders: list[Parts] = field(default_factory=list)
    tables: list[Parts] = field(default_factory=list)
    unsupported: list[Parts] = field(default_factory=list)
    rest: list[Parts] = field(default_factory=list)
    closed: dict[str, str] = field(default_factory=dict)
    left: dict[str, list[Parts]] = field(default_factory=dict)
    held: Counter[str] = field(default_factory=Counter)

    def empty_folders(self, base: Parts) -> list[str]:
        """Names of the folders directly in `base` that hold no image at any depth, nor runs alone."""
        depth = len(base)
        full = {p[depth] for p in self.images if len(p) > depth + 1 and p[:depth] == base}
        full |= {p[depth] for p in self.left.get("run", ()) if p[:depth] == base and len(p) > depth}
        return [
            f[-1]
            for f in self.folders
            if len(f) == depth + 1 and f[:depth] == base and f[-1] not in full
        ]

    def leave(self, kind: str, parts: Parts, images: int = 0) -> None:
        """Note that something is left out."""
        self.left.setdefault(kind, []).append(parts)
        self.held[kind] += images

    def left_out(self, *kinds: str) -> tuple[LeftOut, ...]:
        """What is not used, by kind; `kinds` are those of Tree's own lists to count in too."""
        own = {
            "closed": [tuple(path.split("/")) for path in self.closed],
            "unsupported": self.unsupported,
            "other": self.rest,
        }
        left = {**self.left, **{kind: own[kind] for kind in kinds if own[kind]}}
        return tuple(
            LeftOut(kind=kind, paths=tuple("/".join(p) for p in paths), images=self.held[kind])
            for kind, paths in left.items()
        )

    @property
    def files(self) -> list[Parts]:
        """All the files that are not among the images, in natural order."""
        return sorted(
            self.tables + self.unsupported + self.rest,
            key=lambda p: tuple(natural(part) for part in p),
        )

    @property
    def others(self) -> Counter[str]:
        """The files that are no images, by suffix."""
        return Counter(
            PurePosixPath(parts[-1]).suffix.lower() or "(no suffix)" for parts in self.rest
        )


def lies_loose(folder: Path) -> bool:
    """Whether a folder holds images, and all of them lie in the folder itself, without folders of classes."""
    images = grow(folder).images
    return bool(images) and all(len(parts) == 1 for parts in images)


def grow(root: Path) -> Tree:
    """List everything below `root`. Links are followed, except into a folder that holds them.

    What a file is follows from its suffix; where that says nothing, from its first bytes.
    Raises DataError if the root itself cannot be listed.
    """
    tree = Tree()
    held = volume_of(root)
    if held is not None:
        _grow_volume(tree, *held)
        return tree
    todo: list[tuple[str, Parts, frozenset[tuple[int, int]]]] = [(os.fspath(root), (), frozenset())]
    while todo:
        folder, parts, above = todo.pop()
        try:
            state = os.stat(folder)
            here = (state.st_dev, state.st_ino)
            if here in above:
                tree.leave("loop", parts)
                continue
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda e: e.name)
        except OSError as error:
            if not parts:
                raise DataError(
                    f"cannot list {root}: {error.strerror}; check its rights"
                ) from error
            tree.closed["/".join(parts)] = error.strerror or type(error).__name__
            continue
        names = {entry.name for entry in listed}
        if parts:
            if not names.isdisjoint(RUNS) and is_run(folder):
                tree.leave("run", parts)
                continue
            tree.folders.append(parts)
        for entry in listed:
            below = (*parts, entry.name)
            if is_placeholder(entry.name):
                tree.leave("cloud", below)
            elif ignored(entry.name):
                tree.leave("system", below, _images_in(entry))
            elif _is_folder(entry):
                todo.append((entry.path, below, above | {here}))
            else:
                _place(tree, entry, below, names)
    for folder_parts, images in find_thumbnails(tree.folders, tree.images):
        tree.images = [p for p in tree.images if p not in images]
        tree.leave("thumbnails", folder_parts, len(images))
    for paths in (
        tree.images, tree.folders, tree.tables, tree.unsupported, tree.rest, *tree.left.values(),
    ):  # fmt: skip
        paths.sort(key=lambda p: tuple(natural(part) for part in p))
    return tree


def _grow_volume(tree: Tree, volume: Volume, folder: str) -> None:
    """List the files of a volume, of which the names say all."""
    before = folder + "/" if folder else ""
    folders: dict[Parts, None] = {}
    for name in volume.names:
        if not name.startswith(before):
            continue
        parts = tuple(name[len(before) :].split("/"))
        if any(map(ignored, parts)):
            tree.leave("system", parts)
            continue
        folders.update(dict.fromkeys(parts[:i] for i in range(1, len(parts))))
        suffix = PurePosixPath(parts[-1]).suffix.lower()
        if parts[-1].lower() in TABLES:
            tree.tables.append(parts)
        elif suffix in SUFFIXES:
            tree.images.append(parts)
        else:
            (tree.unsupported if suffix in UNSUPPORTED else tree.rest).append(parts)
    tree.folders = list(folders)
    for paths in (tree.images, tree.folders, tree.tables, tree.unsupported, tree.rest):
        paths.sort(key=lambda p: tuple(natural(part) for part in p))


def is_run(folder: str | Path) -> bool:
    """Whether a folder is one that a training wrote, or has begun to."""
    return any(_is_of_a_run(Path(folder, name)) for name in RUNS)


def _is_of_a_run(file: Path) -> bool:
    try:
        with open_regular(file) as opened:
            text = opened.read(2**16)
    except OSError:
        return False
    return b"[recipe]" in text and b"format" in text


def _place(tree: Tree, entry: os.DirEntry[str], below: Parts, names: set[str]) -> None:
    """Put a file where it belongs."""
    name = entry.name
    content = type_of(entry.path, name)
    if content is Content.SPECIAL:
        tree.leave("special", below)
    elif content is Content.BROKEN:
        tree.leave("broken", below)
    elif name.lower() in TABLES:
        tree.tables.append(below)
    elif content is Content.UNSUPPORTED:
        tree.unsupported.append(below)
    elif content is Content.IMAGE:
        if backup_of(name) in names:
            tree.leave("backup", below)
        elif sidecar_of(name) in names:
            tree.leave("sidecar", below)
        else:
            tree.images.append(below)
    elif looks_like_image(name, names):
        tree.images.append(below)  # its decoder says what it is instead
    else:
        tree.rest.append(below)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _images_in(entry: os.DirEntry[str]) -> int:
    """Image files, by suffix, in something that is left out; links are not followed."""
    if not stat.S_ISDIR(_mode(entry)):
        return int(looks_like_image(entry.name, set()) and not entry.name.startswith("._"))
    images = seen = 0
    for _, _, files in os.walk(entry.path):
        seen += len(files)
        images += sum(looks_like_image(f, set()) and not f.startswith("._") for f in files)
        if seen > MOST_COUNTED:
            break
    return images


def _mode(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_mode
    except OSError:
        return 0
