"""What stands among images and is none: left out by every reader of folders, counted and named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from striate.data import Source, check, describe, open_source
from striate.data.tree import grow
from striate.errors import DataError

Fill = Callable[..., Path]

RUN = '[recipe]\nmodel = "lenet5"\n'


def put(root: Path, *names: str) -> None:
    """A small grey image under each name, whatever its suffix."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            Image.new("RGB", (8, 8), len(name)).save(file, "PNG")


def left(source: Source) -> dict[str, set[str]]:
    return {found.kind: set(found.paths) for found in source.left_out}


def said(source: Source) -> str:
    """Everything that the terminal shows of a source."""
    return json.dumps([describe(source, figures=False).to_dict(), check(source).to_dict()])


@pytest.mark.parametrize(
    "junk",
    [
        "@eaDir", "cat/@eaDir", ".AppleDouble", "__MACOSX", ".ipynb_checkpoints", ".thumbnails", "$RECYCLE.BIN",
        "System Volume Information", "lost+found", ".Trash-1000", "#recycle", "@Recycle", ".@__thumb",
        ".picasaoriginals", ".dtrash", ".git", ".dvc", ".cache", "_gsdata_", ".sync", "dog/.ipynb_checkpoints",
        "__pycache__", "wandb", "@tmp",
    ],
)  # fmt: skip
def test_system_folders_are_no_classes_and_hold_no_images(fill: Fill, junk: str) -> None:
    root = fill("cat", "dog", images=12)
    put(root / junk, "0.png/SYNOPHOTO_THUMB_M.jpg", "1.png")
    source = open_source(root)
    assert len(source) == 24
    assert source.classes == ("cat", "dog")
    (found,) = source.left_out
    assert (found.kind, found.paths, found.images) == ("system", (junk,), 2)
    assert f"1 hidden or system folder or file is left out, with 2 images in it: {junk}." in said(source)  # fmt: skip


def test_system_files_are_no_images(fill: Fill) -> None:
    root = fill("cat", "dog")
    names = {"._0.png", ".DS_Store", "Thumbs.db", "SYNOPHOTO_THUMB_XL.jpg", "0.png:Zone.Identifier"}
    put(root / "cat", *names)
    source = open_source(root)
    assert len(source) == 10
    assert left(source) == {"system": {f"cat/{name}" for name in names}}


def test_thumbnails_by_their_originals_not_by_their_name(fill: Fill) -> None:
    root = fill("cat", "dog", "thumbs", images=3)
    source = open_source(root)
    assert source.classes == ("cat", "dog", "thumbs")
    put(root / "cat", "thumbs/0.jpg", "thumbs/1.jpg", "Thumbnails/tn_2.jpg")
    put(root / "Thumbs", "cat/0.jpg", "dog/1.jpg")
    source = open_source(root)
    assert source.classes == ("cat", "dog", "thumbs")
    assert len(source) == 9
    assert left(source) == {"thumbnails": {"cat/thumbs", "cat/Thumbnails", "Thumbs"}}


def test_a_run_inside_the_data_is_no_class(fill: Fill) -> None:
    root = fill("cat", "dog")
    before = open_source(root)
    for number in (1, 2):
        put(root / f"runs/data-{number}", "findings/a.png", "findings/b.webp", "run.svg")
        (root / f"runs/data-{number}/run.toml").write_text(f"format = 1\n{RUN}")
    source = open_source(root)
    assert source.classes == ("cat", "dog")
    assert source.fingerprint == before.fingerprint
    assert source.empty == source.outside == ()
    assert left(source) == {"run": {"runs/data-1", "runs/data-2"}}
    with pytest.raises(
        DataError, match="data-1 is a run, which Striate wrote, and holds no images"
    ):
        open_source(root / "runs/data-1")


def test_loops_pipes_and_placeholders(fill: Fill) -> None:
    root = fill("cat", "dog")
    os.symlink(root, root / "cat" / "loop")
    os.mkfifo(root / "dog/pipe.jpg")
    (root / "dog/.holiday.jpg.icloud").write_bytes(b"bplist00")
    source = open_source(root)
    assert len(source) == 10
    assert left(source) == {
        "loop": {"cat/loop"},
        "special": {"dog/pipe.jpg"},
        "cloud": {"dog/.holiday.jpg.icloud"},
    }
    assert "1 image that is only in iCloud is left out" in said(source)


def test_what_a_file_is_follows_from_its_content(fill: Fill) -> None:
    root = fill("cat", "dog")
    names = (
        "a.jpg?w=640", "b.jpg_large", "c.jpeg%3fv=1.5", "d.JPG-1", "e", "f.JPEG", "g.jfif", "h.jpe",
        "i.png.jpg", "j.heic", "k.dat", "l.jpg.txt",
    )  # fmt: skip
    put(root / "cat", *names)
    source = open_source(root)
    keys = {key for split in source.splits.values() for key in split.keys}
    dropped = {key for group in source.duplicates for key in group.dropped}
    assert {f"cat/{name}" for name in names} <= keys | dropped
    assert len(source) == 10 + len(names)
    assert source.damaged == source.outside == source.left_out == ()


def test_what_only_looks_like_an_image_is_named(fill: Fill) -> None:
    root = fill("cat", "dog")
    (root / "cat/page.jpg?w=640").write_text("<html>not found")
    (root / "cat/page.jpg").write_text("<html>not found")
    (root / "cat/empty.jpg_large").touch()
    (root / "cat/BMW").write_text("BM is how a bitmap begins, and this text")
    (root / "cat/0.png.json").write_text("{}")
    (root / "cat/0.png.meta").write_text("a sidecar")
    (root / "cat/raw.nef").write_bytes(b"II*\0" + bytes(30))
    source = open_source(root)
    assert len(source) == 10
    assert {d.path for d in source.damaged} == {
        "cat/page.jpg?w=640",
        "cat/page.jpg",
        "cat/empty.jpg_large",
    }
    assert left(source) == {"other": {"cat/BMW", "cat/0.png.json", "cat/0.png.meta"}}
    assert source.outside == ("cat/raw.nef",)


def test_backups_of_an_image_are_left_out(fill: Fill) -> None:
    root = fill("cat", "dog")
    put(root / "cat", "0.png_original", "0.png~", "1.png.bak", "alone.png.bak")
    source = open_source(root)
    assert left(source) == {"backup": {"cat/0.png_original", "cat/0.png~", "cat/1.png.bak"}}
    assert any(key == "cat/alone.png.bak" for s in source.splits.values() for key in s.keys)


def test_a_folder_of_nothing_but_hidden_images_says_so(tmp_path: Path) -> None:
    put(tmp_path / "@eaDir", "0.png")
    with pytest.raises(
        DataError, match=r"holds no image; put .* 1 hidden or system folder .* @eaDir"
    ):
        open_source(tmp_path)


def test_masks_see_the_same_tree(tmp_path: Path) -> None:
    put(tmp_path, "images/0.png", "masks/0.png", "masks/@eaDir/0.png", "images/.hidden/0.png")
    tree = grow(tmp_path)
    assert tree.images == [("images", "0.png"), ("masks", "0.png")]
    assert set(tree.left["system"]) == {("masks", "@eaDir"), ("images", ".hidden")}


def test_a_copied_folder_is_the_same_source(fill: Fill, tmp_path: Path) -> None:
    root = fill("cat", "dog")
    before = open_source(root).fingerprint
    put(root, "@eaDir/cat/0.png", "cat/@eaDir/1.png")
    copy = shutil.copytree(root, tmp_path / "other" / "copy")
    assert open_source(copy).fingerprint == before
