"""What the data look like, in numbers and in pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from striate import figures
from striate.data import describe, open_source
from striate.findings import Finding

Fill = Callable[..., Path]


def sheet(finding: Finding) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(finding.figures[1].content)).convert("RGB"))


def test_digits() -> None:
    finding = describe(open_source("digits"))
    counts = finding.data["counts"]
    train, val, test = (sum(counts[s]) for s in ("train", "val", "test"))
    assert train + val + test == 1797
    assert finding.verdict == (
        f"1,797 grey images in 10 classes ({train:,} train, {val} val, {test} test), "
        "all of 8 x 8 pixels."
    )
    table = finding.tables[1]
    assert table.columns == ("class", "train", "val", "test", "all")
    assert [row[0] for row in table.rows] == list("0123456789")
    # Counts of scikit-learn's description of the set.
    assert [row[4] for row in table.rows] == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert finding.data["sizes"]["height"] == {"least": 8, "median": 8, "most": 8}
    json.dumps(finding.to_dict())


def test_a_folder_of_several_sizes_and_formats(fill: Fill) -> None:
    root = fill("a", "b", images=5)
    Image.new("L", (30, 10)).save(root / "a/wide.bmp")
    Image.fromarray(np.full((40, 20), 999, dtype=np.uint16)).save(root / "b/deep.png")
    (root / "b/broken.jpg").write_bytes(b"")
    finding = describe(open_source(root))
    assert finding.verdict.startswith("12 mixed images in 2 classes (")
    assert finding.verdict.endswith("from 12 x 12 to 20 x 40 pixels.")
    facts = dict(finding.tables[0].rows)
    assert facts["from"] == str(root)
    assert facts["height"] == "10 to 40, median 12"
    assert facts["aspect ratio"] == "0.50 to 3.00, median 1.00"
    assert facts["format"] == "PNG 11, BMP 1"
    assert facts["colour"] == "colour 10, grey 2"
    assert facts["deeper than 8 bits"] == "1"
    assert facts["files left out as damaged"] == "1"
    assert finding.data["damaged"] == [{"path": "b/broken.jpg", "reason": "it is empty (0 bytes)"}]


def test_the_chart_names_every_class_and_split(fill: Fill) -> None:
    finding = describe(open_source(fill("cat", "dog & $co$", "x" * 60)))
    chart = finding.figures[0]
    assert chart.media == "image/svg+xml"
    text = " ".join(ElementTree.fromstring(chart.content).itertext())
    for word in ("cat", "dog & $co$", "x" * 27 + "…", "train", "val", "test", "images"):
        assert word in text
    assert len(chart.content) < 50_000


def test_of_many_classes_the_largest_and_the_smallest_are_drawn(fill: Fill) -> None:
    source = open_source(fill(*(f"class {i}" for i in range(60)), images=1))
    finding = describe(source)
    text = " ".join(ElementTree.fromstring(finding.figures[0].content).itertext())
    assert text.count("class ") == 40
    assert finding.figures[0].caption.startswith("Images in the 20 largest and 20 smallest")
    assert len(finding.tables[1].rows) == 60
    assert finding.figures[1].caption == (
        "Images of 12 classes, as they are, before preprocessing."
    )


def test_the_sheet_shows_the_images_themselves(tmp_path: Path) -> None:
    """Every tile of an evenly coloured class has that colour, in the class's row."""
    colours = {"blue": (0, 0, 255), "green": (0, 128, 0), "red": (255, 0, 0)}
    for name in colours:
        for i in range(8):
            path = tmp_path / name / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            image = Image.new("RGB", (24, 24), colours[name])
            image.putpixel((0, i), (0, 0, 0))  # not all the same image
            image.save(path)
    pixels = sheet(describe(open_source(tmp_path)))
    for row, colour in enumerate(colours.values()):
        middle = pixels[row * 76 + 36, -8 * 76 :]
        assert (middle == colour).all(axis=-1).sum() == 8 * 72


def test_the_sheet_shows_deep_images_at_one_scale(tmp_path: Path) -> None:
    for i in range(16):
        path = tmp_path / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        value = 1000 + i if i % 2 else 4000 + i
        Image.fromarray(np.full((72, 72), value, dtype=np.uint16)).save(path)
    pixels = sheet(describe(open_source(tmp_path))).astype(int)
    # White is 4095: 4000 of it is 249, 1000 is 62.
    assert abs(pixels[36, -20, 0] - 249) <= 2
    assert abs(pixels[76 + 36, -20, 0] - 62) <= 2


def test_large_photographs_make_a_small_sheet(tmp_path: Path) -> None:
    from skimage import data as pictures

    for i, image in enumerate((pictures.astronaut(), pictures.coffee(), pictures.chelsea())):
        for j in range(8):
            path = tmp_path / str(i) / f"{j}.jpg"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(image[j:]).save(path)
    finding = describe(open_source(tmp_path))
    assert len(finding.figures[1].content) < 120_000
    assert finding.figures[1].media == "image/webp"
    assert finding.data["photographs"]


def test_a_file_that_is_gone_leaves_a_gap(fill: Fill) -> None:
    root = fill("a", "b", images=8)
    source = open_source(root)
    for path in (root / "a").iterdir():
        path.unlink()
    pixels = sheet(describe(source))
    assert (pixels[36, -8 * 76 :] == 255).all()


def test_without_figures_nothing_is_decoded(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(fill("a", "b"))
    for split in source.splits.values():
        for name in ("image", "preprocess"):
            monkeypatch.setattr(type(split), name, lambda *_: pytest.fail("decoded"))
    assert describe(source, figures=False).figures == ()


def test_names_in_any_script_are_drawn_without_noise(fill: Fill) -> None:
    # Warnings are errors here: matplotlib's about characters that its font lacks would end the test.
    names = ("$5 bill", "[red]", "<b>", "犬", "😀 happy", "مرحبا", "हिन्दी", "two\nlines", "é" * 80)
    found = describe(open_source(fill(*names, images=2)))
    assert [figure.media for figure in found.figures] == ["image/svg+xml", "image/webp"]
    assert "犬" in found.figures[0].content.decode()


def test_a_font_that_has_the_characters_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    # STIX comes with matplotlib and has letters that DejaVu Sans lacks, such as U+E000.
    monkeypatch.setattr(figures, "other_fonts", lambda: ("STIXNonUnicode",))
    figures.font_for.cache_clear()
    assert "STIXNonUni" in figures.font_for("\ue000")
    assert "DejaVuSans" in figures.font_for("cat")
    figures.font_for.cache_clear()
