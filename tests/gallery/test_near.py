"""Near-duplicates between splits: planted copies are found, with their pictures, in every kind of data set."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as pictures

import striate
from striate.cli import main
from striate.gallery import near, near_duplicates
from striate.gallery.copies import ALTERATIONS, level_of
from striate.runs.opening import open_trained
from striate.tasks.embedding import Embedder

SIDE = 64
SHOWN = (
    "astronaut",
    "chelsea",
    "coffee",
    "rocket",
    "camera",
    "coins",
    "page",
    "clock",
    "hubble_deep_field",
    "retina",
)
OTHERS = ("moon", "brick", "text", "grass")


@cache
def photograph(number: int) -> Image.Image:
    """A photograph (160, 160) of SHOWN, and from 100 on of OTHERS."""
    pixels = getattr(pictures, OTHERS[number - 100] if number >= 100 else SHOWN[number])()
    return Image.fromarray(pixels).convert("RGB").resize((160, 160))


def drawn(seed: int) -> Image.Image:
    """Something with places, colours and detail (64, 64): blobs and stripes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    page = np.full((SIDE, SIDE, 3), rng.integers(0, 255, 3), float)
    for _ in range(6):
        cy, cx, r = rng.random(), rng.random(), rng.uniform(0.05, 0.3)
        page[((y - cy) ** 2 + (x - cx) ** 2) < r**2] = rng.integers(0, 255, 3)
    page += 30 * np.sin(rng.uniform(10, 60) * (x * rng.normal() + y * rng.normal()))[..., None]
    return Image.fromarray(np.clip(page, 0, 255).astype(np.uint8))


def recompressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


PLANTED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "rescaled": lambda image: image.resize((110, 110)),
    "recompressed": recompressed,
    "cropped": lambda image: image.crop((5, 7, 153, 155)),
    "brightened": lambda image: image.point(lambda v: min(255, int(v * 1.1))),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


