"""Folders of images in every layout that people have."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from striate.data import Preprocessing, Source, open_source
from striate.data.naming import in_order
from striate.errors import DataError, UsageError

Fill = Callable[..., Path]


def paths(source: Source) -> dict[str, tuple[str, str]]:
    """Key -> class and split."""
    return {
        key: (source.classes[label], name)
        for name, split in source.splits.items()
        for key, label in zip(split.keys, split.labels.tolist(), strict=True)
    }


def test_class_folders(fill: Fill) -> None:
    root = fill("dog", "cat", images=10)
    source = open_source(root, seed=3)
    assert source.classes == ("cat", "dog")
    assert set(paths(source)) == {f"{c}/{i}.png" for c in ("cat", "dog") for i in range(10)}
    for split in source.splits.values():
        assert len(split) > 0
        assert split.array is None
        assert split.sizes.tolist() == [[12, 12]] * len(split)
        for i, key in enumerate(split.keys):
            assert key.startswith(source.classes[split.labels[i]] + "/")
            np.testing.assert_array_equal(split.image(i), np.asarray(Image.open(root / key)))


def test_sources_are_the_same_each_time_and_wherever_they_lie(fill: Fill, tmp_path: Path) -> None:
    root = fill("dog", "cat", images=20)
    first, again = open_source(root, seed=1), open_source(str(root), seed=1)
    assert paths(first) == paths(again)
    assert first.fingerprint == again.fingerprint
    copied = shutil.copytree(root, tmp_path / "elsewhere" / "copy")
    assert paths(open_source(copied, seed=1)) == paths(first)
    assert open_source(copied, seed=1).fingerprint == first.fingerprint
    assert open_source(root, seed=2).fingerprint != first.fingerprint


def test_a_renamed_file_keeps_its_split_and_the_fingerprint(fill: Fill) -> None:
    root = fill("dog", "cat", images=20)
    before = open_source(root)
    (root / "cat" / "7.png").rename(root / "cat" / "another name.png")
    after = open_source(root)
    assert paths(after)["cat/another name.png"] == paths(before)["cat/7.png"]
    assert after.fingerprint == before.fingerprint


def test_files_of_operating_systems_are_no_images(fill: Fill) -> None:
    root = fill("cat", "dog")
    for name in (".DS_Store", "Thumbs.db", "cat/.hidden.png", "__MACOSX/cat/0.png", ".git/1.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"no image")
    (root / "cat" / "._0.png").write_bytes(b"\0\5\26\7")
    source = open_source(root)
    assert source.classes == ("cat", "dog")
    assert len(source) == 10
    assert source.damaged == ()
    assert source.outside == ()


@pytest.mark.parametrize("wrapper", ["images", "set/images", "a/b/c/d"])
def test_class_folders_nested_deeper_are_found(fill: Fill, wrapper: str) -> None:
    root = fill(f"{wrapper}/cat", f"{wrapper}/dog")
    source = open_source(root)
    assert source.classes == ("cat", "dog")
    assert f"{wrapper}/cat/0.png" in paths(source)


def test_a_wrapper_beside_loose_files(fill: Fill) -> None:
    root = fill("images/cat", "images/dog")
    shutil.copy(root / "images/cat/0.png", root / "logo.png")
    (root / "README.md").write_text("hello")
    source = open_source(root)
    assert source.classes == ("cat", "dog")
    assert source.outside == ("logo.png",)


def test_images_nested_inside_a_class_belong_to_it(fill: Fill) -> None:
    root = fill("cat", "dog/2023/May", "dog/2024")
    source = open_source(root)
    assert source.classes == ("cat", "dog")
    assert np.concatenate([s.labels for s in source.splits.values()]).sum() == 10


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Training", "valid", "TEST"), ("train", "validation", "testing")],
)
def test_splits_by_folder_are_used_as_they_are(fill: Fill, train: str, val: str, test: str) -> None:
    root = fill(f"{train}/a", f"{train}/b", f"{val}/a", f"{val}/b", f"{test}/a", f"{test}/b")
    source = open_source(root, seed=5)
    expected = {train: "train", val: "val", test: "test"}
    found = paths(source)
    assert len(found) == 30
    for key, (name, split) in found.items():
        folder, own, _ = key.split("/")
        assert (own, expected[folder]) == (name, split)


def test_a_missing_validation_split_is_drawn_from_training(fill: Fill) -> None:
    root = fill("train/a", "train/b", images=40)
    fill("test/a", "test/b", images=3)
    source = open_source(root)
    assert len(source.test) == 6
    assert 4 <= len(source.val) <= 12
    assert source.notes == (
        "10% of the training images are set aside for validation; none were given",
    )
    assert all(key.startswith("train/") for key in (*source.val.keys, *source.train.keys))


def test_a_missing_test_split_is_drawn_from_training(fill: Fill) -> None:
    root = fill("train/a", "train/b", images=40)
    fill("val/a", "val/b", images=3)
    source = open_source(root)
    assert len(source.val) == 6
    assert 8 <= len(source.test) <= 24


def test_a_class_called_train_is_a_class(fill: Fill) -> None:
    assert open_source(fill("train", "bus", "car")).classes == ("bus", "car", "train")
    assert open_source(fill("train/fast", "train/slow", "bus", "car")).classes[-1] == "train"


def test_a_folder_beside_the_splits_is_left_out_and_named(fill: Fill) -> None:
    root = fill("train/a", "train/b", "test/a", "test/b")
    fill("unlabelled", images=2)
    source = open_source(root)
    assert source.classes == ("a", "b")
    assert source.outside == ("unlabelled/0.png", "unlabelled/1.png")


def test_each_split_may_have_its_own_wrapper(fill: Fill) -> None:
    source = open_source(fill("train/train/a", "train/train/b", "test/test/a", "test/test/b"))
    assert source.classes == ("a", "b")
    assert len(source.test) == 10


def test_copies_of_test_images_leave_training(fill: Fill) -> None:
    root = fill("train/a", "train/b", "test/a", "test/b", images=10)
    shutil.copy(root / "test/a/3.png", root / "train/a/copy.png")
    Image.open(root / "test/b/4.png").save(root / "train/b/saved again.bmp")
    source = open_source(root)
    found = paths(source)
    assert len(found) == 40
    assert "train/a/copy.png" not in found
    assert "train/b/saved again.bmp" not in found
    dropped = {key for d in source.duplicates for key in d.dropped}
    assert dropped == {"train/a/copy.png", "train/b/saved again.bmp"}


def test_equal_images_are_found_whatever_the_file(fill: Fill) -> None:
    root = fill("cat", "dog")
    image = Image.open(root / "cat/0.png")
    for name in ("a.bmp", "b.tif", "c.ppm"):
        image.save(root / "cat" / name)
    image.save(root / "dog/other.png", compress_level=1)
    source = open_source(root)
    (group,) = source.duplicates
    assert set(group.keys) == {"cat/0.png", "cat/a.bmp", "cat/b.tif", "cat/c.ppm", "dog/other.png"}
    assert group.conflicting
    assert len(set(group.splits)) == 1


def test_damaged_files_are_named_and_left_out(fill: Fill) -> None:
    root = fill("cat", "dog", images=10, suffix=".jpg")
    whole = (root / "cat/3.jpg").read_bytes()
    (root / "cat/3.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "cat/4.jpg").write_bytes(b"")
    (root / "dog/5.jpg").write_text("not an image")
    os.symlink(root / "nowhere", root / "dog/link.jpg")
    source = open_source(root)
    assert len(source) == 17
    assert {d.path: d.reason for d in source.damaged} == {
        "cat/3.jpg": "it is cut short",
        "cat/4.jpg": "it is empty (0 bytes)",
        "dog/5.jpg": "it holds text, not an image",
        "dog/link.jpg": "it cannot be read (No such file or directory)",
    }


def test_a_file_without_rights_is_damage(fill: Fill) -> None:
    root = fill("cat", "dog")
    (root / "cat/0.png").chmod(0)
    if os.access(root / "cat/0.png", os.R_OK):
        pytest.skip("this user may read everything")
    (damage,) = open_source(root).damaged
    assert damage.reason == "it cannot be read (Permission denied)"


def test_classes_without_a_usable_image_are_named(fill: Fill) -> None:
    root = fill("cat", "dog")
    (root / "horse").mkdir()
    (root / "cow").mkdir()
    (root / "cow/0.png").write_bytes(b"")
    source = open_source(root)
    assert source.classes == ("cat", "dog")
    assert set(source.empty) == {"cow", "horse"}


def test_a_loop_of_links_ends_and_linked_folders_count(fill: Fill, tmp_path: Path) -> None:
    root = fill("data/cat", "data/dog") / "data"
    os.symlink(root, root / "cat" / "loop")
    os.symlink("..", root / "dog" / "up")
    shutil.move(tmp_path / "data" / "dog", tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", root / "dog")
    source = open_source(root)
    assert source.classes == ("cat", "dog")
    assert {key.split("/")[0] for key in paths(source)} == {"cat", "dog"}
    assert "cat/0.png" in paths(source)
    assert "dog/0.png" in paths(source)


def test_names_of_every_kind(fill: Fill) -> None:
    root = fill("Überraschung", "犬", "with space", "100%", "a'b\"c", "$x^2$")
    assert open_source(root).classes == in_order(os.listdir(root))


@pytest.mark.skipif(os.name == "nt", reason="the file system refuses such names")
def test_names_that_are_no_text(fill: Fill) -> None:
    root = fill("cat", "dog")
    os.rename(os.fsencode(root / "cat"), os.fsencode(root) + b"/k\xe4fer")
    source = open_source(root)
    assert source.classes == ("dog", r"k\xe4fer")
    "".join(source.classes).encode()
    assert source.train.image(0).shape == (12, 12, 3)


def test_classes_stand_in_natural_order(fill: Fill) -> None:
    assert open_source(fill("10", "9", "Apple", "banana")).classes == ("9", "10", "Apple", "banana")


def test_formats_that_are_not_read_are_counted(fill: Fill) -> None:
    root = fill("cat", "dog")
    (root / "cat" / "a.heic").write_bytes(b"x")
    (root / "cat" / "b.HEIC").write_bytes(b"x")
    source = open_source(root)
    assert source.outside == ("cat/a.heic", "cat/b.HEIC")
    assert source.notes == ("2 heic files are not read; save them as PNG",)


def test_depths_are_kept_and_known(fill: Fill) -> None:
    root = fill("a", "b", images=4)
    for i in range(4):
        deep = np.full((5, 7), 1000 + i, dtype=np.uint16)
        Image.fromarray(deep).save(root / "a" / f"deep{i}.png")
    source = open_source(root, val=0, test=0)
    split = source.train
    at = [i for i, key in enumerate(split.keys) if "deep" in key]
    assert split.deep.sum() == 4
    assert split.high[at].tolist() == [1000, 1001, 1002, 1003]
    assert split.channels[at].tolist() == [1] * 4
    assert split.sizes[at].tolist() == [[5, 7]] * 4
    assert split.image(at[0]).dtype == np.uint16


def test_progress_reaches_the_end(fill: Fill) -> None:
    seen: list[tuple[int, int]] = []
    open_source(fill("cat", "dog"), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 10) for i in range(1, 11)]


def test_photographs_are_told_from_drawings_and_thumbnails(tmp_path: Path) -> None:
    from skimage import data as pictures

    def cut(folder: str, image: np.ndarray, side: int) -> Source:
        for i in range(12):
            path = tmp_path / folder / "ab"[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[10 * i : 10 * i + side, 10 * i : 10 * i + side]).save(path)
        return open_source(tmp_path / folder)

    assert cut("photographs", pictures.astronaut(), 128).photographs
    assert not cut("thumbnails", pictures.astronaut(), 32).photographs
    assert not cut("grey", np.repeat(pictures.camera()[..., None], 3, axis=-1), 128).photographs
    drawing = np.repeat((pictures.horse() * 200).astype(np.uint8)[..., None], 3, axis=-1)
    drawing[..., 0] = 255
    assert not cut("drawings", drawing, 128).photographs


def test_a_part_of_a_split(fill: Fill) -> None:
    split = open_source(fill("cat", "dog", images=10)).train
    part = split.take([3, 0])
    assert part.keys == (split.keys[3], split.keys[0])
    assert part.labels.tolist() == [split.labels[3], split.labels[0]]
    np.testing.assert_array_equal(part.image(0), split.image(3))


def test_a_further_file_leaves_the_others_where_they_are(fill: Fill) -> None:
    root = fill("cat", "dog", images=40)
    before = paths(open_source(root))
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(root / "cat" / "new.png")
    after = paths(open_source(root))
    moved = [key for key in before if after[key] != before[key]]
    assert len(moved) <= 2
    assert all(key.startswith("cat/") for key in moved)
    assert set(after) == {*before, "cat/new.png"}


def test_a_bomb_among_good_images_is_named(fill: Fill) -> None:
    root = fill("cat", "dog")
    whole = (root / "cat/0.png").read_bytes()
    # IHDR follows the signature; its checksum is not what saves us.
    width = struct.pack(">I", 30_000)
    chunk = b"IHDR" + width + width + whole[24:29]
    bomb = whole[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + whole[33:]
    (root / "cat/0.png").write_bytes(bomb)
    (damage,) = open_source(root).damaged
    assert damage.path == "cat/0.png"
    assert damage.reason == (
        "it is 30000 x 30000 = 900 million pixels, more than the 100 million allowed"
    )


def test_a_folder_that_cannot_be_listed_is_damage(
    fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fill("cat", "dog", "dog/secret")
    list_folder = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", refuse)
    source = open_source(root)
    assert len(source) == 10
    (damage,) = source.damaged
    assert damage.path == "dog/secret"
    assert damage.reason == "the folder cannot be listed (Permission denied)"


def test_images_are_the_callers_to_write_into(fill: Fill) -> None:
    root = fill("cat", "dog")
    Image.new("L", (12, 12)).save(root / "cat/grey.png")
    Image.new("L", (12, 12), 9).save(root / "dog/grey.png")
    folder = open_source(root, val=0, test=0).train
    for split in (folder, open_source("digits").train):
        for index in range(min(len(split), 12)):
            before = split.image(index).copy()
            image = split.image(index)
            image[...] = 77
            np.testing.assert_array_equal(split.image(index), before)
            channels = image.shape[-1]
            same = Preprocessing(channels=channels, height=image.shape[0], width=image.shape[1])
            split.preprocess(index, same)[...] = 77
            np.testing.assert_array_equal(split.image(index), before)


# What cannot be opened


def test_no_such_path() -> None:
    with pytest.raises(UsageError, match=r"no folder or source '/no/where'; give a folder, or one"):
        open_source("/no/where")
    with pytest.raises(UsageError, match=r"no folder or source 'digit'; did you mean digits\?"):
        open_source("digit")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is empty; put PNG, JPEG, WebP, BMP or TIFF images there"):
        open_source(tmp_path)
    (tmp_path / "cat").mkdir()
    (tmp_path / ".DS_Store").write_bytes(b"x")
    with pytest.raises(DataError, match="is empty; put PNG"):
        open_source(tmp_path)


def test_a_folder_of_text_files(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text("x")
    (tmp_path / "a.csv").write_text("x")
    message = r"holds no image .* but 4 other files \(3 .txt, 1 .csv\); give the folder that holds"
    with pytest.raises(DataError, match=message):
        open_source(tmp_path)


def test_one_class(fill: Fill) -> None:
    with pytest.raises(DataError, match="holds one class, 'cat'; at least two are needed"):
        open_source(fill("cat"))


def test_images_without_class_folders(fill: Fill) -> None:
    with pytest.raises(DataError, match=r"holds 5 images but no class folders; put the images of"):
        open_source(fill("."))


def test_splits_without_class_folders(fill: Fill) -> None:
    with pytest.raises(DataError, match=r"train holds images but no class folders; .* train/cat/"):
        open_source(fill("train", "test"))


def test_no_training_split(fill: Fill) -> None:
    with pytest.raises(DataError, match="has the folders test, val but no train folder"):
        open_source(fill("test/a", "test/b", "val/a"))


def test_all_images_damaged(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    message = r"none of the 2 images in .* can be read; the first, a/1.png: it is empty \(0 bytes\)"
    with pytest.raises(DataError, match=message):
        open_source(tmp_path)


def test_images_of_two_channels_are_not_called_damaged(tmp_path: Path) -> None:
    for name in ("a/1.tif", "b/2.tif"):
        (tmp_path / name).parent.mkdir()
        planes = np.zeros((2, 8, 8), dtype=np.uint16)
        tifffile.imwrite(tmp_path / name, planes, ome=True, metadata={"axes": "CYX"}, photometric="minisblack")  # fmt: skip
    with pytest.raises(DataError, match=r"can be read; .*it has 2 channels; 1 \(grey\), 3 \(RGB\)"):
        open_source(tmp_path)


def test_a_file_is_no_source(fill: Fill) -> None:
    root = fill("cat")
    with pytest.raises(DataError, match=r"0.png is an image; give the folder .* striate predict"):
        open_source(root / "cat/0.png")
    (root / "x.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"x.zip is an archive; unpack it and give the folder"):
        open_source(root / "x.zip")
    (root / "x.pt").write_bytes(b"")
    with pytest.raises(DataError, match=r"x.pt is a file; give the folder that holds the images"):
        open_source(root / "x.pt")


@pytest.mark.parametrize("option", ["count", "size"])
def test_count_and_size_are_for_generated_sources(fill: Fill, option: str) -> None:
    with pytest.raises(UsageError, match="count and size are for generated sources"):
        open_source(fill("cat", "dog"), **{option: 10})
    with pytest.raises(UsageError, match=f"{option} cannot be chosen for digits; leave it out"):
        open_source("digits", **{option: 10})


def test_nothing_is_written(fill: Fill) -> None:
    root = fill("cat", "dog")
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    open_source(root)
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before
