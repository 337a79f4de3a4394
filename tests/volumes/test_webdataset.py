"""WebDataset archives as data of each task, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import striate
from striate.errors import DataError, StriateError, UsageError
from striate.tasks.table import task_of
from tests.volumes.packing import ITEMS, as_tars, mask, picture, tar


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))


def packed(path: Path, ending: str, value) -> str:
    """20 images, each with a file of that ending beside it."""
    files = []
    for i in range(20):
        files += [(f"{i:04d}.png", picture(i)), (f"{i:04d}.{ending}", value(i))]
    return f"wds:{tar(path, files)}"


def labelled(count: int, base: int = 0) -> list[tuple[str, bytes]]:
    """Images 0.png, 1.png, ... with 0.cls, 1.cls, ... beside them. base: of the seed of the images."""
    pairs = [(f"{i}", picture(base + i), b"%d" % (i % 2)) for i in range(count)]
    return [(f"{k}.{e}", d) for k, image, y in pairs for e, d in (("png", image), ("cls", y))]


def test_masks_are_for_segmentation(tmp_path: Path) -> None:
    source = striate.open_source(packed(tmp_path / "a.tar", "seg.png", mask))
    assert task_of(f"wds:{tmp_path}/a.tar").name == "segment"
    assert len(source) == 20
    assert {int(v) for i in range(len(source.train)) for v in np.unique(source.train.mask(i))} == {0, 1}  # fmt: skip


def test_boxes_are_for_detection(tmp_path: Path) -> None:
    def boxes(i: int) -> bytes:
        return json.dumps(
            {"objects": {"bbox": [[1, 2, 3 + i % 4, 4]], "category": ["ab"[i % 2]]}}
        ).encode()

    data = packed(tmp_path / "a.tar", "json", boxes)
    source = striate.open_source(data)
    assert task_of(data).name == "detect"
    assert (len(source), source.classes) == (20, ("a", "b"))


@pytest.mark.parametrize(
    ("fields", "task"),
    [
        (lambda i: {"label": "ab"[i % 2]}, "classify"),
        (lambda i: {"tags": ["a", "b", "c"][: 1 + i % 3]}, "multilabel"),
        (lambda i: {"age": 20.5 + i * 1.37}, "regression"),
    ],
    ids=["class", "tags", "number"],
)
def test_the_fields_of_json_are_a_table(tmp_path: Path, fields, task: str) -> None:
    data = packed(tmp_path / "a.tar", "json", lambda i: json.dumps(fields(i)).encode())
    assert task_of(data).name == task
    assert len(striate.open_source(data)) == 20


def test_an_archive_of_class_folders_is_that_folder(tmp_path: Path) -> None:
    tar(tmp_path / "a.tar", [(f"{'ab'[i % 2]}/{i}.png", picture(i)) for i in range(20)])
    assert striate.open_source(f"wds:{tmp_path}/a.tar").classes == ("a", "b")


def test_splits_are_those_of_the_shards_names(tmp_path: Path) -> None:
    for split, base in (("train", 0), ("val", 30), ("test", 60)):
        tar(tmp_path / f"{split}-000.tar", labelled(9, base))
    source = striate.open_source(f"wds:{tmp_path}/{{train,val,test}}-000.tar")
    assert [len(s) for s in source.splits.values()] == [9, 9, 9]
    # Keys that begin again in each shard are told apart (webdataset/webdataset#157).
    assert all(key.startswith("val-000/") for key in source.val.keys)


def test_files_of_a_sample_need_not_stand_together(tmp_path: Path) -> None:
    """tar sorts by the disk's order unless told (webdataset/webdataset#140, ray-project/ray#65044)."""
    files = labelled(20)
    tar(tmp_path / "a.tar", [*files[::2], *files[1::2][::-1]])
    source = striate.open_source(f"wds:{tmp_path}/a.tar")
    tar(tmp_path / "b.tar", files)
    assert source.fingerprint == striate.open_source(f"wds:{tmp_path}/b.tar").fingerprint
    assert len(source) == 20