Planted = tuple[Path, set[frozenset[str]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """See `planted`; nothing here changes it."""
    root = tmp_path_factory.mktemp("near")
    return root, planted(root)


def planted(root: Path) -> set[frozenset[str]]:
    """A folder with train/ and test/, and altered copies of training images in test/; the pairs."""
    for i in range(7):
        folder = root / "train" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        photograph(i).save(folder / f"{i}.png")
    pairs = set()
    for i in range(2):
        folder = root / "test" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        photograph(100 + i).save(folder / f"new{i}.png")
    for i, (kind, alter) in enumerate(PLANTED.items()):
        file = root / "test" / "ab"[i % 2] / f"{kind}.png"
        alter(photograph(i)).save(file)
        pairs.add(frozenset({f"train/{'ab'[i % 2]}/{i}.png", f"test/{'ab'[i % 2]}/{kind}.png"}))
    return pairs


def test_planted_copies_are_found_by_the_command_with_their_pictures(
    made: Planted,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, pairs = made
    monkeypatch.setattr(near, "IMAGES", 4)  # whose altered copies take most of the time
    page = tmp_path / "near.html"
    with pytest.raises(SystemExit) as left:
        main(["data", str(root), "--near", "--page", str(page), "--format", "json"])
    assert not left.value.code
    said = json.loads(capsys.readouterr().out)["near"]["data"]
    found = {frozenset(pair["images"]) for pair in said["pairs"]}
    assert len(pairs & found) >= 4 and len(found - pairs) <= 2, said["pairs"]
    assert {frozenset(p["images"]) for p in said["pairs"][:1]} <= pairs
    scores = [pair["similarity"] for pair in said["pairs"]]
    assert scores == sorted(scores, reverse=True) and min(scores) >= said["threshold"]
    assert said["with_a_duplicate_in_train"]["test"] >= 4
    assert "Near-duplicates between splits" in page.read_text()
    assert page.read_text().count("data:image/webp") >= 1


def small(seed: int = 0) -> Embedder:
    torch.manual_seed(seed)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 8, stride=8), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(512, 2)
    )  # fmt: skip
    return Embedder(
        striate.wrap(module, classes=("a", "b"), preprocessing=(32, (0.4,) * 3, (0.25,) * 3)),
        mirrored=True,
    )


def test_exactly_the_pairs_of_different_splits_by_plain_arithmetic(made: Planted) -> None:
    source, embedder = striate.open_source(made[0]), small()
    found = near_duplicates(source, embedder)
    names, splits, vectors = [], [], []
    for name, split in source.splits.items():
        for i in range(len(split)):
            pixels = embedder.trained.preprocessing.apply(split.image(i))
            vectors.append(embedder(torch.from_numpy(pixels)[None])[0][0].astype(float))
            names.append(split.keys[i])
            splits.append(name)
    limit = found.data["threshold"]
    expected = {
        frozenset((names[i], names[j])): vectors[i] @ vectors[j]
        for i in range(len(names))
        for j in range(i)
        if splits[i] != splits[j] and vectors[i] @ vectors[j] >= limit
    }
    pairs = {frozenset(p["images"]): p["similarity"] for p in found.data["pairs"]}
    assert pairs.keys() == expected.keys() and found.data["pairs_in_all"] == len(expected)
    assert all(abs(pairs[k] - expected[k]) < 1e-5 for k in pairs)


def test_masks_and_boxes_have_near_duplicates_too(tmp_path: Path) -> None:
    for kind in ("masks", "boxes"):
        root = tmp_path / kind
        lines = ["file,x,y,w,h,label"]
        for i in range(12):
            image = drawn(i % 9).point(lambda v, i=i: min(255, v + i // 9))  # 9 to 11 repeat 0 to 2
            place = root / "images" if kind == "masks" else root
            place.mkdir(parents=True, exist_ok=True)
            image.save(place / f"{i}.png")
            if kind == "masks":
                (root / "masks").mkdir(exist_ok=True)
                mask = np.zeros((SIDE, SIDE), np.uint8)
                mask[10 + i : 30 + i, 10:40] = 1
                Image.fromarray(mask).save(root / "masks" / f"{i}.png")
            lines.append(f"{i}.png,5,5,{20 + i},20,a")
        if kind == "boxes":
            (root / "boxes.csv").write_text("\n".join(lines))
        for seed in range(20):
            task = {"masks": "segment", "boxes": "detect"}[kind]
            source = striate.open_source(root, task=task, seed=seed, val=0.25, test=0.25)
            where = {k: n for n, split in source.splits.items() for k in split.keys}
            stems = {Path(k).stem: split for k, split in where.items()}
            if stems["0"] != stems["9"]:
                break
        found = near_duplicates(source, small())
        pairs = {frozenset(Path(k).stem for k in p["images"]) for p in found.data["pairs"]}
        assert frozenset({"0", "9"}) in pairs, (kind, found.data)
        assert found.figures and found.figures[0].content[:4] == b"RIFF"


def test_blank_and_lost_images_are_named(made: Planted, tmp_path: Path) -> None:
    shutil.copytree(made[0], tmp_path / "data")
    Image.new("RGB", (SIDE, SIDE), (200, 0, 0)).save(tmp_path / "data" / "train" / "a" / "red.png")
    source = striate.open_source(tmp_path / "data")
    (tmp_path / "data" / "test" / "a" / "new0.png").unlink()
    found = near_duplicates(source, small())
    left = {entry["path"] for entry in found.data["left_out"]}
    assert left == {"train/a/red.png", "test/a/new0.png"}


def test_one_split_leaks_nowhere(made: Planted) -> None:
    source = striate.open_source(made[0] / "train", val=0.0, test=0.0)
    found = near_duplicates(source, small())
    assert found.status == "note" and "one split" in found.verdict and not found.data["pairs"]


def test_where_different_images_are_as_alike_as_copies_the_threshold_says_so() -> None:
    """Similar images at a similarity of 0.98, copies at 0.97: what is found is hardly anything, and that is said."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (16, 16, 3)).astype(np.uint8) for _ in range(10)]
    directions = iter(range(10**6))

    def embed(some: object) -> np.ndarray:
        k = next(directions)
        angle = 0.0 if k == 0 else np.arccos(0.97)
        return np.tile([np.cos(angle), np.sin(angle)], (10, 1))

    level = level_of(images, embed, rng.normal(0.98, 0.01, 1000))
    assert 0.99 < level.value < 1 and level.copies == pytest.approx(0.97)
    assert set(level.kept.values()) == {0.0} and set(level.kept) == set(ALTERATIONS)
    assert "different images of these data are so alike" in level.reason
    told = level_of(images, embed, rng.normal(0.1, 0.05, 1000))
    assert told.value > 0.9 and "95% of altered copies" in told.reason


def test_the_packaged_network_tells_copies_from_different_photographs() -> None:
    embedder = Embedder(open_trained("efficientnet-lite0"), mirrored=True)
    images = [photograph(i) for i in range(6)]
    copies = [alter(image) for image, alter in zip(images, PLANTED.values(), strict=False)]
    known = embedder.trained.preprocessing
    a, b = (
        embedder(torch.from_numpy(np.stack([known.apply(np.asarray(x)) for x in some])))[0]
        for some in (images, copies)
    )
    scores = b @ a.T
    assert (scores.argmax(1) == np.arange(len(copies))).all()
    assert np.diag(scores).min() > 0.75
