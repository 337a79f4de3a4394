"""Files that a command is given, and names of the files that it writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from striate.data.files import find_files
from striate.data.output_names import output_names
from striate.errors import UsageError


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        with (root / name).open("wb") as file:
            Image.new("L", (4, 4)).save(file, "PNG")


def inside(root: Path, *paths: Path | str) -> tuple[list[str], dict[str, list[str]]]:
    """What is found and left out, relative to `root`."""
    found = find_files(list(paths))
    return (
        [os.path.relpath(f, root) for f in found.files],
        {one.kind: [os.path.relpath(p, root) for p in one.paths] for one in found.left_out},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(
        tmp_path,
        "a10.png",
        "a9.png",
        "b/c.jpg?w=640",
        "@eaDir/a9.png/t.jpg",
        ".x/y.png",
        "Thumbs.db",
    )
    put(tmp_path, "runs/r-1/findings/f.png")
    (tmp_path / "runs/r-1/run.toml").write_text("format = 1\n[recipe]\n")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "photo.heic").write_bytes(b"x")
    return tmp_path


def test_a_folder_is_read_as_training_reads_it(folder: Path) -> None:
    files, left = inside(folder, folder)
    assert files == ["a9.png", "a10.png", "b/c.jpg?w=640"]
    assert left == {
        "system": [".x", "@eaDir", "Thumbs.db"],
        "run": ["runs/r-1"],
        "unsupported": ["photo.heic"],
        "other": ["notes.txt"],
    }


def test_a_pattern_as_the_shell_and_as_striate_expands_it(folder: Path) -> None:
    by_shell = sorted(p for p in folder.glob("*") if not p.name.startswith("."))
    files, left = inside(folder, *by_shell)
    assert files == ["a10.png", "a9.png", "b/c.jpg?w=640", "notes.txt", "photo.heic"]
    assert left == {"system": ["@eaDir", "Thumbs.db"], "run": ["runs/r-1"]}
    files, left = inside(folder, folder / "*")
    assert files == ["a10.png", "a9.png", "b/c.jpg?w=640"]
    assert left["other"] == ["notes.txt"] and left["unsupported"] == ["photo.heic"]
    files, _ = inside(folder, folder / "**" / "*.jpg*")
    assert files == ["b/c.jpg?w=640"]


def test_a_path_that_stands_alone_is_taken(folder: Path) -> None:
    assert inside(folder, folder / ".x/y.png")[0] == [".x/y.png"]
    assert inside(folder, folder / "@eaDir")[0] == ["@eaDir/a9.png/t.jpg"]


def test_what_names_no_image(folder: Path) -> None:
    for paths, words in (
        ([], "the list of paths is empty"),
        ([folder / "no"], "no image at"),
        ([folder / "a9.png", folder / "no*.png"], "no image at .*no"),
        (["~nobody-at-all/x"], "~nobody-at-all/x, and 'nobody-at-all' has no home here"),
        ([folder / "runs/r-1"], "is a run, not a folder of images"),
        ([folder / "runs"], r"There: 1 folder that Striate wrote is left out: .*r-1"),
    ):
        with pytest.raises(UsageError, match=words):
            find_files(paths)


def test_names_are_kept_and_numbers_never_make_another_files_name() -> None:
    assert output_names(["a/p.png", "b/p.png", "a/p-2.png"]) == ["p", "p-3", "p-2"]
    assert output_names(["a/x.png", "b/x.tif", "x.jpg", "y.png"]) == ["x", "x-2", "x-3", "y"]
    assert output_names(["p.png", "P.jpg", "p-2.png"]) == ["p", "P-3", "p-2"]
    assert output_names(["caf\u00e9.png", "cafe\u0301.png"]) == ["caf\u00e9", "caf\u00e9-2"]


def test_names_that_file_systems_refuse() -> None:
    assert output_names(["con.png", "a:b?.png", "x\n.png", "..png", "é. .png", "Aux.1.png"]) == [
        "con_", "a_b_", "x_", "image", "é", "Aux.1_",
    ]  # fmt: skip
    long = output_names(["é" * 120 + ".png", "é" * 120 + "x.png"])
    assert len(set(long)) == 2
    assert all(len(name.encode()) <= 200 for name in long)


@given(st.lists(st.text("aA2-é\u0301e:. ", min_size=1, max_size=5), max_size=12))
@example(["p", "p", "p-2", "P-2", "p-2-2"])
def test_names_are_never_equal_on_any_file_system(stems: list[str]) -> None:
    import unicodedata

    names = output_names([f"{i}/{stem}.png" for i, stem in enumerate(stems)])
    assert len({unicodedata.normalize("NFKD", n).casefold() for n in names}) == len(stems)
