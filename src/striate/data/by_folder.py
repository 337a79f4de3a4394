"""The layout that class folders and split folders give."""

from __future__ import annotations

from pathlib import Path

from striate.data.layout import Layout
from striate.data.leftout import named
from striate.data.naming import SPLIT_NAMES
from striate.data.source import SPLITS
from striate.data.tree import Parts, Tree
from striate.errors import DataError
from striate.wording import as_text


def by_folder(root: Path, tree: Tree, base: Parts) -> Layout:
    layout = Layout()
    below = [p[len(base) :] for p in tree.images]
    tops = {p[0] for p in below if len(p) > 1}
    splits = {top: SPLIT_NAMES[top.casefold()] for top in tops if top.casefold() in SPLIT_NAMES}
    held = set(splits.values()) - {"train"}
    if splits and held and (len(splits) == len(tops) or "train" in splits.values()):
        _split_folders(root, tree, base, splits, layout)
        return layout
    layout.empty = [as_text(name) for name in tree.empty_folders(base)]
    for path, rest in zip(tree.images, below, strict=True):
        if len(path) <= len(base) + 1 or path[: len(base)] != base:
            layout.outside.append("/".join(path))
        else:
            layout.add(path, rest[0], None)
    if (words := _the_same_inside(below)) is not None:
        layout.notes.append(words)
    if not layout.keys:
        raise DataError(
            f"{root} holds {len(tree.images)} images but no class folders; put the images of each "
            "class into a folder of its own, or add a labels.csv with the columns file and label"
        )
    return layout


def _the_same_inside(paths: list[Parts]) -> str | None:
    """What to say where every class folder holds folders of the same names: they may be the classes, or splits."""
    inner: dict[str, set[str]] = {}
    for path in paths:
        if len(path) > 1:
            inner.setdefault(path[0], set()).update(path[1:2] if len(path) > 2 else ())
    common = set.intersection(*inner.values()) if len(inner) > 1 else set()
    if len(common) < 2:
        return None
    tops, names = (named([as_text(n) for n in sorted(several)]) for several in (inner, common))
    if all(name.casefold() in SPLIT_NAMES for name in common):
        return (
            f"each of {tops} holds the folders {names}, which are not taken as splits; name the folders {names}/CLASS/ "
            "instead to keep the splits"
        )
    return (
        f"each of {tops} holds the folders {names}: {tops} are taken as the classes; if {names} are, put all images of each "
        "of these into one folder"
    )


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
        inner = (*base, top, *descend([p[depth + 1 :] for p in mine]))
        layout.empty += [f"{top}/{as_text(name)}" for name in tree.empty_folders(inner)]
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


def has_classes(tree: Tree, base: Parts) -> bool:
    """Whether folders say the classes: in `base`, or in the split folders there."""
    below = [
        p[len(base) :] for p in tree.images if p[: len(base)] == base and len(p) > len(base) + 1
    ]
    tops = {p[0] for p in below}
    if tops and all(top.casefold() in SPLIT_NAMES for top in tops):
        return any(len(p) > 2 for p in below)
    return len(tops) > 1


def descend(paths: list[Parts]) -> Parts:
    """The folder that holds the class (or split) folders: through wrappers such as images/."""
    base: Parts = ()
    while True:
        depth = len(base)
        rest = [p[depth:] for p in paths if p[:depth] == base]
        tops = {p[0] for p in rest if len(p) > 1}
        second = {p[1] for p in rest if len(p) > 2}
        loose = sum(len(p) < 3 for p in rest)
        # A few stray files do not make a wrapper the only class; many are a class with folders in it.
        if len(tops) != 1 or not second or (len(second) < 2 and 2 * loose > len(rest)):
            return base
        base = (*base, tops.pop())
