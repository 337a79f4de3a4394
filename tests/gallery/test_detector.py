"""Faces that a detector finds: its boxes cut them out, one an image, with consent, and a gallery knows its detector."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from identities import face, write
from PIL import Image
from torch import nn

import striate
from striate import api
from striate.cli import main
from striate.errors import GalleryError, UsageError
from striate.gallery import Gallery

PAGE, SIDE = 128, 48


class Finder(nn.Module):
    """Finds what is lighter than black throughout a square of 48 pixels: a map of scores and edges every 4 pixels."""

    def __init__(self, classes: int = 1, edge: float = SIDE / 2) -> None:
        super().__init__()
        self.classes = classes
        self.edge = nn.Parameter(torch.tensor(float(edge)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        full = (x.sum(1, keepdim=True) * 100).clamp(0, 1)
        inside = F.avg_pool2d(full, SIDE, 4, SIDE // 2 - 2, count_include_pad=True)
        scores = (inside - 0.99) * 1000
        edges = self.edge.expand(len(x), 4, *scores.shape[2:])
        return torch.cat([scores - 20 * k for k in range(self.classes)] + [edges], 1)


def detector(classes: tuple[str, ...] = ("face",), edge: float = SIDE / 2) -> striate.Trained:
    return striate.wrap(
        Finder(len(classes), edge), classes=classes, preprocessing=(PAGE, (0.0,) * 3, (1.0,) * 3), task="detect"
    )  # fmt: skip


def page(*faces: tuple[int, int, int, int]) -> np.ndarray:
    """A black page with faces (identity, number, left, top) that fill 48 x 48 pixels."""
    made = np.zeros((PAGE, PAGE, 3), np.uint8)
    for identity, number, left, top in faces:
        shown = face(identity, number).repeat(3, 0).repeat(3, 1)
        made[top : top + SIDE, left : left + SIDE] = shown.clip(20, 255)
    return made


@pytest.fixture
def portraits(tmp_path: Path) -> Path:
    """Twelve identities, three pages each, a face somewhere on each."""
    rng = np.random.default_rng(0)
    for i in range(12):
        folder = tmp_path / "faces" / f"who{i}"
        folder.mkdir(parents=True)
        for k in range(3):
            left, top = 4 * rng.integers(1, 19, 2) + 2
            Image.fromarray(page((i, k, left, top))).save(folder / f"{k}.png")
    return tmp_path / "faces"


def enrol(tmp_path: Path, trained: striate.Trained, portraits: Path, **more: object) -> object:
    given = {"detector": detector(), "consent": True, "far": 0.2, **more}
    return api.gallery_enrol(tmp_path / "g", trained, portraits, **given)


def test_the_face_alone_is_embedded_wherever_it_lies(
    tmp_path: Path, trained: striate.Trained, portraits: Path
) -> None:
    enrol(tmp_path, trained, portraits)
    gallery = Gallery.open(tmp_path / "g")
    assert gallery.faces and gallery.document["consent"] and gallery.detector is not None
    whole = {p.name: p.read_bytes() for p in (tmp_path / "g").iterdir()}
    assert {Path(name).suffix for name in whole} == {".json", ".safetensors"}
    how = {"network": trained, "detector": detector()}
    answers = list(api.gallery_identify(tmp_path / "g", [page((4, 9, 50, 30)), page((7, 8, 6, 6))], **how))  # fmt: skip
    assert [one.name for one in answers] == ["who4", "who7"]
    # What is embedded is the crop, by a gallery of crops that nobody detected.
    write(tmp_path / "crops", [3], 1)
    crop = page((3, 1, 0, 0))[:SIDE, :SIDE]
    Image.fromarray(crop).save(tmp_path / "crops" / "person3" / "0.png")
    api.gallery_enrol(tmp_path / "c", trained, tmp_path / "crops")
    (vector,) = Gallery.open(tmp_path / "c").vectors(np.array([0]))
    row = next(i for i in range(36) if gallery.path_of(i) == "who3/1.png")
    np.testing.assert_allclose(gallery.vectors(np.array([row]))[0], vector, atol=1e-6)


def test_of_several_faces_none_is_taken_and_of_none_none(
    tmp_path: Path, trained: striate.Trained, portraits: Path
) -> None:
    Image.fromarray(page((0, 7, 2, 2), (1, 7, 70, 70))).save(portraits / "who0" / "both.png")
    Image.fromarray(page()).save(portraits / "who1" / "empty.png")
    (portraits / "who2" / "text.png").write_text("no image")
    found = enrol(tmp_path, trained, portraits)
    left = {one["path"]: one["error"] for one in found.data["left_out"]}
    assert "2 faces are found in it" in left["who0/both.png"] and found.data["enrolled"] == 36
    assert (
        "finds no face in it" in left["who1/empty.png"] and "cannot read" in left["who2/text.png"]
    )
    how = {"network": trained, "detector": detector()}
    (answer,) = api.gallery_identify(tmp_path / "g", portraits / "who0" / "both.png", **how)
    assert answer.name is None and "2 faces" in str(answer.error)


def test_consent_is_asked_for_and_other_detectors_are_refused(
    tmp_path: Path, trained: striate.Trained, portraits: Path
) -> None:
    with pytest.raises(UsageError, match=r"--detector enrols faces.*--i-have-consent"):
        enrol(tmp_path, trained, portraits, consent=False)
    with pytest.raises(UsageError, match="do not go together"):
        enrol(tmp_path, trained, portraits, points=portraits / "points.csv")
    with pytest.raises(UsageError, match="no boxes; --detector takes a detect run"):
        enrol(tmp_path, trained, portraits, detector=trained)
    with pytest.raises(UsageError, match="it finds “hand”, “foot”; take a detector with one class"):
        enrol(tmp_path, trained, portraits, detector=detector(("hand", "foot")))
    assert not (tmp_path / "g").exists()
    enrol(tmp_path, trained, portraits, detector=detector(("Face", "hand")))
    one = portraits / "who1" / "0.png"
    with pytest.raises(GalleryError, match="another detector"):
        list(api.gallery_identify(tmp_path / "g", one, network=trained, detector=detector(edge=20)))
    with pytest.raises(UsageError, match="which has no run; give it"):
        api.gallery_search(tmp_path / "g", one, network=trained)
    with pytest.raises(UsageError, match="that points of faces mean nothing"):
        api.gallery_search(tmp_path / "g", one, network=trained, points=portraits / "p.csv")
    with pytest.raises(UsageError, match="holds faces that a detector cuts out, and these are whole"):  # fmt: skip
        api.gallery_enrol(tmp_path / "g", trained, portraits)
    with pytest.raises(GalleryError, match="another detector"):
        enrol(tmp_path, trained, portraits, detector=detector(("Face", "hand"), edge=20))
    api.gallery_enrol(tmp_path / "w", trained, portraits)
    with pytest.raises(UsageError, match="whole images, so that a detector means nothing"):
        api.gallery_compare(tmp_path / "w", one, one, network=trained, detector=detector())


def test_its_run_is_opened_again_by_every_command(
    tmp_path: Path, trained: striate.Trained, portraits: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    opened = {"embed": trained, "finder": detector()}
    object.__setattr__(opened["finder"], "run", SimpleNamespace(path=tmp_path / "finder"))
    known = {
        "finder": opened["finder"],
        str(tmp_path / "finder"): opened["finder"],
        "embed": trained,
    }
    monkeypatch.setattr("striate.runs.galleries.open_trained", lambda what: known[what])
    monkeypatch.setattr("striate.cli.galleries.opened", lambda network, model: network)
    gallery, two = str(tmp_path / "g"), [str(portraits / "who5" / f"{k}.png") for k in (0, 1)]
    for words in (
        ["enrol", gallery, "embed", str(portraits), "--detector", "finder", "--i-have-consent", "--far", "0.2"],
        ["identify", gallery, *two], ["compare", gallery, *two], ["search", gallery, two[0]],
        ["duplicates", gallery, *two], ["forget", gallery, "who5"],
    ):  # fmt: skip
        network = [] if words[0] in ("enrol", "forget") else ["--network", "embed"]
        with pytest.raises(SystemExit) as left:
            main(["gallery", *words, *network])
        said = capsys.readouterr()
        assert left.value.code == 0, said.err
    assert Gallery.open(tmp_path / "g").document["detector"]["where"] == str(tmp_path / "finder")
