"""Pixels without data, sets without training images, and settings of deep images that mean something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from striate.data import Preprocessing, choose_preprocessing, open_source
from striate.data.checks import check
from striate.errors import DataError, UsageError
from striate.tasks.colours import statistics
from striate.tasks.segment.data import open_masks
from striate.tasks.table import TASKS, recipe_for
from striate.training.recipe import Recipe


def half_empty(i: int, dtype: str) -> np.ndarray:
    """(16, 16): heights around 1000 on the left, no data on the right."""
    pixels = np.random.default_rng(i).normal(1000, 10, (16, 16))
    pixels[:, 8:] = {"float32": -9999, "uint16": 7}[dtype]
    return pixels.astype(dtype)


def save(path: Path, pixels: np.ndarray, nodata: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = [(42113, "s", 0, str(nodata), True)]
    tifffile.imwrite(path, pixels, extratags=tags)


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_no_data_takes_no_part_in_mean_and_deviation(tmp_path: Path, dtype: str) -> None:
    nodata = -9999 if dtype == "float32" else 7
    for i in range(8):
        save(tmp_path / "ab"[i % 2] / f"{i}.tif", half_empty(i, dtype), nodata)
    split = open_source(tmp_path, val=0, test=0)
    found = choose_preprocessing(split, black=900, white=1100)
    values = np.concatenate([half_empty(i, dtype)[:, :8].ravel() for i in range(8)])
    seen = (values.astype(np.float64) - 900) / 200
    assert found.mean[0] == pytest.approx(seen.mean(), abs=0.005)
    assert found.std[0] == pytest.approx(seen.std(), abs=0.005)


def test_no_data_takes_no_part_in_the_mean_of_images_with_masks(tmp_path: Path) -> None:
    for i in range(8):
        save(tmp_path / "images" / f"{i}.tif", half_empty(i, "float32"), -9999)
        mask = np.zeros((16, 16), np.uint8)
        mask[4:12, 4 : 8 + i] = 1
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i}.png")
    source = open_masks(tmp_path, val=0, test=0)
    draft = levels(900, 1100)
    mean, std = statistics(source.train, draft)
    assert mean[0] == pytest.approx(0.5, abs=0.02) and std[0] == pytest.approx(0.05, abs=0.02)


def levels(black: float, white: float) -> Preprocessing:
    return Preprocessing(channels=1, height=16, width=16, black=black, white=white, full_scale=0)


def test_bytes_without_data_are_said(tmp_path: Path) -> None:
    for i in range(8):
        pixels = np.random.default_rng(i).integers(1, 255, (16, 16), dtype=np.uint8)
        pixels[:4] = 0
        save(tmp_path / "ab"[i % 2] / f"{i}.tif", pixels, 0)
    said = [r["sentence"] for r in check(open_source(tmp_path)).data["remarks"]]
    assert any(
        "8 images hold pixels without data" in s and "as what the file stores" in s for s in said
    )


def test_grey_is_compared_in_all_bits(tmp_path: Path) -> None:
    """Channels that differ by less than a 256th of white are coloured where the scale is narrow."""
    for i in range(8):
        grey = np.random.default_rng(i).integers(51_000, 52_000, (16, 16), dtype=np.uint16)
        colour = np.stack([grey, grey, grey + 200 * (i % 2)], -1).astype(np.uint16)
        path = tmp_path / "ab"[i % 2] / f"{i}.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(path, colour, photometric="rgb")
    assert choose_preprocessing(open_source(tmp_path, val=0, test=0)).channels == 3


def test_a_set_whose_training_images_are_copies_is_told_so(tmp_path: Path) -> None:
    for split, names in (("train", range(4)), ("test", range(4))):
        for i in names:
            for k in "ab":
                path = tmp_path / split / k / f"{split}{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.random.default_rng(i + 10 * (k == "a")).integers(0, 255, (9, 9, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    with pytest.raises(DataError, match="no training images: 8 are copies of images that are kept"):
        check(open_source(tmp_path))
    for k in "ab":  # the remedy
        for i in range(3):
            pixels = np.random.default_rng(i + 100 * (k == "a")).integers(0, 255, (9, 9, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "train" / k / f"new{i}.png")
    assert len(open_source(tmp_path).train)


def test_transparent_images_are_named_as_such(tmp_path: Path) -> None:
    for i in range(8):
        pixels = np.random.default_rng(i).integers(0, 255, (9, 9, 4), dtype=np.uint8)
        pixels[..., 3] = 0
        path = tmp_path / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    with pytest.raises(
        DataError, match=r"all of its pixels are transparent.*without its alpha channel"
    ):
        open_source(tmp_path)


def test_levels_that_are_upside_down_are_told_with_what_each_means() -> None:
    with pytest.raises(
        UsageError, match="white must be the larger; got black=900 and white=100; swap them"
    ):
        Recipe(data="x", black=900, white=100)
    assert Recipe(data="x", black=100, white=900).white == 900


@pytest.mark.parametrize(
    ("name", "value", "task"),
    [("scale", 0.5, "segment"), ("erase", 0.5, "segment"), ("dice", 0.5, "classify"), ("zoom", 1.5, "classify")],
)  # fmt: skip
def test_settings_of_another_task_are_refused(name: str, value: float, task: str) -> None:
    with pytest.raises(
        UsageError, match=f"{name}={value} is a setting of .* has no effect .* leave it out"
    ):
        recipe_for(TASKS[task], {"data": "x", name: value})
    other = TASKS[{"segment": "classify", "classify": "segment"}[task]]
    recipe = recipe_for(other, {"data": "x", name: value})
    assert name in str(recipe.to_dict())
    recipe_for(TASKS[task], {"data": "x"})
