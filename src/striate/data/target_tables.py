"""Tables of targets that are no classes: tags, several an image, or numbers.

A row's targets travel through the layout as the text of a JSON document, a list of tags or a mapping from headings to
numbers, so that finding files, splits and copies is the same as for classes.
"""

from __future__ import annotations

import difflib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from striate.data.columns import LABEL, Columns, cell, find_columns, plain
from striate.data.finder import Finder
from striate.data.kinds import MEASURES, STEPS
from striate.data.labels import Labels, Row, Useless, read_labels, size_of, split_of
from striate.data.leftout import named
from striate.data.numbers import INFINITE, NOTHING, is_number, numbers_of, unit_of, without_unit
from striate.data.source import Damage
from striate.data.table import Table, read_table
from striate.data.tags import EMPTY, flags_of, is_flag, tags_of
from striate.errors import DataError, UsageError

Kind = Literal["tags", "numbers"]
REPEATED = 0.1  # of the images with two labels or more: then the table gives several on purpose
LEAST = 10  # images; of fewer a second line may be a slip
FEW = 2  # different numbers; fewer are no measure
MOSTLY = 0.9  # of the cells that are numbers where the others are slips


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A table with its columns by kind, by index: of numbers, of yes and no, of several tags, of the rest."""

    path: Path
    table: Table
    columns: Columns
    body: Sequence[Sequence[str]]
    numbers: tuple[int, ...]
    flags: tuple[int, ...]
    tags: tuple[int, ...]
    rest: tuple[int, ...]

    def texts(self, column: int) -> list[str]:
        """A column's cells, without the unit of numbers."""
        return without_unit([cell(row, column) for row in self.body])[0]

    def names(self, columns: Sequence[int]) -> list[str]:
        """Headings as written."""
        return [self.columns.names[i] for i in columns]

    def measured(self, column: int) -> str:
        """The heading of a column of numbers, with the unit that its cells have where it names none."""
        name = self.columns.names[column] if self.columns.headed else f"column {column + 1}"
        unit = without_unit([cell(row, column) for row in self.body])[1]
        return f"{name} [{unit}]" if unit and not unit_of(name)[1] else name


def kind_of_table(path: Path, finder: Finder) -> Kind | None:
    """What a table gives its images that is no class each; None where it gives classes, or nothing that is known.

    Raises DataError for a table that holds both tags and numbers.
    """
    opened = _open(path, finder)
    if opened is None:
        return None
    columns = opened.columns
    if columns.boxes or columns.masks is not None:
        return None
    label = columns.label
    if label is not None:
        name, unit = unit_of(columns.names[label])
        constant = _constant(opened.texts(label)) and plain(name).split("_")[-1] in MEASURES
        measured = label in opened.numbers or _constant(opened.texts(label))
        if constant or (measured and unit and not opened.tags):
            return "numbers"
    labels = read_labels(path, finder)
    finder.lenient.clear()
    if isinstance(labels, Labels):
        return "tags" if _repeated(labels, finder) else None
    tags = bool(opened.tags) or len(opened.flags) > 1
    others = [i for i in opened.numbers if i != label or not opened.tags]
    if tags and others:
        mine = opened.names(opened.tags or opened.flags)
        raise DataError(
            f"{path} holds tags ({named(mine)}) and numbers ({named(opened.names(others))}); say which to learn: "
            "--task multilabel learns the tags, --task regression the numbers"
        )
    if tags:
        return "tags"
    if label is not None:
        return "numbers" if label in opened.numbers else None
    return "numbers" if opened.numbers else None


def reader(kind: Kind, only: str | None = None) -> Callable[[Path, Finder], Labels | Useless]:
    """A function that reads a table of tags or of numbers. only: the columns to learn, separated by commas."""

    def read(path: Path, finder: Finder) -> Labels | Useless:
        opened = _open(path, finder)
        if opened is None:
            return Useless(why="has no file column", remedy="name the columns file and label")
        return _tags(opened, only) if kind == "tags" else _numbers(opened, only)

    return read


def _open(path: Path, finder: Finder) -> Opened | None:
    table = read_table(path)
    if len(table.rows) < 2:
        return None
    columns = find_columns(
        table.rows, finder.holds, lambda value: not isinstance(finder.find(value), str)
    )
    finder.lenient.clear()
    if columns.file is None:
        return None
    body = table.rows[1:] if columns.headed else table.rows
    by_kind: dict[str, list[int]] = {"numbers": [], "flags": [], "tags": [], "rest": []}
    label = () if columns.label is None else (columns.label,)
    also = () if columns.also is None else (columns.also,)
    for i in sorted({*label, *also, *columns.rest}):
        texts, _ = without_unit([cell(row, i) for row in body])
        by_kind[_column(columns.names[i], texts, labelled=i in label)].append(i)
    return Opened(
        path=path, table=table, columns=columns, body=body, **{k: tuple(v) for k, v in by_kind.items()}
    )  # fmt: skip


