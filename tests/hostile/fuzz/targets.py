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
from PIL import Image

from striate.data.finder import Finder
from striate.data.labels import Labels, read_labels
from striate.data.target_tables import kind_of_table
from striate.documents import to_json
from striate.errors import DataError, RunError, UsageError
from striate.images import open_picture
from striate.models.building import refuse_planned
from striate.models.spelling import spelled
from striate.report.svg import inline
from striate.report.svg_rules import ATTRIBUTES, ELEMENTS
from striate.runs.begun import begun_run
from striate.runs.run import BEGUN, Run
from striate.tasks.detect.data.annotations import Polygons, text_of
from striate.tasks.detect.data.coco import outline_of
from striate.tasks.detect.data.folder import mended_images
from striate.tasks.detect.data.plain_yaml import read_yaml
from striate.tasks.detect.data.polygons import rasterise
from striate.tasks.detect.data.run_lengths import (
    counts_of,
    counts_of_text,
    region_of,
    text_of_counts,
)
from striate.tasks.detect.data.sources import read_annotations
from striate.tasks.segment.data.naming import read_naming
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


def _images(folder: Path, count: int = 3) -> Path:
    """Small images, for annotations to name."""
    folder.mkdir(exist_ok=True)
    for i in range(count):
        Image.fromarray(np.full((24, 24), 40 * i, np.uint8)).save(folder / f"{i}.png")
    return folder


BOXED = ("a.json", "0.json", "a.xml", "0.xml", "0.txt", "data.yaml", "boxes.csv", "classes.txt")


def boxes(data: bytes) -> None:
    """Annotations of every format are objects inside their images, or refused in a sentence."""
    if not data:
        return
    folder = _images(FOLDER / "boxes")
    paths = [folder / BOXED[data[0] % len(BOXED)], folder / "1.txt"]
    paths[1].write_text("0 0.5 0.5 0.2 0.2\n")  # so that YOLO's other files have something to name
    paths[0].write_bytes(data[1:])
    try:
        root, tree, annotations, _ = read_annotations(folder)
        mended = mended_images(root, tree, annotations)
    except DataError:
        return
    finally:
        for path in paths:
            path.unlink()
    for look, objects in zip(mended.looks, mended.objects, strict=True):
        sides = np.array([look.form.width, look.form.height])
        assert (objects.boxes >= 0).all() and (objects.boxes[:, 2:] <= sides).all()
        assert (objects.sides > 0).all() and (objects.labels < len(annotations.classes)).all()
        for region in objects.regions or ():
            assert region.area > 0 and region.mask.any()


def run_lengths(data: bytes) -> None:
    """Compressed run lengths are refused, or make a region that is written as the same ones."""
    height, width = (1 + b % 64 for b in (*data[:2], 0, 0)[:2])
    try:
        counts = counts_of_text(data[2:])
        region = region_of(counts, height, width)
    except DataError:
        return
    assert text_of_counts(counts_of_text(text_of_counts(counts))) == text_of_counts(counts)
    if region is None:
        return
    assert region.left >= 0 and region.top >= 0
    assert region.left + region.width <= width and region.top + region.height <= height
    again = region_of(counts_of(region, height, width), height, width)
    assert again is not None and np.array_equal(again.runs, region.runs)
    assert region.area == sum(c for i, c in enumerate(counts) if i % 2)


def outlines(data: bytes) -> None:
    """COCO's `segmentation`: a region inside its image, or a sentence."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    try:
        outline = outline_of(value)
        region = rasterise(outline, 40, 60) if isinstance(outline, Polygons) else outline
    except DataError:
        return
    if region is not None:
        assert region.area > 0 and region.top >= 0 and region.left >= 0
    if region is not None and isinstance(outline, Polygons):
        assert region.left + region.width <= 60 and region.top + region.height <= 40


def yamls(data: bytes) -> None:
    """YAML becomes plain values, none of which is larger than what was written."""
    path = FOLDER / "data.yaml"
    path.write_bytes(data)
    value = read_yaml(path)
    if isinstance(value, dict):
        for key, one in value.items():
            assert len(text_of(key)) + len(text_of(one)) <= 4 * len(data) + 100


def namings(data: bytes) -> None:
    """A table of class names has one for each number or colour, or is refused in a sentence."""
    if not data:
        return
    path = FOLDER / ("classes.csv", "classes.txt", "classes.json", "labelmap.txt")[data[0] % 4]
    path.write_bytes(data[1:])
    try:
        found = read_naming(path)
    except DataError:
        return
    assert len(found.names) > 1 and all(found.names)
    for numbers in (found.values, found.colours):
        assert numbers is None or len(set(numbers)) == len(found.names)


def specs(data: bytes) -> None:
    """A model's spec, a name with options or a layer pattern, is a network that fits or a sentence; none of it is made."""
    spec = data.decode("utf-8", "replace")
    if spec.startswith("timm/") or ":" in spec:  # another package's table
        return
    try:
        name, options = spelled(spec)
        assert isinstance(name, str) and all(isinstance(k, str) for k in options)
        refuse_planned(spec, 3, 2, (32, 32), {})
    except UsageError:
        pass


def run_tomls(data: bytes) -> None:
    """A `run.toml` or `begun.toml` is what Striate wrote, or refused in a sentence."""
    folder = FOLDER / "run"
    folder.mkdir(exist_ok=True)
    for name, read in (("run.toml", Run.load), (BEGUN, begun_run)):
        (folder / name).write_bytes(data)
        try:
            read(folder)
        except (RunError, UsageError):
            pass
        finally:
            (folder / name).unlink()


TARGETS: dict[str, Callable[[bytes], None]] = {
    "tables": tables, "names": names, "svgs": svgs, "tiffs": tiffs, "boxes": boxes, "run_lengths": run_lengths,
    "outlines": outlines, "yamls": yamls, "namings": namings, "specs": specs, "run_tomls": run_tomls,
}  # fmt: skip
