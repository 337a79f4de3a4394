"""Images of identities: how they are split, what is said of them before training, and the generated ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.errors import DataError, UsageError
from striate.findings import Finding
from striate.tasks.embed.data import drawn_by_identity
from striate.tasks.embed.glyphs import card, glyph_image
from striate.tasks.embed.task import EmbedTask
from striate.tasks.table import open_source, task_for


def image_of(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (12, 12)).astype(np.uint8))


def folder_of(root: Path, counts: list[int]) -> Path:
    for k, n in enumerate(counts):
        (root / f"p{k}").mkdir(parents=True)
        for i in range(n):
            image_of(1000 * k + i).save(root / f"p{k}" / f"{i}.png")
    return root


def remarks(finding: Finding) -> dict[str, str]:
    return {r["kind"]: r["sentence"] for r in finding.data["remarks"]}


def test_shares_are_of_images_and_every_identity_is_whole() -> None:
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 60, 300)
    labels = rng.permutation(np.repeat(np.arange(300), counts))
    names = [f"n{i}" for i in range(300)]
    part = drawn_by_identity(labels, names, seed=0, val=0.1, test=0.2)
    assert all(len(np.unique(part[labels == k])) == 1 for k in range(300))
    assert np.mean(part == 2) == pytest.approx(0.2, abs=30 / len(labels) + 1e-9)
    assert np.mean(part == 1) == pytest.approx(0.1, abs=30 / len(labels) + 1e-9)
    again = drawn_by_identity(labels, names, seed=1, val=0.1, test=0.2)
    assert (part != again).any()


def test_an_added_identity_moves_few_others() -> None:
    labels, names = np.repeat(np.arange(200), 5), [f"n{i}" for i in range(201)]
    before = drawn_by_identity(labels, names, seed=0, val=0.1, test=0.2)
    after = drawn_by_identity(np.append(labels, [200] * 5), names, seed=0, val=0.1, test=0.2)
    assert (before != after[:1000]).sum() <= 2 * 5


@pytest.mark.parametrize(
    ("identities", "parts"), [(4, (2, 0, 2)), (5, (3, 0, 2)), (6, (2, 2, 2)), (9, (5, 2, 2))]
)
def test_few_identities_are_split_so_that_a_test_has_two(
    identities: int, parts: tuple[int, int, int]
) -> None:
    labels = np.repeat(np.arange(identities), 4)
    part = drawn_by_identity(
        labels, [f"n{i}" for i in range(identities)], seed=0, val=0.1, test=0.2
    )
    assert tuple(len(np.unique(labels[part == code])) for code in range(3)) == parts


def test_three_identities_are_too_few_to_train_on_and_enough_to_test_with(tmp_path: Path) -> None:
    few = folder_of(tmp_path / "few", [3, 3, 3])
    with pytest.raises(
        DataError, match="3 identities; at least 4 are needed, 2 to train on and 2 to test with"
    ):
        striate.train(few, task="embed", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    source = open_source(few, task="embed")
    assert [len(s) for s in source.splits.values()] == [0, 0, 9]


def test_a_test_of_ones_own_leaves_three_identities_to_train_on(tmp_path: Path) -> None:
    folder_of(tmp_path / "own" / "train", [3, 3, 3])
    folder_of(tmp_path / "own" / "test", [2, 2])
    for k in range(2):
        (tmp_path / "own" / "test" / f"p{k}").rename(tmp_path / "own" / "test" / f"q{k}")
    for i, path in enumerate(sorted((tmp_path / "own" / "test").rglob("*.png"))):
        image_of(7000 + i).save(path)
    source = open_source(tmp_path / "own", task="embed")
    assert [len(np.unique(s.labels)) for s in source.splits.values()] == [3, 0, 2]
    assert not any("set aside" in note for note in source.notes)


def test_the_check_names_what_spoils_a_result(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "people", [5, 5, 5, 5, 5, 1, 5, 5])
    image_of(0).save(root / "p1" / "again.png")  # the first image of p0
    Image.new("L", (12, 12), 80).save(root / "p2" / "grey.png")
    (root / "p9").mkdir()
    source = open_source(root, task="embed")
    said = remarks(EmbedTask().check(source))
    assert "p5" in said["one image"] and "no pair" in said["one image"]
    assert "as p0 and p1" in said["two names"] or "as p1 and p0" in said["two names"]
    assert "p2/grey.png" in said["blank"] and "p9" in said["empty identity"]
    assert "to train on" in said["few identities"] and "of test" in said["few held out"]


def test_held_out_identities_of_one_image_each_can_measure_nothing(tmp_path: Path) -> None:
    # torchreid 207 and 562: "all query identities do not appear in gallery".
    folder_of(tmp_path / "reid" / "train", [4] * 5)
    folder_of(tmp_path / "reid" / "test", [1] * 3)
    for k in range(3):
        (tmp_path / "reid" / "test" / f"p{k}").rename(tmp_path / "reid" / "test" / f"q{k}")
    for path in (tmp_path / "reid" / "test").rglob("*.png"):  # else copies of training images
        image_of(5000 + int(path.parent.name[1:])).save(path)
    finding = EmbedTask().check(open_source(tmp_path / "reid", task="embed"))
    assert finding.status == "problem" and finding.verdict.startswith(
        "No identity of test has two images"
    )


def test_copies_of_one_image_in_many_folders_are_found(tmp_path: Path) -> None:
    # bubbliiiing/arcface-pytorch 6: copies in folders of their own, to have more identities; the loss did not fall.
    root = folder_of(tmp_path / "fish", [2] * 6)
    for k in range(6):
        image_of(77).save(root / f"p{k}" / "copy.png")
    finding = EmbedTask().check(open_source(root, task="embed"))
    assert finding.status == "problem" and finding.verdict.startswith(
        "1 image stands under the names of two identities"
    )


def test_identities_named_by_numbers_with_gaps(tmp_path: Path) -> None:
    # torchreid 90: 001, 002, 004, which were taken for indices.
    root = folder_of(tmp_path / "all", [3] * 6)
    rows = [f"p{k}/{i}.png,{(1, 2, 4, 90, 700, 12)[k]:03d}" for k in range(6) for i in range(3)]
    (root / "ids.csv").write_text("file,label\n" + "\n".join(rows) + "\n")
    source = open_source(root / "ids.csv", task="embed")
    assert sorted(source.classes) == ["001", "002", "004", "012", "090", "700"]
    assert sorted(np.unique(source.train.labels)) == [0, 1]


def test_arrays_and_sources_given_in_python() -> None:
    rng = np.random.default_rng(0)
    images, labels = (
        rng.integers(0, 255, (24, 8, 8)).astype(np.uint8),
        np.repeat(np.arange(6) * 10, 4),
    )
    source = striate.open_source((images, labels), task="embed")
    held = [set(s.labels.tolist()) for s in source.splits.values()]
    assert not held[0] & held[1] and not held[0] & held[2] and not held[1] & held[2]
    parts = {"train": (images[:12], labels[:12]), "test": (images[8:], labels[8:])}
    with pytest.raises(DataError, match="“20” in both train and test"):
        striate.open_source(parts, task="embed")
    with pytest.raises(DataError, match="in both train and"):  # a source that is split by image
        striate.train(striate.open_source("digits"), task="embed")


def test_glyphs_are_a_function_of_seed_identity_and_sample() -> None:
    a = glyph_image(0, 3, 5)
    assert a.shape == (64, 64, 3) and a.dtype == np.uint8
    assert (a == glyph_image(0, 3, 5, drawn=card(0, 3))).all()
    for other in (glyph_image(1, 3, 5), glyph_image(0, 4, 5), glyph_image(0, 3, 6)):
        assert np.abs(a.astype(int) - other).mean() > 5
    small, large = (
        open_source("glyphs", task="embed", count=n, val=0, test=0.3).train for n in (96, 112)
    )
    kept = {key: small.image(i) for i, key in enumerate(small.keys)}
    assert any(
        (large.image(i) == kept[key]).all() for i, key in enumerate(large.keys) if key in kept
    )


def test_glyphs_are_found_by_their_name() -> None:
    assert task_for("glyphs").name == "embed"
    with pytest.raises(UsageError, match="count must be 96 to"):
        open_source("glyphs", task="embed", count=10)


def test_the_description_counts_identities() -> None:
    finding = EmbedTask().describe(open_source("glyphs", task="embed", count=96))
    assert finding.data["identities"] == {"train": 2, "val": 2, "test": 2}
    assert "96 colour images of 6 identities" in finding.verdict and len(finding.figures) == 2
