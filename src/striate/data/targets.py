"""Images with tags or numbers as a source: a table of labels opened as such, and whether a path is one."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from striate.data.by_folder import descend, has_classes
from striate.data.by_table import READ, SUBMISSION, find_tables
from striate.data.finder import Finder
from striate.data.folder import Encoded, open_folder
from striate.data.naming import SPLIT_NAMES, in_order
from striate.data.place import data_path
from striate.data.source import Source
from striate.data.sources import SOURCES
from striate.data.strata import number_strata, tag_strata
from striate.data.table import SUFFIXES
from striate.data.target_tables import Kind, kind_of_table, may_be_numbers, reader, words_of
from striate.data.tree import TABLES, Parts, Tree, grow, is_run
from striate.errors import DataError, UsageError
from striate.files import is_folder, is_regular, is_there, volume_of
from striate.ranges import check_ranges


def target_kind(data: str | Path) -> Kind | None:
    """Whether a path is a table of tags or of numbers, or a folder with one and without class folders; None where not.

    Raises DataError for a table that holds both.
    """
    for path, finder in _tables(data):
        try:
            kind = kind_of_table(path, finder)
        except DataError as error:
            if "say which to learn" in str(error):
                raise
            continue  # whoever reads it says what is wrong with it
        if kind is not None:
            return kind
    return None


def open_targets(
    data: str | Path,
    kind: Kind,
    *,
    only: str | None = None,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    outside: bool = False,
) -> Source:
    """Open a table of tags or numbers, or a folder that holds one, split into train, validation and test.

    kind: "tags" or "numbers". only: the columns to learn, separated by commas; None decides. outside: whether the table may
    name files that do not lie in its folder. The source's splits are TargetSplits. Raises DataError or UsageError with one
    sentence.
    """
    path = data_path(data)
    check_ranges(seed=seed, val=val, test=test)
    if not is_there(path):
        known = " is a source of classes" if str(data) in SOURCES else ""
        raise UsageError(
            f"{data}{known or ' does not exist'}; give a table of {kind}, such as labels.csv, or the folder that holds it"
        )
    table = None
    if is_regular(path):
        if path.suffix.lower() not in SUFFIXES:
            raise DataError(f"{path} is no table; give a CSV with a line an image")
        path, table = path.parent, path.name
    return open_folder(
        path, seed=seed, val=val, test=test, progress=progress, table=table, read=reader(kind, only),
        encode=_tags if kind == "tags" else _numbers, outside=outside,
    )  # fmt: skip


def noted(source: Source, data: str | Path) -> Source:
    """The source of classes with a note where its classes are whole numbers that may be a measure."""
    for path, finder in _tables(data):
        try:
            name = may_be_numbers(path, finder)
        except (DataError, UsageError):
            continue
        if name is not None:
            note = (
                f"{path.name}: the {len(source.classes)} different numbers in its column {name} are taken as classes; "
                "--task regression learns them as numbers"
            )
            return replace(source, notes=(*source.notes, note))
    return source


def _tables(data: str | Path) -> list[tuple[Path, Finder]]:
    """The tables that a path may mean, each with what finds its images; without looking into any.

    They are asked only what kind of table it is, and open no image.
    """
    path = data_path(data)
    if isinstance(data, str) and data in SOURCES:
        return []
    try:
        if is_regular(path) and path.suffix.lower() in SUFFIXES:
            tree = grow(path.parent)
            return [(path, Finder(path.parent, (path.name,), tree.images, outside=True))]
        if not is_folder(path) or is_run(path) or not _holds_tables(path):
            return []
        tree = grow(path)
    except (OSError, DataError):
        return []
    base = descend(tree.images)
    if has_classes(tree, base) or not tree.images:
        return []
    parts = [p for p, _ in find_tables(tree, base)] or _others(tree, base)
    return [(path.joinpath(*p), Finder(path, p, tree.images, outside=True)) for p in parts]


def _holds_tables(folder: Path) -> bool:
    """Whether a table lies in a folder, in its only folder, or in folders of splits: a look that is quick in any tree."""
    names, folders = _listed(folder)
    if any(PurePosixPath(name).suffix.lower() in READ for name in names):
        return True
    inner = [name for name in folders if len(folders) == 1 or name.casefold() in SPLIT_NAMES]
    return any(is_regular(folder / name / table) for name in inner for table in TABLES) or (
        len(folders) == 1
        and any(PurePosixPath(n).suffix.lower() in READ for n in _listed(folder / inner[0])[0])
    )


def _listed(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the files and of the folders in a folder."""
    files: list[str] = []
    folders: list[str] = []
    held = volume_of(folder)
    if held is not None:
        volume, inside = held
        below = [p[len(inside) + bool(inside) :].split("/") for p in volume.names if p.startswith(inside)]  # fmt: skip
        return [p[0] for p in below if len(p) == 1], list(
            dict.fromkeys(p[0] for p in below if p[1:])
        )
    with os.scandir(folder) as entries:
        for entry in entries:
            (folders if entry.is_dir() else files).append(entry.name)
    return files, folders


def _others(tree: Tree, base: Parts) -> list[Parts]:
    here = [p for p in tree.files if p[:-1] in ((), base) and SUBMISSION not in p[-1].casefold()]
    return [p for p in here if PurePosixPath(p[-1]).suffix.lower() in READ]


def _encoded(
    names: Sequence[str], classes: tuple[str, ...], targets: np.ndarray, strata: np.ndarray
) -> Encoded:
    words = tuple(sorted({words_of(name) for name in names}))
    index = {word: i for i, word in enumerate(words)}
    labels = np.array([index[words_of(name)] for name in names], dtype=np.int64)
    return Encoded(classes=classes, words=words, labels=labels, targets=targets, strata=strata)


def _tags(root: Path, names: Sequence[str]) -> Encoded:
    held: list[list[str]] = [json.loads(name) for name in names]
    counts = Counter(tag for tags in held for tag in tags)
    classes = in_order(counts)
    if not classes:
        raise DataError(f"no image in {root} has a tag; at least one is needed")
    if len(classes) == 1 and counts[classes[0]] == len(held):
        raise DataError(
            f"every image in {root} has the tag {classes[0]!r} and no other; there is nothing to learn"
        )
    index = {tag: i for i, tag in enumerate(classes)}
    targets = np.zeros((len(held), len(classes)), dtype=np.float32)
    for row, tags in zip(targets, held, strict=True):
        row[[index[tag] for tag in tags]] = 1
    return _encoded(names, classes, targets, tag_strata(targets))


def _numbers(root: Path, names: Sequence[str]) -> Encoded:
    held: list[dict[str, float]] = [json.loads(name) for name in names]
    classes = tuple(held[0])
    odd = next((row for row in held if tuple(row) != classes), None)
    if odd is not None:
        raise DataError(
            f"the tables in {root} have different columns ({', '.join(classes)} and {', '.join(odd)}); give all of them "
            "the same"
        )
    values = np.array([list(row.values()) for row in held], dtype=np.float64)
    constant = [n for n, v in zip(classes, np.ptp(values, axis=0), strict=True) if v == 0]
    if constant:
        rest = [n for n in classes if n not in constant]
        remedy = (
            f"leave it out with --set targets={','.join(rest)}"
            if rest
            else "there is nothing to learn from it"
        )
        value = values[0, classes.index(constant[0])]
        raise DataError(
            f"{root} has the same number for every image in {', '.join(constant)} ({value:g}); {remedy}"
        )
    return _encoded(names, classes, values.astype(np.float32), number_strata(values))