def _column(name: str, texts: list[str], *, labelled: bool) -> str:
    """What a column holds."""
    if is_flag(texts) and not labelled:
        return "flags"
    there = [text for text in texts if text not in NOTHING]
    numbers = [text for text in there if is_number(text)]
    # A few words among measured numbers are slips, which the reader names; a table of classes has no such column.
    slips = len(numbers) >= MOSTLY * len(there) and len(set(numbers)) > STEPS
    if there and (len(numbers) == len(there) or slips):
        identifier = plain(name).split("_")[-1] in ("id", "index", "nr", "no") and not labelled
        return "rest" if identifier or len(set(there)) < FEW else "numbers"
    if _several(texts):
        return "tags"
    return "rest"


def _several(texts: list[str]) -> bool:
    """Whether some cells hold several tags."""
    if all(text.casefold() in EMPTY for text in texts):
        return False
    try:
        tag_lists, how = tags_of(texts, "")
    except DataError:
        return False
    return how != "one a line" and any(tags and len(tags) > 1 for tags in tag_lists)


def _repeated(labels: Labels, finder: Finder) -> bool:
    """Whether many images have several lines, each with another label."""
    given: dict[str, set[str]] = defaultdict(set)
    for row in labels.rows:
        given[row.file].add(row.label)
    several = sum(len(names) > 1 for names in given.values())
    return len(given) >= LEAST and several > REPEATED * len(given)


def _chosen(opened: Opened, only: str) -> list[int]:
    """The columns that a person names. Raises UsageError for one that is not there."""
    names = {plain(name): i for i, name in enumerate(opened.columns.names)}
    bare = {plain(unit_of(name)[0]): i for i, name in enumerate(opened.columns.names)}
    indices = []
    for name in (part.strip() for part in only.split(",")):
        at = names.get(plain(name), bare.get(plain(name)))
        if at is None:
            near = difflib.get_close_matches(plain(name), [*names], n=1)
            hint = f"did you mean {opened.columns.names[names[near[0]]]!r}?" if near else (
                f"its columns are {', '.join(opened.columns.names)}"
            )  # fmt: skip
            raise UsageError(f"{opened.path} has no column {name!r}; {hint}")
        indices.append(at)
    return list(dict.fromkeys(indices))


def _tags(opened: Opened, only: str | None) -> Labels | Useless:
    columns, path = opened.columns, opened.path
    label = columns.label
    chosen = _chosen(opened, only) if only else list(opened.tags or opened.flags)
    if not chosen and label is not None:
        chosen = [label]
    if not chosen:
        return Useless(
            why="holds no tags",
            detail=f": its columns are {', '.join(columns.names)}",
            remedy="write a column tags, such as 'cat; dog', or a column of 0 and 1 for each tag",
        )
    remarks: list[str] = []
    texts = [opened.texts(i) for i in chosen]
    # A column that is named tags or the like holds their names, even if these are 0 and 1.
    if all(is_flag(column) for column in texts) and chosen != [label]:
        flags = [flags_of(column) for column in texts]
        never = [n for n, f in zip(opened.names(chosen), flags, strict=True) if True not in f]
        if never:
            remarks.append(
                f"{path.name}: {'the tags' if len(never) > 1 else 'the tag'} {', '.join(never)} never "
                f"{'occur' if len(never) > 1 else 'occurs'} and {'are' if len(never) > 1 else 'is'} left out"
            )
        rows: list[list[str] | str] = []
        for line in zip(*flags, strict=True):
            missing = [n for n, f in zip(opened.names(chosen), line, strict=True) if f is None]
            held = [n for n, f in zip(opened.names(chosen), line, strict=True) if f]
            rows.append(f"does not say whether it has {named(missing)}" if missing else held)
        how = f"columns {', '.join(opened.names(chosen[:3]))}{', ...' if len(chosen) > 3 else ''} hold 1 for its tags"
    elif len(chosen) == 1:
        tags, way = tags_of(texts[0], f"{path}, column {columns.names[chosen[0]]}")
        rows = [
            "gives it no tags (write none where an image has none)" if t is None else list(t)
            for t in tags
        ]
        how = f"column {columns.names[chosen[0]]} its tags, {way}"
    else:
        return Useless(
            why=f"has several columns of tags ({', '.join(opened.names(chosen))})",
            remedy="name one with --set targets=NAME, or give a column of 0 and 1 for each tag",
        )
    return _labels(opened, rows, how, remarks, several=True)


