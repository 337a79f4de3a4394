"""Trainings on images of one pixel or one row, with a class that the test images lack: finished, by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., tuple[int, str, str]]
SIZES = ((24, 24), (1, 1), (1, 200), (3, 90), (24, 31))


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_odd_sizes_and_a_class_without_test_images(tmp_path: Path, run: Run) -> None:
    rng = np.random.default_rng(0)
    for split, names in (("train", "abc"), ("test", "ac")):
        for name in names:
            for i in range(15):
                pixels = rng.integers(0, 60, (*SIZES[i % 5], 3))
                pixels[..., "abc".index(name)] += 180
                save(tmp_path / "data" / split / name / f"{split}{i}.png", pixels.astype(np.uint8))
    out = tmp_path / "run"
    small = ("--model", "[conv8-relu-pool]-[fc16-relu]-fc", "--size", "16")
    status, _, said = run("train", tmp_path / "data", "--epochs", "6", "--out", out, *small)
    assert status == 0, said
    assert "The class b has no test image" in said
    assert (out / "report.html").is_file()
    files = [tmp_path / "data" / "test" / name / f"test{i}.png" for name in "ac" for i in range(5)]
    status, printed, said = run("predict", out, *files, "--format", "json")
    assert status == 0, said
    found = [row["top"][0]["class"] for row in json.loads(printed)]
    assert np.mean([a == b for a, b in zip(found, "aaaaaccccc", strict=True)]) >= 0.9


@pytest.mark.parametrize("size", [(1, 50)])
def test_images_and_masks_of_one_row_are_trained_predicted_and_tiled(
    tmp_path: Path, run: Run, size: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    for i in range(8):
        save(
            tmp_path / "data/images" / f"{i}.png", rng.integers(0, 255, (*size, 3), dtype=np.uint8)
        )
        mask = np.zeros(size, np.uint8)
        mask.ravel()[10 : 20 + i] = 1
        save(tmp_path / "data/masks" / f"{i}.png", mask)
    small = ("--size", "32", "--set", "width=4")
    status, _, said = run(
        "train", tmp_path / "data", "--epochs", "1", "--out", tmp_path / "run", *small
    )
    assert status == 0, said
    image, map_file = tmp_path / "data/images/1.png", tmp_path / "map.npy"
    assert run("predict", tmp_path / "run", image, "-o", tmp_path / "masks")[0] == 0
    assert run("tile", tmp_path / "run", image, "-o", map_file)[0] == 0
    assert np.load(map_file).shape[-2:] == size
