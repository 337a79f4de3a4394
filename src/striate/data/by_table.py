"""The layout that a table of labels gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from striate.data.drawing import drawn
from striate.data.finder import OUTSIDE, Finder
from striate.data.labels import Labels, Useless, read_labels
from striate.data.layout import Layout
from striate.data.leftout import named
from striate.data.naming import SPLIT_NAMES, alike, normal
from striate.data.source import Damage
from striate.data.table import SUFFIXES, read_table
from striate.data.tree import TABLES, Parts, Tree
from striate.errors import DataError, UsageError
from striate.files import leads_out

REPEATED = (
    0.1  # of the images with two classes or more: then the table gives several labels on purpose
)
COVERED = 0.5  # of the images that a table must list to count for more than class folders
LOOKED_AT = 50  # lines of a table that are asked whether they name images
LINKED = Useless(
    why="is a link out of the folder to what is no table of labels that can be used",
    remedy="give the file itself, of which more is said",
)
_PART = re.compile(r"[\d_\- ]+|(?<![a-z])[a-z]$")  # what parts of one set differ in
READ = (".csv", ".tsv", ".jsonl")
Reader = Callable[[Path, Finder], Labels | Useless]
SUBMISSION = "submission"  # Kaggle's example of an answer holds no labels


def by_table(
    root: Path,
    tree: Tree,
    base: Parts,
    *,
    table: str | None,
    required: bool,
    read: Reader = read_labels,
    outside: bool = False,
) -> Layout | str | None:
    """The layout that a table describes, in words why it is of no use, or None without a table.

    table: the name of a file in `root`; None looks for metadata.csv and labels.csv, in `root`, in `base` and in split
        folders, and where there are no class folders for any table there. read: what reads a table. outside: whether it may
        name files outside `root`.
    Raises DataError for a table that is of no use where one is `required`.
    """
    read = _unquoted(read, root)
    if table is not None:
        return _use(root, tree, [((table,), None)], read, required=required, outside=outside)
    if tables := find_tables(tree, base):
        return _use(root, tree, tables, read, required=required, outside=outside)
    return _any(root, tree, base, read, outside) if required else _unused(root, tree, base)


def _unquoted(read: Reader, root: Path) -> Reader:
    """The reader, which says nothing of what a table holds where a link leads from it out of the folder."""

    def careful(path: Path, finder: Finder) -> Labels | Useless:
        try:
            labels = read(path, finder)
        except (DataError, UsageError) as error:
            if leads_out(path, root):
                raise type(error)(f"{path} {LINKED.why}; {LINKED.remedy}") from None
            raise
        return LINKED if isinstance(labels, Useless) and leads_out(path, root) else labels

    return careful


def _refused(path: Path, root: Path, refused: Sequence[str]) -> str:
    if leads_out(path, root):
        return f"{path} {LINKED.why}; {LINKED.remedy}"
    return f"{path} lists no file that may be read: {refused[0]} {OUTSIDE}"


def _use(
    root: Path, tree: Tree, tables: list[tuple[Parts, str | None]], read: Reader, *, required: bool, outside: bool
) -> Layout | str:  # fmt: skip
    layout = Layout()
    refused: list[str] = []
    for parts, split in tables:
        path = root.joinpath(*parts)
        finder = Finder(root, parts, tree.images, outside=outside)
        labels = read(path, finder)
        refused += finder.refused
        useless = labels if isinstance(labels, Useless) else _add(parts, labels, split, finder, layout)  # fmt: skip
        if useless is not None:
            if required:
                raise DataError(f"{path} {useless.why}{useless.detail}; {useless.remedy}")
            return f"{path.name} {useless.why}, so the class folders are used"
    path = root.joinpath(*tables[0][0])
    if not layout.keys and refused:
        raise DataError(_refused(path, root, refused))
    if not layout.keys and not required:
        return f"none of the files that {path.name} lists is there, so the class folders are used"
    if not layout.keys:
        raise DataError(
            f"none of the files that {path} lists is there; write paths relative to the table"
        )
    if not required and len(layout.keys) < COVERED * len(tree.images):
        return (
            f"{path.name} lists {len(layout.keys)} of {len(tree.images)} images, so the class folders are used; "
            f"give {path} instead of the folder to use the table alone"
        )
    layout.notes += _folders_against(layout, path.name)
    layout.tables = tuple(parts for parts, _ in tables)
    listed = set(layout.keys)
    layout.outside += [key for key in map("/".join, tree.images) if key not in listed]
    return layout


def find_tables(tree: Tree, base: Parts) -> list[tuple[Parts, str | None]]:
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


def _any(root: Path, tree: Tree, base: Parts, read: Reader, outside: bool) -> Layout | None:
    """The layout by whatever table there is: train.csv and its like, or the only one.

    Raises DataError where several would do, or where the only one is of no use.
    """
    here = [p for p in tree.files if p[:-1] in ((), base)]
    here = [p for p in here if SUBMISSION not in p[-1].casefold()]
    tables = [p for p in here if PurePosixPath(p[-1]).suffix.lower() in READ]
    splits = {p: SPLIT_NAMES.get(PurePosixPath(p[-1]).stem.casefold()) for p in tables}
    if "train" in splits.values():
        tables = [p for p in tables if splits[p]]
    useful: list[Parts] = []
    reasons: list[str] = []
    for parts in tables:
        path = root.joinpath(*parts)
        finder = Finder(root, parts, tree.images, outside=outside)
        try:
            labels = read(path, finder)
        except DataError as error:
            reasons.append(str(error))
            continue
        if isinstance(labels, Useless):
            reasons.append(f"{path} {labels.why}{labels.detail}; {labels.remedy}")
        elif any(not isinstance(finder.find(row.file), str) for row in labels.rows):
            useful.append(parts)
        elif finder.refused:
            reasons.append(_refused(path, root, finder.refused))
        else:
            reasons.append(
                f"none of the files that {path} lists is there; write paths relative to the table"
            )
    if len(useful) > 1 and not all(splits[p] for p in useful):
        names = ", ".join("/".join(p) for p in useful)
        raise DataError(
            f"{root} holds several tables of labels ({names}); give the one to use, such as "
            f"{root.joinpath(*useful[0])}"
        )
    if useful:
        alone = len(useful) == 1
        layout = _use(
            root, tree, [(p, None if alone else splits[p]) for p in useful], read, required=True, outside=outside
        )  # fmt: skip
        assert isinstance(layout, Layout)
        return layout
    if reasons:
        raise DataError(reasons[0])
    other = [p for p in here if PurePosixPath(p[-1]).suffix.lower() in SUFFIXES - {".txt"}]
    if other:
        names = named(["/".join(p) for p in other])
        raise DataError(
            f"{root} holds images but no class folders, and {names} is not read as a table of labels; put the images of "
            "each class into a folder of its own, or write labels.csv with the columns file and label"
        )
    return None


def _unused(root: Path, tree: Tree, base: Parts) -> str | None:
    """In words, a table of another name that gives most images classes that are not those of their folders.

    Raises DataError where the folders look like parts of one set, so that the table is the likelier source of classes.
    """
    depth = len(base)
    folders = {p: p[depth] for p in tree.images if p[:depth] == base and len(p) > depth + 1}
    tops = sorted(set(folders.values()))
    parts_of_one = len({_PART.sub("", name.casefold()) for name in tops}) == 1
    for parts in tree.files:
        if parts[:-1] not in ((), base) or PurePosixPath(parts[-1]).suffix.lower() not in READ:
            continue
        name, path = parts[-1], root.joinpath(*parts)
        finder = Finder(root, parts, tree.images)
        try:
            labels = read_labels(path, finder)
        except DataError:
            continue
        if isinstance(labels, Useless):
            if parts_of_one and _lists_images(path, finder):
                raise DataError(
                    f"the folders {named(tops)} look like parts of one set, and {path}, which lists their images, "
                    f"{labels.why}{labels.detail}; {labels.remedy} and give {path} instead of the folder, or move {name} "
                    "elsewhere to learn the folders"
                )
            continue
        rows = [(finder.find(row.file), row.label) for row in labels.rows]
        classes = {p: label for p, label in rows if isinstance(p, tuple) and p in folders}
        pairs = {(folders[p], label) for p, label in classes.items()}
        given = sorted({label for _, label in pairs})
        same = len(pairs) == len(given) == len({folder for folder, _ in pairs})
        if len(classes) < COVERED * len(folders) or len(given) < 2 or same:
            continue
        if parts_of_one:
            raise DataError(
                f"the folders {named(tops)} look like parts of one set, and {path} gives {len(classes):,} of "
                f"{len(tree.images):,} images the classes {named(given)}; give {path} instead of the folder to learn its "
                f"classes, or move {name} elsewhere to learn the folders"
            )
        return (
            f"{name} gives the images other classes ({named(given)}) than the folders, which are used; give {path} instead "
            "of the folder to learn those of the table"
        )
    return None


def _lists_images(path: Path, finder: Finder) -> bool:
    """Whether a column of a table names images that are there."""
    rows = read_table(path).rows[1:]
    some = [rows[int(i)] for i in drawn(len(rows), LOOKED_AT)]
    width = max(map(len, some), default=0)
    shares = [
        np.mean([c < len(row) and isinstance(finder.find(row[c]), tuple) for row in some])
        for c in range(width)
    ]
    return max(map(float, shares), default=0.0) > COVERED


def _add(
    table: Parts, labels: Labels, split: str | None, finder: Finder, layout: Layout
) -> Useless | None:
    """Take the rows in; or why they are of no use."""
    name = table[-1]
    chosen: dict[Parts, tuple[str, str | None]] = {}
    clashing: dict[Parts, set[str]] = {}
    damaged: list[Damage] = [*labels.left]
    for row in labels.rows:
        image = finder.find(row.file)
        if isinstance(image, str):
            damaged.append(Damage(path=row.file, reason=f"{name} lists it, but {image}"))
            continue
        if row.size is not None:
            layout.sizes["/".join(image)] = row.size
        previous = chosen.setdefault(image, (row.label, row.split))
        if labels.merge is not None:
            chosen[image] = (labels.merge(previous[0], row.label), previous[1])
        elif previous[0] != row.label:
            clashing.setdefault(image, {previous[0]}).add(row.label)
    if len(chosen) >= 10 and len(clashing) > REPEATED * len(chosen):
        return Useless(
            why=f"gives {len(clashing)} of {len(chosen)} images several labels, on a line each",
            remedy=labels.clash,
        )
    for parts, (label, own) in chosen.items():
        if parts in clashing:
            names = " and ".join(sorted(map(labels.word, clashing[parts])))
            reason = f"{name} gives it the labels {names}; {labels.once}"
            damaged.append(Damage(path="/".join(parts), reason=reason))
        else:
            layout.add(parts, label, own or split)
    layout.damaged += damaged
    layout.notes += [labels.note, *labels.remarks]
    for words, n in finder.lenient.items():
        if words:
            layout.notes.append(
                f"{name}: {n} {'file was' if n == 1 else 'files were'} found {words} than the table writes"
                if "another" in words
                else f"{name}: {n} {'file was' if n == 1 else 'files were'} found {words} of its name"
            )
    return None


def _folders_against(layout: Layout, name: str) -> list[str]:
    """What a person may not expect where classes stand in the folders too."""
    classes = {alike(label) for label in layout.classes}
    folders = [alike(normal(key.rpartition("/")[0].rpartition("/")[2])) for key in layout.keys]
    if len(classes & set(folders)) < 2:
        return []
    other = [
        key
        for key, label, folder in zip(layout.keys, layout.classes, folders, strict=True)
        if folder in classes and folder != alike(label)
    ]
    text = f"{name} decides the classes, not the folders"
    if other:
        verb = "lies" if len(other) == 1 else "lie"
        text += f"; {len(other)} of {len(layout.keys)} images {verb} in the folder of another class ({named(other)})"
    return [text]
