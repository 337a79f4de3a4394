"""The check before training names what would spoil a result, and stays silent about the rest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import Source, check, open_source
from striate.data.shortcuts import find_shortcuts, predictability
from striate.errors import DataError
from striate.findings import Finding

Fill = Callable[..., Path]


def said(finding: Finding, kind: str) -> dict[str, object]:
    """The remark of that kind."""
    (remark,) = [r for r in finding.data["remarks"] if r["kind"] == kind]
    return remark


def kinds(finding: Finding) -> set[str]:
    return {remark["kind"] for remark in finding.data["remarks"]}


@pytest.fixture
def good(fill: Fill) -> Path:
    """A folder to which nothing can be objected."""
    return fill("cat", "dog", "horse", images=60)


@pytest.mark.parametrize("name", ["digits", "lines"])
def test_sound_data_are_left_alone(name: str) -> None:
    finding = check(open_source(name))
    assert finding.status == "good"
    assert finding.verdict.endswith("nothing stands in the way.")
    assert finding.data["remarks"] == []
    assert finding.tables == ()


def test_a_sound_folder_has_but_a_few_test_images(good: Path) -> None:
    finding = check(open_source(good))
    assert kinds(finding) == {"few test images"}
    assert finding.status == "note"
    remark = said(finding, "few test images")
    # 95 % of draws lie within 1.96 sqrt(p (1 - p) / n), at most 0.98 / sqrt(n).
    n = len(open_source(good).test)
    assert f"uncertain by up to {98 / np.sqrt(n):.0f} points" in str(remark["sentence"])


def test_damage_is_named_and_counted(good: Path) -> None:
    for i in range(5):
        (good / f"cat/broken{i}.jpg").write_bytes(b"")
    finding = check(open_source(good))
    assert finding.status == "warning"
    assert finding.verdict == (
        "5 files of 185 cannot be used and are left out (cat/broken0.jpg: it is empty (0 bytes), "
        "cat/broken1.jpg: it is empty (0 bytes), cat/broken2.jpg: it is empty (0 bytes), "
        "and 2 more)."
    )
    table = next(t for t in finding.tables if t.caption == "Files that cannot be used")
    assert [row[0] for row in table.rows] == [f"cat/broken{i}.jpg" for i in range(5)]
    assert len(finding.data["damaged"]) == 5
    json.dumps(finding.to_dict())


def test_more_damage_than_images_is_a_problem(good: Path) -> None:
    for i in range(200):
        (good / f"cat/broken{i}.jpg").write_bytes(b"")
    finding = check(open_source(good))
    assert finding.status == "problem"
    table = next(t for t in finding.tables if t.caption.startswith("Files"))
    assert table.caption == "Files that cannot be used (the first 100 of 200)"
    assert len(table.rows) == 100


def test_copies_with_different_labels_are_named(good: Path) -> None:
    shutil.copy(good / "cat/3.png", good / "dog/new.png")
    finding = check(open_source(good))
    assert finding.verdict == (
        "1 image occurs under different classes (cat/3.png, dog/new.png as cat and dog)."
    )
    assert finding.advice == "Decide for one class and delete the other copies."
    (row,) = finding.tables[-1].rows
    assert row[:2] == ("cat/3.png, dog/new.png", "cat, dog")


def test_copies_with_the_same_label_are_only_a_note(good: Path) -> None:
    shutil.copy(good / "cat/3.png", good / "cat/new.png")
    finding = check(open_source(good))
    assert finding.status == "note"
    assert "1 image repeats another one exactly" in str(said(finding, "duplicates")["sentence"])


def test_a_leak_between_given_splits_is_said(fill: Fill) -> None:
    root = fill("train/a", "train/b", images=40)
    fill("test/a", "test/b", images=30)
    for i in range(4):
        shutil.copy(root / f"train/a/{i}.png", root / f"test/a/leak{i}.png")
    finding = check(open_source(root))
    assert finding.verdict == (
        "4 copies of validation or test images stood in another split and are left out, or the "
        "score would be too good: train/a/0.png, train/a/1.png, train/a/2.png and 1 more."
    )


def test_few_images_imbalance_and_empty_classes(fill: Fill) -> None:
    root = fill("many", images=450)
    fill("few", images=10)
    (root / "none").mkdir()
    finding = check(open_source(root))
    assert kinds(finding) >= {"few images", "imbalance", "empty class"}
    assert "1 of 2 classes has fewer than 20 training images; the least, few, has" in str(
        said(finding, "few images")["sentence"]
    )
    assert "The class many has " in str(said(finding, "imbalance")["sentence"])
    assert said(finding, "empty class")["where"] == ["none"]


def test_classes_that_a_split_lacks(fill: Fill) -> None:
    fill("train/a", "train/b", "train/untested", "test/a", "test/b", images=25)
    root = fill("test/untrained", images=60)
    finding = check(open_source(root))
    assert finding.status == "problem"
    assert finding.verdict.startswith("The class untrained has no train image.")
    assert said(finding, "no test images")["where"] == ["untested"]


def test_odd_shapes_and_sizes(good: Path) -> None:
    Image.new("RGB", (60, 12), "red").save(good / "cat/banner.png")
    Image.new("RGB", (200, 200), "blue").save(good / "cat/poster.png")
    finding = check(open_source(good))
    assert said(finding, "shape")["where"] == ["cat/banner.png"]
    assert "(cat/banner.png with 60 x 12)" in str(said(finding, "shape")["sentence"])
    assert said(finding, "size")["where"] == ["cat/poster.png"]
    assert set(said(finding, "blank")["where"]) == {"cat/banner.png", "cat/poster.png"}  # type: ignore[call-overload]


def test_what_stands_outside_and_what_has_pages(good: Path) -> None:
    Image.open(good / "cat/0.png").save(good / "loose.png")
    pages = [Image.fromarray(np.eye(12, dtype=np.uint8) * v) for v in (100, 200)]
    pages[0].save(good / "cat/pages.tif", save_all=True, append_images=pages[1:])
    finding = check(open_source(good))
    assert said(finding, "outside")["where"] == ["loose.png"]
    assert said(finding, "pages")["where"] == ["cat/pages.tif"]


def test_the_size_that_gives_the_class_away(fill: Fill, tmp_path: Path) -> None:
    root = fill("small", images=40)
    for i in range(40):
        path = root / "large" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (14, 14, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    finding = check(open_source(root))
    assert said(finding, "gives the class away")["sentence"] == (
        "The size of the image alone predicts the class of 100% of the images (50% by guessing); "
        "a network may learn that instead."
    )


def test_the_format_and_the_channels_that_give_the_class_away(fill: Fill) -> None:
    root = fill("a", images=30, suffix=".png")
    fill("b", images=30, suffix=".bmp")
    assert [t.what for t in find_shortcuts(open_source(root))] == ["file format"]
    for path in (root / "b").glob("*.bmp"):
        Image.open(path).convert("L").save(path)
    assert [t.what for t in find_shortcuts(open_source(root))] == [
        "file format",
        "number of channels",
    ]


@pytest.mark.parametrize(
    ("values", "labels", "expected"),
    [
        ([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1], 1.0),
        ([0, 0, 0, 0], [0, 0, 1, 1], 0.0),  # a tie tells nothing
        ([0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1], 6 / 7),
        ([0, 1, 2, 3], [0, 0, 1, 1], 0.0),  # every value once: no others to learn from
        ([0, 0], [0, 1], 0.0),
    ],
)
def test_how_well_a_value_tells_the_class(
    values: list[int], labels: list[int], expected: float
) -> None:
    assert predictability(np.array(values), np.array(labels)) == pytest.approx(expected)


def test_random_values_tell_nothing() -> None:
    rng = np.random.default_rng(0)
    score = predictability(rng.integers(0, 400, 1000), rng.integers(0, 2, 1000))
    assert score < 0.75


def test_what_cannot_be_trained_on(fill: Fill) -> None:
    source: Source = open_source(fill("a", "b", images=4))
    with pytest.raises(
        DataError, match=r"has no training images: all .* make val and test smaller"
    ):
        check(replace(source, train=source.train.take([])))
    with pytest.raises(DataError, match="has one class; at least two are needed"):
        check(replace(source, classes=("a",)))


def test_the_notes_of_the_source_are_passed_on(fill: Fill) -> None:
    root = fill("a", images=30)
    rows = [f"{i},{'xy'[i % 2]}" for i in range(30)]
    (root / "labels.csv").write_text("\n".join(["id,label", *rows]))
    remark = said(check(open_source(root)), "assumed")
    assert remark["sentence"] == "labels.csv: column id names the file, column label its class."
