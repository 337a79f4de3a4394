"""More of what other tools were reported for, made small: two ways of asking that disagree, forms of one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from identities import face, network, write
from PIL import Image

import striate
from striate import api
from striate.errors import DataError, StriateError
from striate.gallery import Gallery
from striate.tasks.embed.evaluation.embedded import Embedded
from striate.tasks.embed.evaluation.retrieval import retrieve


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, striate.Trained]:
    """A gallery of twelve identities that nothing here changes, and its network."""
    folder, trained = tmp_path_factory.mktemp("known"), network()
    api.gallery_enrol(folder / "g", trained, write(folder / "people", range(12), 4), far=0.1)
    return folder, trained


def test_searching_identifying_and_comparing_give_one_similarity(
    known: tuple[Path, striate.Trained],
) -> None:
    """deepface, issues 304 and 1196: `find` and `verify` disagree about one pair."""
    folder, trained = known
    query = face(3, 50)
    found = api.gallery_search(folder / "g", query, network=trained, top=48).data["found"]
    (one,) = api.gallery_identify(folder / "g", query, network=trained)
    assert one.similarity == pytest.approx(found[0]["similarity"], abs=1e-6)
    for entry in found[::12]:
        pair = api.gallery_compare(folder / "g", query, folder / "people" / entry["image"], network=trained)  # fmt: skip
        assert pair.data["similarity"] == pytest.approx(entry["similarity"], abs=1e-6)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1-bit", "CMYK", "I;16", "array", "array (H, W, 1)"])  # fmt: skip
def test_one_image_in_any_form_is_one_image(
    known: tuple[Path, striate.Trained], tmp_path: Path, mode: str
) -> None:
    """deepface, issue 233; face_recognition, issue 1618; FaceRecognitionDotNet, issue 202: grey, alpha, 16 bits."""
    folder, trained = known
    grey = face(5, 0).mean(2).round().astype(np.uint8)
    if mode == "1-bit":
        grey = np.where(grey > 99, 255, 0).astype(np.uint8)
    plain = np.stack([grey] * 3, 2)
    given: object = tmp_path / "x.png"
    if mode == "array":
        given = grey
    elif mode == "array (H, W, 1)":
        given = grey[..., None]
    elif mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "x.png")
    elif mode == "CMYK":
        given = tmp_path / "x.tif"
        Image.fromarray(plain).convert("CMYK").save(tmp_path / "x.tif")
    else:
        Image.fromarray(grey).convert("1" if mode == "1-bit" else mode).save(tmp_path / "x.png")
    pair = api.gallery_compare(folder / "g", given, plain, network=trained)
    assert pair.data["similarity"] > 0.9999


def test_a_picture_in_red_first_order_is_what_its_file_is(
    known: tuple[Path, striate.Trained],
) -> None:
    """frigate, pull request 23712: arrays taken for blue first, in enrolling and in asking, which nearly cancels out."""
    folder, trained = known
    file = folder / "people" / "person2" / "1.png"
    pixels = np.asarray(Image.open(file))
    same, other = (
        api.gallery_compare(folder / "g", file, array, network=trained).data["similarity"]
        for array in (pixels, pixels[..., ::-1])
    )
    assert same > 0.9999 > other


def test_a_file_that_is_named_twice_is_no_duplicate_of_itself(
    known: tuple[Path, striate.Trained], tmp_path: Path
) -> None:
    """imgdupes, issue 11: four files that are one file, which whoever deletes duplicates loses."""
    folder, trained = known
    people = write(tmp_path / "others", range(30, 36), 2)
    one = people / "person30" / "0.png"
    (tmp_path / "link.png").symlink_to(one)
    several = [people, one, people / "person30" / ".." / "person30" / "0.png", tmp_path / "link.png"]  # fmt: skip
    found = api.gallery_duplicates(folder / "g", several, network=trained).data
    pairs = [{Path(p).resolve() for p in pair["images"]} for pair in found["pairs"]]
    assert all(len(pair) == 2 for pair in pairs)
    assert found["images"] == 12 and len(found["left_out"]) >= 2
    assert all("is compared already" in entry["error"] for entry in found["left_out"])


def test_embeddings_that_are_no_numbers_are_refused_in_a_sentence() -> None:
    """pytorch-metric-learning, issues 738, 74 and 129: NaN in, an error about something else, or NaN out."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 4)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[2] = np.nan
    with pytest.raises(StriateError, match="the first at index 2 with nan"):
        Embedded.of(x, np.array([0, 0, 1, 1, 2, 2]))
    x[2] = x[0]
    with pytest.raises(DataError, match="no identity has two images"):
        retrieve(Embedded.of(x, np.arange(6)))
    some = retrieve(Embedded.of(x, np.array([0, 0, 1, 2, 3, 4])))  # whoever is alone is not asked
    assert len(some.queries) == 2
    assert all(np.isfinite(share.value) for share in some.scores().values())


def test_a_gallery_that_is_enrolled_by_parts_is_one_that_is_enrolled_at_once(
    known: tuple[Path, striate.Trained], tmp_path: Path
) -> None:
    """LibreYOLO, pull request 654, and deepface, issue 250: what stands there already decides what is added."""
    folder, trained = known
    for person in sorted((folder / "people").iterdir()):
        api.gallery_enrol(tmp_path / "parts", trained, person, name=person.name)
    api.gallery_enrol(tmp_path / "parts", trained, None, far=0.1)
    whole, parts = Gallery.open(folder / "g"), Gallery.open(tmp_path / "parts")
    assert parts.names == whole.names and len(parts) == len(whole)
    for question in ("identify", "compare"):
        assert parts.threshold[question] == pytest.approx(whole.threshold[question], abs=1e-6)