def _numbers(opened: Opened, only: str | None) -> Labels | Useless:
    columns, path = opened.columns, opened.path
    label = columns.label
    if only:
        chosen = _chosen(opened, only)
    else:
        chosen = [label] if label in opened.numbers and label is not None else list(opened.numbers)
    if not chosen:
        single = [i for i in (label, *opened.rest) if i is not None and _constant(opened.texts(i))]
        if single:
            raise DataError(
                f"{path} gives every image the same number in its column {columns.names[single[0]]}; there is nothing to "
                "learn from it"
            )
        return Useless(
            why="holds no column of numbers",
            detail=f": its columns are {', '.join(columns.names)}",
            remedy="write a column of numbers, such as age [years]",
        )
    remarks: list[str] = []
    values = []
    for i in chosen:
        where = f"{path}, column {columns.names[i]}"
        numbers, more = numbers_of(opened.texts(i), where)
        values.append(numbers)
        remarks += [f"{path.name}: {text.replace(f'{path}, ', '')}" for text in more]
    names = [opened.measured(i) for i in chosen]
    rows: list[dict[str, float] | str] = []
    for line in np.stack(values, axis=1).tolist():
        gone = [n for n, v in zip(names, line, strict=True) if math.isnan(v)]
        endless = [n for n, v in zip(names, line, strict=True) if math.isinf(v)]
        if gone:
            rows.append(f"gives it no number in {named(gone)}")
        elif endless:
            rows.append(f"gives it an infinite number in {named(endless)}")
        else:
            rows.append(dict(zip(names, line, strict=True)))
    unused = [columns.names[i] for i in opened.numbers if i not in chosen]
    if unused and not only:
        remarks.append(
            f"{path.name}: the numbers in {named(unused)} are not learned; --set targets=NAME,NAME chooses columns"
        )
    how = f"{'columns' if len(names) > 1 else 'column'} {', '.join(names)} {'numbers' if len(names) > 1 else 'a number'}"
    return _labels(opened, rows, f"{how} to learn", remarks, several=False)


def _constant(texts: list[str]) -> bool:
    there = {text for text in texts if text not in NOTHING}
    return len(there) == 1 and all(is_number(t) and t.casefold() not in INFINITE for t in there)


def _labels(
    opened: Opened, targets: Sequence[object], how: str, remarks: Sequence[str], *, several: bool
) -> Labels:
    """Rows with their targets as text, and what was left out."""
    path, table, columns = opened.path, opened.table, opened.columns
    skip = len(table.rows) - len(opened.body)
    rows: list[Row] = []
    left: list[Damage] = []
    for i, (row, target) in enumerate(zip(opened.body, targets, strict=True)):
        file = cell(row, columns.file)
        if not file:
            left.append(Damage(path=f"{path.name}, line {table.lines[i + skip]}", reason="it names no file"))  # fmt: skip
        elif isinstance(target, str):
            left.append(Damage(path=file, reason=f"{path.name} {target}"))
        else:
            rows.append(
                Row(
                    file=file,
                    label=json.dumps(target, ensure_ascii=False),
                    split=split_of(path, table.lines[i + skip], columns, row),
                    size=size_of(cell(row, columns.height), cell(row, columns.width)),
                )
            )
    if not rows:
        what = "tags" if several else "numbers"
        raise DataError(f"{path} gives no image {what}: {left[0].path}, for one: {left[0].reason}")
    assert columns.file is not None
    note = f"{path.name}: column {columns.names[columns.file]} names the file, {how}"
    if columns.split is not None:
        note += f", column {columns.names[columns.split]} its split"
    return Labels(
        rows=tuple(rows), note=note, remarks=(*table.remarks, *remarks), left=tuple(left),
        merge=_together if several else None, word=words_of, once="keep one line an image",
        clash="keep one line an image",
    )  # fmt: skip


def words_of(text: str) -> str:
    """The targets of a row as a person reads them: `cat, dog`, or `age 3.5`."""
    target = json.loads(text)
    if isinstance(target, list):
        return ", ".join(sorted(target)) or "no tag"
    return ", ".join(f"{name} {value:.12g}" for name, value in target.items())


def _together(one: str, other: str) -> str:
    """The tags of two lines of one image."""
    return json.dumps(list(dict.fromkeys(json.loads(one) + json.loads(other))), ensure_ascii=False)


def may_be_numbers(path: Path, finder: Finder) -> str | None:
    """The heading of a column of whole numbers that are taken as classes and may be a measure; None where there is none."""
    opened = _open(path, finder)
    if opened is None or opened.columns.label is None:
        return None
    name = opened.columns.names[opened.columns.label]
    ambiguous = plain(name) not in LABEL or plain(name) in ("target", "y") or plain(name) in MEASURES  # fmt: skip
    return name if opened.columns.label in opened.numbers and ambiguous else None
