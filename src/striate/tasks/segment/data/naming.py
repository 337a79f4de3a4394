"""Naming: what a file beside the masks says of the classes, in the forms that people and annotation tools write."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.data.tree import Parts
from striate.documents import from_json
from striate.errors import DataError
from striate.files import leads_out, read_regular
from striate.images import MOST_BYTES

# In the order of preference; the last four may belong to something else and are left alone where they cannot be read.
TABLES = (
    "classes.csv", "classes.txt", "_classes.csv", "class_dict.csv", "class_dict_seg.csv", "classes.tsv", "labelmap.txt",
    "label_map.txt", "label_colors.txt", "label_colours.txt", "colormap.txt", "codes.txt", "class_names.txt",
    "label_names.txt", "objectinfo150.txt", "id2label.json", "label2id.json", "classes.json", "labels.txt", "labels.json",
    "dataset.json", "meta.json", "notes.json",
)  # fmt: skip
PERHAPS = frozenset({"labels.txt", "labels.json", "dataset.json", "meta.json", "notes.json"})
DELIMITERS = (";", "\t", "|", ",")
NAME = {"name", "names", "class", "classname", "label", "category", "title", "labelname", "desc"}
INDEX = {"value", "index", "idx", "id", "pixelvalue", "pixel", "classid", "labelid", "number", "code", "key"}  # fmt: skip
RED, GREEN, BLUE = {"r", "red"}, {"g", "green"}, {"b", "blue"}


@dataclass(frozen=True, kw_only=True)
class Naming:
    """names, and for each its number (`values`), its colour 0xRRGGBB (`colours`), both, or neither: the order counts.

    sure: whether a file of that name can be nothing else.
    """

    names: tuple[str, ...]
    where: str
    sure: bool = True
    values: tuple[int, ...] | None = None
    colours: tuple[int, ...] | None = None


def find_naming(root: Path, files: Sequence[Parts], masks: Sequence[str]) -> Naming | None:
    """The table of names of a set of masks: in `root`, or in a folder above, with or beside the masks.

    files: what lies below `root`. Links out of it are not read, see `linked_names`. Raises DataError for a table that cannot
    be understood.
    """
    for parts in _near(files, masks):
        if leads_out(root.joinpath(*parts), root):
            continue
        try:
            return read_naming(root / "/".join(parts))
        except DataError:
            if parts[-1].casefold() not in PERHAPS:
                raise
    return None


def linked_names(root: Path, files: Sequence[Parts], masks: Sequence[str]) -> list[str]:
    """A warning for each table of names that is a link out of `root`. Every line of any text is a name, so that whoever made
    the folder could show a file of the reader's by a link to it."""
    linked = [f for f in _near(files, masks) if leads_out(root.joinpath(*f), root)]
    return [
        f"{'/'.join(parts)} is a link out of the folder, and its names are not read; put the file itself there"
        for parts in linked
    ]


def _near(files: Sequence[Parts], masks: Sequence[str]) -> list[Parts]:
    """Files of names in a folder above, with or beside the masks, in the order of preference."""
    folders: set[Parts] = {()}
    for path in masks:
        parts = tuple(path.split("/"))
        folders |= {parts[:i] for i in range(len(parts))}
    near = [f for f in files if f[-1].casefold() in TABLES and f[:-1] in folders]
    return sorted(near, key=lambda f: (TABLES.index(f[-1].casefold()), len(f), f))


def read_naming(file: Path) -> Naming:
    """Read a table of names. Raises DataError, naming the file, if it is none."""
    try:
        text = decode_text(read_regular(file, limit=MOST_BYTES))
    except OSError as error:
        raise DataError(
            f"cannot read {file}: {error.strerror or error}; check its rights"
        ) from error
    try:
        if file.suffix.lower() == ".json":
            names, values, colours = _json(from_json(text))
        else:
            names, values, colours = _lines(text, plain=file.suffix.lower() == ".txt")
        for numbers in (values, colours):
            if numbers is not None and len(set(numbers)) < len(numbers):
                twice = Counter(numbers).most_common(1)[0][0]
                shown = f"#{twice:06x}" if numbers is colours else twice
                both = " and ".join(
                    repr(n) for n, v in zip(names, numbers, strict=True) if v == twice
                )
                raise DataError(f"{file} gives {shown} to {both}; give each value to one class")
        if len(names) < 2 or not all(names):
            raise ValueError
    except DataError:
        if leads_out(file):
            raise DataError(
                f"{file} is a link out of its folder to what is no table of names; give the file itself"
            ) from None
        raise
    except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, csv.Error):
        raise DataError(
            f"{file} cannot be understood; write a line a class: name,value or name,red,green,blue, each value once"
        ) from None
    return Naming(
        names=tuple(names),
        values=tuple(values) if values is not None else None,
        colours=tuple(colours) if colours is not None else None,
        where=file.name,
        sure=file.name.casefold() not in PERHAPS,
    )