def test_endings_with_words_and_keys_of_any_length(tmp_path: Path) -> None:
    """As mlfoundations/open_clip#480 and webdataset/webdataset#428 write them; a file without an ending is no sample."""
    key = "k" * 150
    pairs = [(f"{key}{i}", picture(i), b"ab"[i % 2 : i % 2 + 1]) for i in range(20)]
    files = [
        (f"{k}.{e}", d)
        for k, image, y in pairs
        for e, d in (("input.png", image), ("outputs.txt", y))
    ]
    tar(tmp_path / "a.tar", [("README", b"about"), *files])
    source = striate.open_source(f"wds:{tmp_path}/a.tar")
    assert (len(source), source.classes) == (20, ("a", "b"))


def test_a_sample_without_a_label_or_an_image_is_named(tmp_path: Path) -> None:
    files = labelled(20)
    tar(tmp_path / "a.tar", [*files, ("no_label.png", picture(50)), ("no_image.cls", b"1")])
    source = striate.open_source(f"wds:{tmp_path}/a.tar")
    assert len(source) == 20
    assert source.outside == ("no_label.png",)
    assert [d.path for d in source.damaged] == ["no_image.jpg"]


def test_a_damaged_image_is_named_and_left_out(tmp_path: Path) -> None:
    files = labelled(20)
    tar(tmp_path / "a.tar", [("7b.png", picture(3)[:60]), ("7b.cls", b"1"), *files])
    source = striate.open_source(f"wds:{tmp_path}/a.tar")
    assert [d.path for d in source.damaged] == ["7b.png"]


@pytest.mark.parametrize(
    ("pattern", "error", "words"),
    [
        (
            "photos-{000..004}.tar",
            UsageError,
            r"photos-003\.tar and 1 more .* are not there, 3 others are",
        ),
        ("nothing-*.tar", UsageError, "there is no archive"),
        ("photos-{000.tar", UsageError, "there is no archive"),
        ("photos-{abc}.tar", UsageError, "neither a range"),
        ("classes.txt", DataError, "it is no tar archive|cut short"),
    ],
    ids=lambda v: v if isinstance(v, str) and v.endswith((".tar", ".txt")) else "",
)
def test_a_pattern_that_does_not_hold_is_named(tmp_path: Path, pattern, error, words) -> None:
    as_tars(tmp_path)
    with pytest.raises(error, match=words):
        striate.open_source(f"wds:{tmp_path}/{pattern}")


def test_a_key_that_stands_twice_in_a_shard_is_named(tmp_path: Path) -> None:
    """With the shard, which webdataset/webdataset#286 could not say."""
    tar(tmp_path / "a.tar", [("1.png", picture(1)), ("1.cls", b"0"), ("1.png", picture(2))])
    with pytest.raises(DataError, match=r"a\.tar holds 1\.png twice"):
        striate.open_source(f"wds:{tmp_path}/a.tar")


def test_a_shard_that_is_cut_short_is_named_with_its_last_whole_file(tmp_path: Path) -> None:
    """As a writer leaves it that was not closed (webdataset/webdataset#32)."""
    as_tars(tmp_path)
    shard = tmp_path / "photos-001.tar"
    shard.write_bytes(shard.read_bytes()[:9000])
    with pytest.raises(
        DataError, match=r"photos-001\.tar is cut short after 9,000 bytes .* last whole file"
    ):
        striate.open_source(f"wds:{tmp_path}/photos-{{000..002}}.tar")


def test_a_shard_that_is_written_again_is_indexed_again(tmp_path: Path) -> None:
    data = as_tars(tmp_path)
    first = striate.open_source(data)
    files = [
        (f"{k}.{e}", d)
        for k, image, y in ITEMS[:6]
        for e, d in (("png", image), ("cls", b"%d" % y))
    ]
    tar(tmp_path / "photos-002.tar", files)
    again = striate.open_source(data)
    assert len(first) == 36
    assert again.fingerprint != first.fingerprint


def test_predictions_name_the_member(tmp_path: Path) -> None:
    from striate.data.files import find_files

    found = find_files([as_tars(tmp_path)])
    assert len(found.files) == 36
    assert found.files[0].endswith("photos-{000..002}.tar/00000.png")
    with pytest.raises(StriateError):
        find_files([f"wds:{tmp_path}/gone.tar"])
