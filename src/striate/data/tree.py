"""The files below a folder: images, tables and the rest, without what operating systems leave."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from striate.data.naming import ignored, natural
from striate.data.reading import SUFFIXES, UNSUPPORTED
from striate.errors import DataError

TABLES = ("metadata.csv", "labels.csv")
Parts = tuple[str, ...]


@dataclass(kw_only=True)
class Tree:
    """images, folders, tables: paths relative to the root, as tuples, in natural order.

    tables are files called metadata.csv or labels.csv; others counts the remaining files by suffix;
    files are all the files that are not among the images; closed are the folders that could not be
    listed, with the reason.
    """

    images: list[Parts] = field(default_factory=list)
    folders: list[Parts] = field(default_factory=list)
    tables: list[Parts] = field(default_factory=list)
    unsupported: list[Parts] = field(default_factory=list)
    files: list[Parts] = field(default_factory=list)
    closed: dict[str, str] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)

    def empty_folders(self, base: Parts) -> list[str]:
        """Names of the folders directly in `base` that hold no image at any depth."""
        depth = len(base)
        full = {p[depth] for p in self.images if len(p) > depth + 1 and p[:depth] == base}
        return [
            f[-1]
            for f in self.folders
            if len(f) == depth + 1 and f[:depth] == base and f[-1] not in full
        ]


def grow(root: Path) -> Tree:
    """List everything below `root`. Links are followed, except into a folder that holds them.

    Raises DataError if the root itself cannot be listed.
    """
    tree = Tree()
    todo: list[tuple[str, Parts, frozenset[tuple[int, int]]]] = [(os.fspath(root), (), frozenset())]
    while todo:
        folder, parts, above = todo.pop()
        try:
            state = os.stat(folder)
            here = (state.st_dev, state.st_ino)
            if here in above:
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
        for entry in listed:
            if ignored(entry.name):
                continue
            below = (*parts, entry.name)
            if entry.is_dir():
                tree.folders.append(below)
                todo.append((entry.path, below, above | {here}))
                continue
            suffix = PurePosixPath(entry.name).suffix.lower()
            if suffix in SUFFIXES:
                tree.images.append(below)
                continue
            tree.files.append(below)
            if suffix in UNSUPPORTED:
                tree.unsupported.append(below)
            elif entry.name.lower() in TABLES:
                tree.tables.append(below)
            else:
                tree.others[suffix or "(no suffix)"] += 1
    for paths in (tree.images, tree.folders, tree.tables, tree.unsupported):
        paths.sort(key=lambda p: tuple(natural(part) for part in p))
    return tree
