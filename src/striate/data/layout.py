"""Layout: which class and split each image file of a folder belongs to."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from striate.data.labels import read_labels
from striate.data.naming import SPLIT_NAMES
from striate.data.source import SPLITS, Damage
from striate.data.tree import TABLES, Parts, Tree, grow
from striate.errors import DataError


@dataclass(kw_only=True)
class Layout:
    """keys[i] (relative to the root) has class classes[i] and split given[i], or None.

    sizes are the (height, width) that a table states. The rest is what Source says of them.
    """

    keys: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    given: list[str | None] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    damaged: list[Damage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, parts: Parts, name: str, split: str | None) -> None:
        """Take an image in."""
        self.keys.append("/".join(parts))
        self.classes.append(_printable(name))
        self.given.append(split)


def lay_out(root: Path, *, table: str | None = None) -> Layout:
    """Find classes and splits below `root`: a table of labels, split folders, or class folders.

    table: the name of a CSV file in `root` that is to be used, whatever else there is.

    Raises DataError with one sentence if there are no images, or none that has a class.
    """
    tree = grow(root)
    if not tree.images:
        raise DataError(_nothing(root, tree))
    base = _descend(tree.images)
    layout = _tabled(root, tree, base, table)
    if layout is None:
        layout = _foldered(root, tree, base)
    if tree.unsupported:
        layout.outside += ["/".join(p) for p in tree.unsupported]
        kinds = sorted({p[-1].rsplit(".", 1)[-1].lower() for p in tree.unsupported})
        number = len(tree.unsupported)
        layout.notes.append(f"{number} {'/'.join(kinds)} files are not read; save them as PNG")
    return layout


def _foldered(root: Path, tree: Tree, base: Parts) -> Layout:
    layout = Layout()
    below = [p[len(base) :] for p in tree.images]
    tops = {p[0] for p in below if len(p) > 1}
    splits = {top: SPLIT_NAMES[top.casefold()] for top in tops if top.casefold() in SPLIT_NAMES}
    held = set(splits.values()) - {"train"}
    if {top.casefold() for top in tops} == {"images", "masks"}:
        raise DataError(
            f"{root} holds images/ and masks/, labels for every pixel; to classify, "
            "put the images of each class into a folder of its own"
        )
    if splits and held and (len(splits) == len(tops) or "train" in splits.values()):
        _split_folders(root, tree, base, splits, layout)
        return layout
    layout.empty = [_printable(name) for name in tree.empty_folders(base)]
    for path, rest in zip(tree.images, below, strict=True):
        if len(path) <= len(base) + 1 or path[: len(base)] != base:
            layout.outside.append("/".join(path))
        else:
            layout.add(path, rest[0], None)
    if not layout.keys:
        raise DataError(
            f"{root} holds {len(tree.images)} images but no class folders; put the images of each "
            "class into a folder of its own, or add a labels.csv with the columns file and label"
        )
    return layout


def _split_folders(
    root: Path, tree: Tree, base: Parts, splits: dict[str, str], layout: Layout
) -> None:
    if "train" not in splits.values():
        raise DataError(
            f"{root} has the folders {', '.join(sorted(splits))} but no train folder; "
            "name the images to learn from train/CLASS/"
        )
    depth = len(base)
    for top, split in sorted(splits.items(), key=lambda item: SPLITS.index(item[1])):
        mine = [
            p for p in tree.images if p[:depth] == base and len(p) > depth + 1 and p[depth] == top
        ]
        inner = (*base, top, *_descend([p[depth + 1 :] for p in mine]))
        layout.empty += [f"{top}/{_printable(name)}" for name in tree.empty_folders(inner)]
        classed = [p for p in mine if p[: len(inner)] == inner and len(p) > len(inner) + 1]
        if not classed:
            raise DataError(
                f"{root / '/'.join((*base, top))} holds images but no class folders; put the "
                f"images of each class into a folder of its own, such as {top}/cat/"
            )
        for path in classed:
            layout.add(path, path[len(inner)], split)
    inside = set(layout.keys)
    layout.outside += [key for key in map("/".join, tree.images) if key not in inside]


def _tabled(root: Path, tree: Tree, base: Parts, table: str | None) -> Layout | None:
    """The layout that a metadata.csv or labels.csv describes; None if there is none with labels."""
    here = [t for t in tree.tables if t[:-1] in ((), base)]
    tables: list[tuple[Parts, str | None]] = []
    if table is not None:
        tables = [((table,), None)]
    elif here:
        # The shallowest, and metadata.csv before labels.csv.
        here.sort(key=lambda t: (len(t), TABLES.index(t[-1].lower())))
        tables = [(here[0], None)]
    else:
        for parts in tree.tables:
            if parts[:-2] in ((), base) and parts[-2].casefold() in SPLIT_NAMES:
                tables.append((parts, SPLIT_NAMES[parts[-2].casefold()]))
    layout = Layout()
    must = table is not None or not _has_classes(tree, base)
    for parts, split in tables:
        if not _add_table(root, tree, parts, split, layout, must=must):
            return None
    if not tables:
        return None
    listed = set(layout.keys)
    layout.outside += [key for key in map("/".join, tree.images) if key not in listed]
    if not layout.keys:
        raise DataError(
            f"none of the files that {root / '/'.join(tables[0][0])} lists is below {root}; "
            "write paths relative to the table"
        )
    return layout


def _add_table(
    root: Path, tree: Tree, table: Parts, split: str | None, layout: Layout, *, must: bool
) -> bool:
    path = root.joinpath(*table)
    labels = read_labels(path, required=must)
    if labels is None:
        layout.notes.append(f"{path.name} has no label column; the class folders are used")
        return False
    layout.notes.append(labels.note)
    finder = _Finder(root, table[:-1], tree.images)
    chosen: dict[Parts, tuple[str, str | None]] = {}
    clashing: dict[Parts, set[str]] = {}
    for row in labels.rows:
        found = finder.find(row.file)
        if isinstance(found, str):
            layout.damaged.append(
                Damage(path=row.file, reason=f"{path.name} lists it, but {found}")
            )
            continue
        if row.size is not None:
            layout.sizes["/".join(found)] = row.size
        previous = chosen.setdefault(found, (row.label, row.split))
        if previous[0] != row.label:
            clashing.setdefault(found, {previous[0]}).add(row.label)
    for parts, (label, own) in chosen.items():
        if parts in clashing:
            names = " and ".join(sorted(clashing[parts]))
            reason = f"{path.name} gives it the labels {names}; one image has one class"
            layout.damaged.append(Damage(path="/".join(parts), reason=reason))
        else:
            layout.add(parts, label, own or split)
    return True


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


def _has_classes(tree: Tree, base: Parts) -> bool:
    return len({p[len(base)] for p in tree.images if len(p) > len(base) + 1}) > 1


def _descend(paths: list[Parts]) -> Parts:
    """The folder that holds the class (or split) folders: through wrappers such as images/."""
    base: Parts = ()
    while True:
        depth = len(base)
        rest = [p[depth:] for p in paths if p[:depth] == base]
        tops = {p[0] for p in rest if len(p) > 1}
        second = {p[1] for p in rest if len(p) > 2}
        loose = any(len(p) < 3 for p in rest)
        if len(tops) != 1 or not second or (loose and len(second) < 2):
            return base
        base = (*base, tops.pop())


def _printable(name: str) -> str:
    """A file name that is not valid UTF-8, made fit to print."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _nothing(root: Path, tree: Tree) -> str:
    wanted = "PNG, JPEG, WebP, BMP or TIFF"
    files = tree.others.copy()
    files.update("." + p[-1].rsplit(".", 1)[-1].lower() for p in tree.unsupported)
    files.update(".csv" for _ in tree.tables)
    if not files:
        return f"{root} is empty; put {wanted} images there, each class in a folder of its own"
    kinds = ", ".join(f"{n} {suffix}" for suffix, n in files.most_common(4))
    return (
        f"{root} holds no image ({wanted}) but {files.total()} other files ({kinds}); "
        "give the folder that holds the images"
    )
