"""Folders of images in every layout that people have, and the damage that comes with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from striate.data import open_source


def paint(path: Path, number: int, *, side: int = 12) -> None:
    """Write an image that depends on `number` alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def fill(root: Path, *folders: str, images: int = 5, start: int = 0) -> None:
    """Put `images` different images into each folder."""
    for f, folder in enumerate(folders):
        for i in range(images):
            paint(root / folder / f"{i}.png", start + 1000 * f + i)


def test_class_folders(tmp_path: Path) -> None:
    fill(tmp_path, "dog", "cat", images=10)
    source = open_source(tmp_path, seed=3)
    assert source.classes == ("cat", "dog")
    assert len(source) == 20
    keys = {key for split in source.splits.values() for key in split.keys}
    assert keys == {f"{c}/{i}.png" for c in ("cat", "dog") for i in range(10)}
    for split in source.splits.values():
        for i, key in enumerate(split.keys):
            assert key.startswith(source.classes[split.labels[i]] + "/")
            assert split.image(i).shape == (12, 12, 3)
            assert (split.image(i) == np.asarray(Image.open(tmp_path / key))).all()


def test_classes_stand_in_natural_order(tmp_path: Path) -> None:
    fill(tmp_path, "10", "9", "Apple", "banana", images=2)
    assert open_source(tmp_path).classes == ("9", "10", "Apple", "banana")
