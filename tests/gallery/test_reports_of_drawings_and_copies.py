"""Reports of finders of duplicates and aligners of faces, made small: see-through drawings, faces upside down."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from identities import face, network, write
from PIL import Image

from striate import api
from striate.gallery.align import TEMPLATE, align
from striate.tasks.embed.losses import BatchHardTriplet
from striate.training.batch import Batch


def drawing(seed: int) -> np.ndarray:
    """(16, 16) bool, a few lines."""
    rng, page = np.random.default_rng(seed), np.zeros((16, 16), bool)
    page[rng.integers(0, 16, 3)] = True
    page[:, rng.integers(0, 16, 2)] = True
    return page


@pytest.mark.parametrize("kind", ["see-through", "grey"])
def test_black_lines_on_nothing_are_not_all_one_image(tmp_path: Path, kind: str) -> None:
    """difPy, issues 30 and 37; dupeguru, issue 64: drawings in black on a transparent ground, or grey pages, all alike."""
    trained = network()
    for k in range(6):
        place = tmp_path / "people" / f"p{k}"
        place.mkdir(parents=True)
        lines = drawing(k)
        if kind == "grey":
            picture = Image.fromarray(np.where(lines, 0, 255).astype(np.uint8))
        else:
            alpha = np.zeros((16, 16, 4), np.uint8)
            alpha[lines, 3] = 255
            picture = Image.fromarray(alpha)
        picture.save(place / "0.png")
    api.gallery_enrol(tmp_path / "g", trained, tmp_path / "people")
    pair = api.gallery_compare(
        tmp_path / "g", tmp_path / "people/p0/0.png", tmp_path / "people/p1/0.png", network=trained
    )
    assert pair.data["similarity"] < 0.9
    found = api.gallery_duplicates(tmp_path / "g", tmp_path / "people", network=trained)
    assert not found.data["pairs_in_all"] and not found.data["left_out"]


def test_a_copy_in_another_folder_is_found(tmp_path: Path) -> None:
    """imagededup, issue 74: two folders that hold one image, and no duplicate is listed."""
    trained, folder = network(), write(tmp_path / "people", range(6), 2)
    api.gallery_enrol(tmp_path / "g", trained, folder)
    for k, name in enumerate(("a.png", "b.png", "c.png")):
        (tmp_path / name[0]).mkdir()
        Image.fromarray(face(20 + (k > 0), 0)).save(tmp_path / name[0] / name)
    found = api.gallery_duplicates(tmp_path / "g", [tmp_path / n for n in "abc"], network=trained)
    assert [sorted(Path(i).name for i in p["images"]) for p in found.data["pairs"]] == [["b.png", "c.png"]]  # fmt: skip
    assert not found.data["enrolled"]


@pytest.mark.parametrize("degrees", [0, 45, 90, 135, 180, 225, 270, 315])
def test_a_face_stands_upright_however_it_lay(degrees: int) -> None:
    """insightface, issues 171 and 1559: faces from the side come out upside down."""
    turn = math.radians(degrees)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    middle = TEMPLATE.mean(0)
    side_on = middle + (TEMPLATE - middle) * (
        0.45,
        1,
    )  # as a head that is turned to the side has it
    points = (side_on - middle) @ rotation.T + [100, 100]
    image = np.zeros((200, 200, 3), np.uint8)
    for (x, y), colour in zip(points.round().astype(int), np.eye(5, 3, dtype=np.uint8) * 255, strict=True):  # fmt: skip
        image[y - 2 : y + 3, x - 2 : x + 3] = np.maximum(colour, 60)
    found = align(image, points).astype(float)
    rows = [(found[..., c] * (found[..., c] > 200)).sum(1).argmax() for c in range(3)]
    columns = [(found[..., c] * (found[..., c] > 200)).sum(0).argmax() for c in range(3)]
    left_eye, right_eye, nose = range(3)
    assert max(rows[left_eye], rows[right_eye]) < rows[nose] < 90
    assert columns[left_eye] < columns[nose] < columns[right_eye]


@pytest.mark.parametrize("length", [1e-3, 1.0, 1e4])
def test_the_farthest_image_of_one_s_own_is_one_s_own_at_any_length(length: float) -> None:
    """pytorch-metric-learning, issue 476: for some embeddings the miner gives positives of other identities."""
    x = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(12) % 4
    d = torch.cdist(x / x.norm(dim=1, keepdim=True), x / x.norm(dim=1, keepdim=True))
    same = labels[:, None] == labels
    gaps = [d[i][same[i]].max() - d[i][~same[i]].min() for i in range(12)]
    made = BatchHardTriplet(margin=0.2)(length * x, Batch(x, labels))
    assert float(made.sum) == pytest.approx(sum(max(0.0, 0.2 + float(g)) for g in gaps), rel=1e-5)
