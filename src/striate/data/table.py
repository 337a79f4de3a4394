"""A table as people save it: CSV in any encoding, with any separator and line ends, or JSON."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.documents import from_json
from striate.errors import DataError
from striate.files import read_regular

SUFFIXES = frozenset({
    ".csv", ".tsv", ".txt", ".json", ".jsonl", ".xlsx", ".xls", ".ods", ".parquet", ".feather",
})  # fmt: skip
SEPARATORS = ",;\t|"
MOST_BYTES = 1_000_000_000  # a line an image of a hundred characters, for ten million images
SAMPLE = 200  # lines by which the separator is chosen
# What a file begins with, and what it is then.
_OTHERS = (
    (b"PK\x03\x04", "an Excel workbook or another archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "a Feather file"),
    (b"SQLite format", "a database"),
    (b"\x1f\x8b", "compressed"),
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with git lfs pull"),
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """rows: cells without blanks at their ends, the heading, if any, first; rows[i] stands on line lines[i] of the file.

    remarks: what was assumed about the file, a sentence each.
    """

    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    remarks: tuple[str, ...] = ()


def read_table(path: Path) -> Table:
    """Read a table; rows and columns without any content are dropped.

    Raises DataError with one sentence where the file is no table or cannot be read.
    """
    try:
        data = read_regular(path, limit=MOST_BYTES)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    for head, what in _OTHERS:
        if data.startswith(head):
            remedy = "" if ";" in what else "; save it as CSV and give that"
            raise DataError(f"{path} is {what}, not a table of text{remedy}")
    text, remark = decoded(data)
    begin = text.lstrip()[:200]
    if re.match(r"<(!doctype|html|\?xml)", begin, re.IGNORECASE):
        raise DataError(
            f"{path} is a page of HTML or XML, not a table; save it as CSV and give that"
        )
    remarks = (f"{path.name} {remark}",) if remark else ()
    if path.suffix.lower() in {".json", ".jsonl"}:
        rows = _from_json(path, text)
        return Table(rows=rows, lines=tuple(range(1, len(rows) + 1)), remarks=remarks)
    rows, lines = _from_csv(path, text)
    return Table(rows=rows, lines=lines, remarks=remarks)


def decoded(data: bytes) -> tuple[str, str]:
    """The text of a file in whatever encoding, and what had to be assumed.

    A byte order mark decides; without one UTF-16 is recognised by its zero bytes, and what is no UTF-8 is Windows-1252.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, "replace"), ""
    head = data[:2000]
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = head[start::2].count(0)
        if len(head) > 3 and zeros > 0.3 * len(head) / 2 and head.count(0) < 1.2 * zeros:
            return data.decode(encoding, "replace"), ""
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError:
        how = "is not UTF-8 and is read as Windows-1252; if names look wrong, save it as UTF-8"
        try:
            return data.decode("cp1252"), how
        except UnicodeDecodeError:
            return data.decode("latin-1"), how.replace("Windows-1252", "Latin-1")


def _from_csv(path: Path, text: str) -> tuple[tuple[tuple[str, ...], ...], tuple[int, ...]]:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    skipped = 0
    separator = None
    first, _, rest = text.partition("\n")
    # Excel's own way to name the separator.
    if match := re.fullmatch(r'"?sep=(.)"?[,;\t ]*', first.strip("\ufeff"), re.IGNORECASE):
        separator, text, skipped = match[1], rest, 1
    separator = separator or _separator(path, text)
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    try:
        if separator == " ":
            reader: Any = (line.split() for line in text.split("\n"))
            numbered = list(enumerate(reader, 1))
        else:
            source = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
            numbered = [(source.line_num, row) for row in source]
    except csv.Error as error:
        raise DataError(
            f"cannot read {path}: {error}; see whether a quotation mark is never closed"
        ) from error
    for number, row in numbered:
        cells = tuple(cell.strip() for cell in row)
        if any(cells):
            rows.append(cells)
            lines.append(number + skipped)
    width = max((len(_trimmed(row)) for row in rows), default=0)
    return tuple(row[:width] for row in rows), tuple(lines)


def _trimmed(row: Sequence[str]) -> Sequence[str]:
    while row and not row[-1]:
        row = row[:-1]
    return row


def _separator(path: Path, text: str) -> str:
    """The separator with which the most lines have as many cells as the first."""
    head = text.split("\n", SAMPLE)[:SAMPLE]
    best, score = ",", (0.0, 0)
    for separator in SEPARATORS:
        try:
            widths = [len(row) for row in csv.reader(head, delimiter=separator) if any(row)]
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            evenness = (sum(w == widths[0] for w in widths) / len(widths), widths[0])
            best, score = (separator, evenness) if evenness > score else (best, score)
    if score == (0.0, 0) and path.suffix.lower() == ".txt":
        return " "
    return best


def _from_json(path: Path, text: str) -> tuple[tuple[str, ...], ...]:
    """A list of records, a record a line, or a mapping from files to labels."""
    try:
        if path.suffix.lower() == ".jsonl":
            content: Any = [from_json(line) for line in text.splitlines() if line.strip()]
        else:
            content = from_json(text)
    except ValueError as error:
        raise DataError(f"cannot read {path}: it is no JSON ({error}); save it as CSV") from error
    if isinstance(content, dict):
        if {"images", "annotations"} <= content.keys():
            raise DataError(
                f"{path} holds annotations of objects (COCO), and Striate learns one class an image or a mask; "
                "write a CSV with the columns file and label, or masks as files"
            )
        content = [{"file": file, "label": label} for file, label in content.items()]
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise DataError(
            f"{path} is no list of records; write a CSV with the columns file and label"
        )
    header = list(dict.fromkeys(key for row in content for key in row))
    rows = [tuple(_cell(row.get(key)) for key in header) for row in content]
    return (tuple(header), *(row for row in rows if any(row))) if header else ()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
