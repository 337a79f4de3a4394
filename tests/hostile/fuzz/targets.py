"""What is fuzzed: the parsers of what strangers bring. Each takes any bytes, and raises only where a promise is broken.

python tests/hostile/fuzz/run.py tables 600      # coverage-guided, with atheris; a corpus in ../corpus
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from striate.data.finder import Finder
from striate.data.labels import Labels, read_labels
from striate.data.target_tables import kind_of_table
from striate.documents import to_json
from striate.errors import DataError
from striate.images import open_picture
from striate.report.svg import inline
from striate.report.svg_rules import ATTRIBUTES, ELEMENTS
from striate.wording import as_text, cell_of_csv, one_line, printable

FOLDER = Path(tempfile.mkdtemp(prefix="striate-fuzz-"))
IMAGES = tuple((folder, f"{i}.png") for folder in ("cat", "dog") for i in range(3))
NAMES = ("labels.csv", "metadata.jsonl", "train.tsv", "labels.txt", "labels.json")
MOST_PIXELS = 1_000_000
STEERING = frozenset(map(chr, (*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2066)))


def tables(data: bytes) -> None:
    """A table is read or refused in a sentence, and names no file outside its folder."""
    if not data:
        return
    path = FOLDER / NAMES[data[0] % len(NAMES)]
    path.write_bytes(data[1:])
    finder = Finder(FOLDER, (path.name,), IMAGES)
    try:
        kind_of_table(path, finder)
        labels = read_labels(path, finder)
        if isinstance(labels, Labels):
            for row in labels.rows:
                found = finder.find(row.file)
                assert isinstance(found, str) or found[0] != "..", found
    except DataError:
        pass
    finally:
        path.unlink()


def names(data: bytes) -> None:
    """A name prints without steering anything, stays what it is when printed again, and is no formula."""
    name = data.decode("utf-8", "surrogateescape")
    shown = one_line(name)
    assert not STEERING & set(shown) and "\n" not in shown
    assert shown == one_line(shown)
    assert printable(name).encode("utf-8").decode() == printable(name)
    assert as_text(name).encode("utf-8").decode() == as_text(name)
    assert json.loads(to_json({name: [name]})) == {as_text(name): [as_text(name)]}
    text = io.StringIO()
    csv.writer(text).writerow([cell_of_csv(name), "end"])
    rows = list(csv.reader(io.StringIO(text.getvalue())))
    assert len(rows) == 1 and rows[0][1] == "end"
    bare = rows[0][0].strip(" ")
    assert bare[:1] not in ("=", "@")
    assert bare[:1] not in ("+", "-") or set(bare[1:]) <= set("0123456789.,eE+- %")


class _Tags(HTMLParser):
    """Every tag and attribute, as a page's parser meets them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}


ALLOWED = {name.lower() for name in ELEMENTS}
KNOWN = {a.lower() for a in ATTRIBUTES} | {
    "id", "href", "style", "role", "aria-label", "aria-labelledby", "aria-describedby"
}  # fmt: skip


def svgs(data: bytes) -> None:
    """What stands in the page has the elements and attributes of the list, and reaches nothing outside."""
    try:
        text, width = inline(data, "p", "alt")
    except DataError:
        return
    parser = _Tags()
    parser.feed(text)
    assert parser.seen <= ALLOWED, parser.seen - ALLOWED
    assert parser.attributes <= KNOWN, parser.attributes - KNOWN
    assert 0 < width <= 20_000


def tiffs(data: bytes) -> None:
    """A region of a TIFF is the same part of the whole, or is refused in a sentence."""
    path = FOLDER / "a.tif"
    path.write_bytes(data)
    try:
        picture = open_picture(path, max_pixels=MOST_PIXELS, max_bytes=100_000_000)
        try:
            height, width, channels = picture.shape
            if channels > 64:
                return
            whole = picture.read((0, height), (0, width))
            rows, columns = (height // 3, height // 3 + 1), (width // 4, width - width // 4)
            part = picture.read(rows, columns)
        finally:
            picture.close()
    except DataError:
        return
    assert whole.shape == picture.shape and whole.dtype == picture.dtype
    expected = whole[slice(*rows), slice(*columns)]
    assert np.array_equal(part, expected, equal_nan=whole.dtype.kind == "f")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "tables": tables, "names": names, "svgs": svgs, "tiffs": tiffs,
}  # fmt: skip
