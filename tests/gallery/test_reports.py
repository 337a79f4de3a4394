"""What other tools were reported for, made small: each must not happen here."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from identities import face, write
from PIL import Image

import striate
from striate import api
from striate.errors import UsageError
from striate.gallery import Gallery, find_people


@pytest.fixture
def gallery(tmp_path: Path, trained: striate.Trained) -> Path:
    api.gallery_enrol(tmp_path / "g", trained, write(tmp_path / "people", range(12), 4), far=0.1)
    return tmp_path / "g"


def test_a_file_that_was_replaced_does_not_keep_its_old_embedding_unseen(
    tmp_path: Path, trained: striate.Trained, gallery: Path
) -> None:
    """deepface, issue 942: an image updated under the same name is still known by the old embedding."""
    Image.fromarray(face(77, 0)).save(tmp_path / "people" / "person3" / "0.png")
    found = api.gallery_enrol(gallery, trained, tmp_path / "people")
    assert found.data["changed"] == ["person3/0.png"] and found.data["again"] == 47
    assert any("enrolled with other pixels already" in note for note in found.data["remarks"])
    (new,) = api.gallery_identify(gallery, face(77, 0), network=trained)
    assert new.name == "person3"


def test_no_similarity_is_above_one(
    trained: striate.Trained, gallery: Path, tmp_path: Path
) -> None:
    """faiss, issue 915: 1.0000001192092896 as the cosine of a vector with itself."""
    files = sorted((tmp_path / "people").rglob("*.png"))
    answers = list(api.gallery_identify(gallery, files, network=trained))
    assert all(one.similarity is not None and 0.9999 < one.similarity <= 1 for one in answers)
    assert all(one.name == Path(one.path).parent.name for one in answers)
    pair = api.gallery_compare(gallery, files[0], files[0], network=trained)
    assert pair.data["similarity"] <= 1 and pair.data["same"] is True


def test_more_neighbours_than_there_are_images(trained: striate.Trained, gallery: Path) -> None:
    """faiss, issues 1206 and 2657: rows of -1 where fewer are there than were asked for."""
    found = api.gallery_search(gallery, face(0, 0), network=trained, top=1000).data["found"]
    assert len(found) == 48 and len({f["image"] for f in found}) == 48
    with pytest.raises(UsageError, match="top must be"):
        api.gallery_search(gallery, face(0, 0), network=trained, top=0)


def test_names_with_blanks_are_forgotten_and_their_files_with_them(
    tmp_path: Path, trained: striate.Trained, gallery: Path
) -> None:
    """double-take, issue 66; CompreFace, pull request 1321: deleted, it said, and the images stayed."""
    (tmp_path / "one").mkdir()
    Image.fromarray(face(90, 0)).save(tmp_path / "one" / "x.png")
    api.gallery_enrol(gallery, trained, tmp_path / "one", name=" Ann-Marie  O'Neil ")
    (kept,) = [n for n in Gallery.open(gallery).names if "Marie" in n]
    api.gallery_forget(gallery, kept)
    assert all(b"Marie" not in p.read_bytes() for p in gallery.iterdir())
    assert not list(gallery.rglob("*.png"))


def test_what_cannot_be_read_does_not_shift_who_is_who(
    tmp_path: Path, trained: striate.Trained, gallery: Path
) -> None:
    """fastdup, issue 11: wrong pairs, names against indices that lost some files."""
    new = tmp_path / "new"
    new.mkdir()
    for i in range(12):
        Image.fromarray(face(i, 0)).save(new / f"{i:02}.png")
    (new / "03b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Image.new("RGB", (16, 16), (5, 5, 5)).save(new / "00b.png")
    (new / "07b.png").write_bytes(b"")
    answers = {Path(o.path).name: o for o in api.gallery_identify(gallery, new, network=trained)}
    assert len(answers) == 15
    for i in range(12):
        assert answers[f"{i:02}.png"].name == f"person{i}", i
    assert all(answers[n].error for n in ("03b.png", "00b.png", "07b.png"))
    found = api.gallery_duplicates(gallery, new, network=trained)
    assert {(Path(e["image"]).name, e["name"]) for e in found.data["enrolled"]} == {
        (f"{i:02}.png", f"person{i}") for i in range(12)
    }


def test_files_of_one_name_in_two_folders_are_two_images(
    tmp_path: Path, trained: striate.Trained, gallery: Path
) -> None:
    """imagededup: images known by the name of their file alone."""
    for part in ("a", "b"):
        (tmp_path / "n" / part).mkdir(parents=True)
    Image.fromarray(face(0, 0)).save(tmp_path / "n" / "a" / "same.png")
    Image.fromarray(face(1, 0)).save(tmp_path / "n" / "b" / "same.png")
    found = list(api.gallery_identify(gallery, tmp_path / "n", network=trained))
    assert [one.name for one in found] == ["person0", "person1"]
    people = find_people(tmp_path / "n")
    assert people.keys == ("a/same.png", "b/same.png")


def test_an_image_is_the_same_however_its_file_says_which_way_is_up(
    tmp_path: Path, trained: striate.Trained, gallery: Path
) -> None:
    """czkawka, issues 714 and 1540; findimagedupes, issue 3: the orientation of EXIF."""
    pixels = Image.fromarray(face(2, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter, clockwise
    pixels.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    (turned,) = api.gallery_identify(gallery, tmp_path / "turned.png", network=trained)
    assert turned.name == "person2" and turned.similarity == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "I;16", "1", "CMYK"])
def test_every_kind_of_pixel_is_an_image(
    tmp_path: Path, trained: striate.Trained, gallery: Path, mode: str
) -> None:
    """dupeguru, issue 94: grey images end the search."""
    new = tmp_path / "new"
    new.mkdir()
    Image.fromarray(face(4, 0)).save(new / "rgb.png")
    if mode == "I;16":
        Image.fromarray(face(5, 0)[..., 0].astype(np.uint16) * 257).save(new / "other.png")
    else:
        Image.fromarray(face(5, 0)).convert(mode).save(new / f"other.{'tif' if mode == 'CMYK' else 'png'}")  # fmt: skip
    answers = list(api.gallery_identify(gallery, new, network=trained))
    assert len(answers) == 2 and sum(one.name == "person4" for one in answers) == 1
    assert api.gallery_duplicates(gallery, new, network=trained).data["images"] >= 1


def test_near_duplicates_are_pairs_and_no_chains(made) -> None:  # type: ignore[no-untyped-def]
    """fastdup, issue 302: a cluster above 0.97 with pairs of 0.82, each link of a chain being near."""
    from striate.gallery.pairs import similar_pairs

    angles = np.arange(6) * np.arccos(0.98)
    chain = np.stack((np.cos(angles), np.sin(angles)), 1).astype(np.float32)
    scores, i, j, total = similar_pairs(chain, 0.97)
    assert total == 5 and (j - i == 1).all() and (scores >= 0.97).all()


def test_the_last_name_is_not_forgotten_into_a_gallery_of_nobody(
    tmp_path: Path, trained: striate.Trained
) -> None:
    """CompreFace, EFRS-858: an exception once all faces of a model were deleted."""
    api.gallery_enrol(tmp_path / "g", trained, write(tmp_path / "p", [1]))
    with pytest.raises(UsageError, match=r"nobody would be left .* delete the folder itself"):
        api.gallery_forget(tmp_path / "g", "person1")
    shutil.rmtree(tmp_path / "g")
    with pytest.raises(UsageError, match="there is no gallery"):
        next(iter(api.gallery_identify(tmp_path / "g", face(0, 0), network=trained)))


def test_a_stranger_who_is_nearest_to_somebody_is_not_that_person(
    trained: striate.Trained, gallery: Path
) -> None:
    """face_recognition, issues 317, 758 and 1339; deepface, issue 834: a constant tolerance, and everybody is somebody."""
    strangers = [face(600 + i, 0) for i in range(40)]
    named = [o.name for o in api.gallery_identify(gallery, strangers, network=trained)]
    assert sum(name is not None for name in named) <= 10
    nearest = api.gallery_search(gallery, strangers[named.index(None)], network=trained)
    assert "somebody unknown, however this list begins" in nearest.verdict
