"""The layout that a table of labels gives."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from striate.data.labels import Labels, read_labels
from striate.data.layout import Layout
from striate.data.naming import SPLIT_NAMES
from striate.data.source import Damage
from striate.data.tree import TABLES, Parts, Tree
from striate.errors import DataError


def by_table(
    root: Path, tree: Tree, base: Parts, *, table: str | None, required: bool
) -> Layout | str | None:
    """The layout that a table describes, in words why it is of no use, or None without a table.

    table: the name of a CSV file in `root`; None looks for metadata.csv and labels.csv, in `root`,
        in `base` and in split folders.
    Raises DataError for a table that is of no use where one is `required`.
    """
    layout = Layout()
    tables = [((table,), None)] if table is not None else _find(tree, base)
    for parts, split in tables:
        path = root.joinpath(*parts)
        labels = read_labels(path, required=required)
        if labels is None:
            return f"{path.name} has no label column, so the class folders are used"
        layout.notes.append(labels.note)
        _add(root, tree, parts, labels, split, layout)
    if not tables:
        return None
    path = root.joinpath(*tables[0][0])
    if not layout.keys and not required:
        return f"none of the files that {path.name} lists is there, so the class folders are used"
    if not layout.keys:
        raise DataError(
            f"none of the files that {path} lists is there; write paths relative to the table"
        )
    listed = set(layout.keys)
    layout.outside += [key for key in map("/".join, tree.images) if key not in listed]
    return layout


def _find(tree: Tree, base: Parts) -> list[tuple[Parts, str | None]]:
    """Tables with the split that they are for: one for all, or one in each split folder."""
    here = [t for t in tree.tables if t[:-1] in ((), base)]
    if here:
        # The shallowest, and metadata.csv before labels.csv.
        return [(min(here, key=lambda t: (len(t), TABLES.index(t[-1].lower()))), None)]
    return [
        (t, SPLIT_NAMES[t[-2].casefold()])
        for t in tree.tables
        if len(t) > 1 and t[:-2] in ((), base) and t[-2].casefold() in SPLIT_NAMES
    ]


def _add(
    root: Path, tree: Tree, table: Parts, labels: Labels, split: str | None, layout: Layout
) -> None:
    name = table[-1]
    finder = _Finder(root, table[:-1], tree.images)
    chosen: dict[Parts, tuple[str, str | None]] = {}
    clashing: dict[Parts, set[str]] = {}
    for row in labels.rows:
        found = finder.find(row.file)
        if isinstance(found, str):
            layout.damaged.append(Damage(path=row.file, reason=f"{name} lists it, but {found}"))
            continue
        if row.size is not None:
            layout.sizes["/".join(found)] = row.size
        previous = chosen.setdefault(found, (row.label, row.split))
        if previous[0] != row.label:
            clashing.setdefault(found, {previous[0]}).add(row.label)
    for parts, (label, own) in chosen.items():
        if parts in clashing:
            names = " and ".join(sorted(clashing[parts]))
            reason = f"{name} gives it the labels {names}; one image has one class"
            layout.damaged.append(Damage(path="/".join(parts), reason=reason))
        else:
            layout.add(parts, label, own or split)


class _Finder:
    """Finds the image that a table means: by path, else by name, else by name without suffix."""

    def __init__(self, root: Path, folder: Parts, images: Iterable[Parts]) -> None:
        self.root, self.folder = root, folder
        self.paths: set[Parts] = set(images)
        self.names: dict[str, list[Parts]] = {}
        self.stems: dict[str, list[Parts]] = {}
        for parts in self.paths:
            self.names.setdefault(parts[-1], []).append(parts)
            self.stems.setdefault(parts[-1].rsplit(".", 1)[0], []).append(parts)

    def find(self, value: str) -> Parts | str:
        """The path's parts, or in words why there is none."""
        text = value.replace("\\", "/")
        parts = tuple(p for p in text.split("/") if p not in ("", "."))
        if not parts:
            return "it names no file"
        for candidate in ((*self.folder, *parts), parts):
            if candidate in self.paths:
                return candidate
        target = self.root.joinpath(*self.folder, text)
        if target.is_file():
            relative = os.path.relpath(target, self.root).replace(os.sep, "/")
            return tuple(relative.split("/"))
        for index in (self.names, self.stems):
            matches = index.get(parts[-1], [])
            if len(matches) == 1:
                return matches[0]
            if matches:
                return f"{len(matches)} files have that name; write its path"
        return "it is not there"
