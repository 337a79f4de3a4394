"""Faces: aligned by five points from a table, with consent, and no crop is stored."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from identities import face
from PIL import Image

import striate
from striate import api
from striate.errors import DataError, UsageError
from striate.gallery import Gallery, align, duplicates
from striate.gallery.align import TEMPLATE, points_of
from striate.gallery.copies import level_of


@pytest.fixture
def portraits(tmp_path: Path) -> Path:
    """Twelve identities, each texture on a page at a place and size of its own; points.csv says where."""
    rng = np.random.default_rng(0)
    lines = ["file,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5"]
    for i in range(12):
        for k in range(3):
            scale = rng.uniform(0.8, 1.3)
            left, top = rng.integers(5, 60, 2)
            side = round(112 * scale)
            page = rng.integers(0, 255, (220, 220, 3)).astype(np.uint8)
            shown = Image.fromarray(face(i, k)).resize((side, side), Image.Resampling.BILINEAR)
            page[top : top + side, left : left + side] = np.asarray(shown)
            folder = tmp_path / "faces" / f"who{i}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(page).save(folder / f"{k}.png")
            points = (TEMPLATE + 0.5) * side / 112 - 0.5 + [left, top]
            lines.append(f"who{i}/{k}.png," + ",".join(f"{v:.3f}" for v in points.reshape(-1)))
    (tmp_path / "faces" / "points.csv").write_text("\n".join(lines))
    return tmp_path / "faces"


def test_faces_are_known_wherever_they_lie(
    tmp_path: Path, trained: striate.Trained, portraits: Path
) -> None:
    points = portraits / "points.csv"
    found = api.gallery_enrol(tmp_path / "g", trained, portraits, points=points, consent=True, far=0.2)  # fmt: skip
    assert found.data["enrolled"] == 36
    gallery = Gallery.open(tmp_path / "g")
    assert gallery.faces and gallery.document["consent"]
    answers = list(api.gallery_identify(tmp_path / "g", portraits / "who4", network=trained, points=points))  # fmt: skip
    assert [one.name for one in answers] == ["who4"] * 3
    one = portraits / "who5" / "0.png"
    best = api.gallery_search(tmp_path / "g", one, network=trained, points=points, top=3)
    assert {f["name"] for f in best.data["found"]} == {"who5"}
    suffixes = {p.suffix for p in (tmp_path / "g").rglob("*")}
    assert suffixes == {".json", ".safetensors"}
    stored = sum(p.stat().st_size for p in (tmp_path / "g").iterdir())
    assert (
        stored < 36 * (64 * 4 + 100) + 24_000
    )  # vectors, names, rates with their intervals: 36 crops would be 1.3 MB, as JPEGs above 100 kB


def test_consent_and_points_go_together(
    tmp_path: Path, trained: striate.Trained, portraits: Path
) -> None:
    points = portraits / "points.csv"
    with pytest.raises(UsageError, match="--i-have-consent"):
        api.gallery_enrol(tmp_path / "g", trained, portraits, points=points)
    assert not (tmp_path / "g").exists()
    api.gallery_enrol(tmp_path / "g", trained, portraits, points=points, consent=True)
    with pytest.raises(UsageError, match="holds faces that are aligned by five points"):
        next(iter(api.gallery_identify(tmp_path / "g", portraits / "who1", network=trained)))
    with pytest.raises(UsageError, match="enrol them into a gallery of their own"):
        api.gallery_enrol(tmp_path / "g", trained, portraits)
    api.gallery_enrol(tmp_path / "whole", trained, portraits)
    with pytest.raises(UsageError, match="leave --points out"):
        api.gallery_search(tmp_path / "whole", portraits / "who1" / "0.png", network=trained, points=points)  # fmt: skip


def test_faces_without_points_and_wrong_tables_are_named(
    tmp_path: Path, trained: striate.Trained, portraits: Path
) -> None:
    points = portraits / "points.csv"
    lines = points.read_text().splitlines()
    points.write_text("\n".join(lines[:-1]))
    found = api.gallery_enrol(tmp_path / "g", trained, portraits, points=points, consent=True)
    (left,) = found.data["left_out"]
    assert left["path"] == "who11/2.png" and "no five points" in left["error"]
    swapped = lines[0].replace("x1,y1,x2,y2", "x2,y2,x1,y1")
    points.write_text("\n".join([swapped, *lines[1:]]))
    with pytest.raises(DataError, match="left and right as they are in the picture"):
        api.gallery_enrol(tmp_path / "n", trained, portraits, points=points, consent=True)
    for text, words in (
        ("file,x,y\nwho1/0.png,1,2", "no five points"), ("", "no line below its heading"),
        (f"{lines[0]}\nwho1/0.png,{','.join(['a'] * 10)}", "must be ten numbers"),
        (f"{lines[0]}\nwho1/0.png,{','.join(['nan'] * 10)}", "finite"),
        ("\n".join([lines[0], lines[1], lines[1]]), "has points already"),
    ):  # fmt: skip
        points.write_text(text)
        with pytest.raises(DataError, match=words):
            api.gallery_enrol(tmp_path / "n", trained, portraits, points=points, consent=True)
    assert not (tmp_path / "n").exists()


def test_names_of_columns_as_celeba_has_them(
    tmp_path: Path, trained: striate.Trained, portraits: Path
) -> None:
    points = portraits / "points.csv"
    heading = (
        "image_id,lefteye_x,lefteye_y,righteye_x,righteye_y,nose_x,nose_y,leftmouth_x,leftmouth_y,"
        "rightmouth_x,rightmouth_y"
    )
    points.write_text("\n".join([heading, *points.read_text().splitlines()[1:]]))
    found = api.gallery_enrol(tmp_path / "g", trained, portraits, points=points, consent=True)
    assert found.data["enrolled"] == 36 and not found.data["left_out"]


def test_what_is_aligned_is_the_face_alone() -> None:
    page = np.zeros((300, 300, 3), np.uint8)
    page[50:162, 70:182] = np.asarray(Image.fromarray(face(3, 0)).resize((112, 112)))
    found = align(page, TEMPLATE + np.array([70, 50]))
    assert np.abs(found.astype(int) - page[50:162, 70:182]).max() <= 1


def test_what_a_near_duplicate_is_is_measured_on_the_faces(
    tmp_path: Path, trained: striate.Trained, portraits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = portraits / "points.csv"
    api.gallery_enrol(tmp_path / "g", trained, portraits, points=points, consent=True, far=0.2)
    altered: list[np.ndarray] = []

    def level(images: list[np.ndarray], *rest: object) -> object:
        altered.extend(images)
        return level_of(images, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(duplicates, "level_of", level)
    api.gallery_duplicates(tmp_path / "g", portraits, network=trained, points=points)
    assert len(altered) == 32 and {x.shape for x in altered} == {(112, 112, 3)}


def test_points_of_one_face_need_no_look_at_the_folder(
    portraits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table in a home folder: what else lies there is not walked through for a name that stands there letter by letter."""
    module = importlib.import_module(
        "striate.gallery.align"
    )  # by whose name the room has a function
    monkeypatch.setattr(module, "grow", lambda root: pytest.fail("walked"))
    found = points_of(portraits / "points.csv", portraits, ["who1/0.png"])
    assert list(found) == ["who1/0.png"]
    assert np.isfinite(found["who1/0.png"]).all() and found["who1/0.png"].shape == (5, 2)