def decode_text(data: bytes) -> str:
    """Text of a file that a spreadsheet or an editor wrote: UTF-8 or UTF-16 with or without a mark, else Windows-1252."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    zeros = data[1::2].count(0), data[::2].count(0)
    if max(zeros) > len(data) // 5:
        return data.decode("utf-16-le" if zeros[0] > zeros[1] else "utf-16-be", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


Columns = tuple[list[str], "list[int] | None", "list[int] | None"]


def _json(content: Any) -> Columns:
    if isinstance(content, dict):
        for key in ("id2label", "classes", "categories", "labels", "label2id"):
            if key in content and isinstance(content[key], dict | list):
                content = content[key]
                break
    if isinstance(content, dict):
        if all(str(k).lstrip("-").isdecimal() for k in content):
            pairs = [(str(v), int(k)) for k, v in content.items()]
        else:
            pairs = [(str(k), int(v)) for k, v in content.items()]
        pairs.sort(key=lambda p: p[1])
        return [n for n, _ in pairs], [v for _, v in pairs], None
    if all(isinstance(entry, str) for entry in content):
        return [str(e).strip() for e in content], None, None
    names = [
        str(next((e[k] for k in ("name", "title", "label", "readable") if k in e), ""))
        for e in content
    ]
    tools = all("title" in e for e in content)  # Supervisely: its ids are none of the masks' values
    ids = None if tools or not all("id" in e for e in content) else [int(e["id"]) for e in content]
    colours = [_colour(e["color"]) for e in content] if all("color" in e for e in content) else None
    return names, ids, colours


def _colour(cell: Any) -> int:
    """`#ff8000`, `255 128 0`, `(255, 128, 0)` or three numbers as 0xRRGGBB."""
    if isinstance(cell, str) and re.fullmatch(r"#?[0-9a-fA-F]{6}", cell.strip()):
        return int(cell.strip().lstrip("#"), 16)
    parts = re.findall(r"\d+", cell) if isinstance(cell, str) else list(cell)
    r, g, b = (int(p) for p in parts[:3])
    if not all(0 <= v <= 255 for v in (r, g, b)):
        raise ValueError
    return r << 16 | g << 8 | b


def _lines(text: str, *, plain: bool) -> Columns:
    lines = [line for line in re.split(r"\r\n|\n|\r", text) if line.strip()]
    if lines and re.fullmatch(r"sep=.", lines[0].strip(), re.IGNORECASE):
        lines = lines[1:]
    if lines and lines[0].lstrip().startswith("#") and ":" in lines[0]:  # CVAT's heading
        lines = lines[1:]
    table = _table(lines, plain)
    width = max(len(row) for row in table)
    heading: list[str] | None = None
    first, rest = table[0], table[1:]
    words = [re.sub(r"[^a-z]", "", cell.casefold()) for cell in first]
    numeric = [all(_whole(row[c]) for row in rest) and bool(rest) for c in range(width)]
    known = NAME | INDEX | RED | GREEN | BLUE | {"rgb", "color", "colour", "hex"}
    if any(n and not _whole(first[c]) for c, n in enumerate(numeric)) or (
        width > 1 and all(w in known or not w for w in words)
    ):
        heading, table = words, rest
        if not rest:
            raise ValueError
    numeric = [all(_whole(row[c]) for row in table) for c in range(width)]
    index, rgb, packed = _roles(heading, numeric, table)
    taken = {index, packed, *(rgb or ())}
    words_at = [c for c in range(width) if c not in taken and not numeric[c]]
    named = [c for c in words_at if heading and heading[c] in NAME]
    at = (named or words_at or [c for c in range(width) if c not in taken])[0]
    colours = None
    if packed is not None:
        colours = [_colour(row[packed]) for row in table]
    elif rgb is not None:
        colours = [_colour([row[c] for c in rgb]) for row in table]
    values = [int(row[index]) for row in table] if index is not None else None
    return [row[at] for row in table], values, colours


def _table(lines: list[str], plain: bool) -> list[list[str]]:
    """Rows of equal width, cut where all lines can be cut alike."""
    if plain and all(line.count(":") >= 3 for line in lines):  # CVAT: label:r,g,b:parts:actions
        return [[c.strip() for c in line.split(":")[:2]] for line in lines]
    for mark in DELIMITERS:
        cut = csv.reader(
            [line.rstrip().rstrip(mark) for line in lines], delimiter=mark, skipinitialspace=True
        )
        rows = [[cell.strip() for cell in row] for row in cut]
        width = len(rows[0])
        if width > 1 and all(len(row) == width for row in rows):
            numbers = any(all(_whole(row[c]) for row in rows[1:] or rows) for c in range(width))
            if numbers or not plain:
                return rows
    spaced = [re.match(r"^(\d+)\s+(\d+)\s+(\d+)\s+(.+)$", line.strip()) for line in lines]
    if all(spaced):
        return [list(m.groups()) for m in spaced if m]
    tail = [line.rsplit(None, 3) for line in lines]
    if all(len(row) == 4 and all(map(str.isdecimal, row[1:])) for row in tail):
        return [[row[0].strip(), *row[1:]] for row in tail]
    led = [re.match(r"^(\d+)[\s:=.)]+(.+)$", line.strip()) for line in lines]
    if all(led):
        return [[m.group(1), m.group(2).strip()] for m in led if m]
    closed = [found for line in lines if (found := _closed(line.strip()))]
    if len(closed) == len({number for _, number in closed}) == len(lines):
        return [[name, number] for name, number in closed]
    if any(mark in line for line in lines for mark in ";\t|") and not plain:
        raise ValueError
    if not plain and any("," in line for line in lines):
        raise ValueError  # lines of several widths
    return [[line.strip().strip('"')] for line in lines]


def _closed(line: str) -> tuple[str, str] | None:
    """The name and the number of a line that ends in one, `name = 3`. No pattern: one of them tries each length of both."""
    rest = line.rstrip("0123456789")
    name = rest.rstrip(" \t\v\f:=")
    return (name, line[len(rest) :]) if name and len(name) < len(rest) < len(line) else None


def _whole(cell: str) -> bool:
    return bool(re.fullmatch(r"-?\d+", cell.strip()))


def _roles(
    heading: list[str] | None, numeric: list[bool], table: list[list[str]]
) -> tuple[int | None, tuple[int, int, int] | None, int | None]:
    """Columns of the number, of red, green and blue, and of a whole colour."""
    index: int | None = None
    rgb: tuple[int, int, int] | None = None
    width = len(numeric)
    packed = next(
        (
            c
            for c in range(width)
            if not numeric[c]
            and all(re.fullmatch(r"#[0-9a-fA-F]{6}|[\[(]?\d+[,\s]+\d+[,\s]+\d+[\])]?", row[c].strip()) for row in table)
        ),
        None,
    )  # fmt: skip
    if heading:
        at = [
            next((c for c, w in enumerate(heading) if w in kind and numeric[c]), None)
            for kind in (RED, GREEN, BLUE)
        ]
        if None not in at:
            rgb = at[0], at[1], at[2]  # type: ignore[assignment]
        index = next((c for c, w in enumerate(heading) if w in INDEX and numeric[c]), None)
    free = [c for c in range(width) if numeric[c] and c != index and c not in (rgb or ())]
    if rgb is None and packed is None:
        runs = [c for c in free if {c, c + 1, c + 2} <= set(free)]
        runs = [
            c
            for c in runs
            if all(0 <= int(row[k]) <= 255 for row in table for k in (c, c + 1, c + 2))
        ]
        if runs:
            start = runs[-1]
            rgb = (start, start + 1, start + 2)
            free = [c for c in free if c not in rgb]
    if index is None and free:
        unique = [c for c in free if len({row[c] for row in table}) == len(table)]
        # A column of numbers alone is the names themselves, unless there is another for them.
        if (unique or len(free) == 1) and sum(not n for n in numeric) > (packed is not None):
            index = (unique or free)[0]
    return index, rgb, packed
