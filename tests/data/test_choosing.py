"""The choice of size, channels, scale and levels from what the data look like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import Source, choose_preprocessing, open_source
from striate.data.drawing import drawn
from striate.errors import DataError


def folder(root: Path, images: list[np.ndarray], *, kind: str = ".png") -> Source:
    """A source of these images, turn about in two classes, all for training."""
    for i, image in enumerate(images):
        path = root / "ab"[i % 2] / f"{i}{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return open_source(root, val=0, test=0)


def noise(i: int, height: int, width: int, *channels: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, (height, width, *channels), dtype=np.uint8)


def test_fashion_mnist_has_the_mean_and_deviation_that_everyone_uses() -> None:
    """0.2860 and 0.3530, over the 60,000 training images."""
    from striate.data.fashion import find

    if find() is None:
        pytest.skip("Fashion-MNIST is not on this machine")
    found = choose_preprocessing(open_source("fashion-mnist", val=0))
    assert (round(found.mean[0], 4), round(found.std[0], 4)) == (0.2860, 0.3530)
    assert (found.channels, found.height, found.width) == (1, 28, 28)


def test_digits_enter_as_they_are() -> None:
    source = open_source("digits")
    found = choose_preprocessing(source)
    assert (found.channels, found.height, found.width, found.fit) == (1, 8, 8, "squash")
    array = source.train.array
    assert array is not None
    assert found.mean[0] == pytest.approx((array / 255).mean(), abs=1e-5)
    assert found.std[0] == pytest.approx((array / 255).std(), abs=1e-5)
    assert found.why[0] == "All images are 8 x 8 pixels, so they enter as they are."


def test_what_is_given_is_kept_and_not_explained() -> None:
    found = choose_preprocessing(
        open_source("digits"),
        size=(32, 24),
        channels=3,
        mean=(0.1, 0.2, 0.3),
        std=(0.4, 0.5, 0.6),
        fit="pad",
        interpolation="bicubic",
        crop_fraction=0.9,
    )
    assert found.size == (32, 24)
    assert (found.channels, found.fit, found.interpolation) == (3, "pad", "bicubic")
    assert (found.mean, found.std, found.crop_fraction) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 0.9)
    assert found.why == ()


@pytest.mark.parametrize(
    ("sides", "expected"),
    [([20, 30], 32), ([60, 80], 64), ([150, 170], 160), ([500, 4000 // 8], 224), ([96, 96], 96)],
)
def test_the_size_follows_the_middle_of_the_images(
    tmp_path: Path, sides: list[int], expected: int
) -> None:
    source = folder(tmp_path, [noise(i, sides[i % 2], sides[i % 2], 3) for i in range(6)])
    found = choose_preprocessing(source)
    assert found.size == (expected, expected)


def test_native_sizes_need_not_be_square(tmp_path: Path) -> None:
    source = folder(tmp_path, [noise(i, 20, 50, 3) for i in range(4)])
    assert choose_preprocessing(source).size == (20, 50)


@pytest.mark.parametrize(
    ("shape", "fit"),
    [((105, 100), "crop"), ((150, 100), "squash"), ((400, 100), "pad")],
)
def test_the_fit_follows_the_shapes(tmp_path: Path, shape: tuple[int, int], fit: str) -> None:
    source = folder(tmp_path, [noise(i, *shape, 3) for i in range(4)])
    found = choose_preprocessing(source)
    assert found.fit == fit
    assert len(found.why) == 4


def test_grey_stored_as_colour_is_grey(tmp_path: Path) -> None:
    grey = [np.repeat(noise(i, 20, 20, 1), 3, axis=-1) for i in range(4)]
    found = choose_preprocessing(folder(tmp_path, grey))
    assert found.channels == 1
    assert "stored in colour but hold only greys" in " ".join(found.why)


def test_a_mixture_of_grey_and_colour_is_colour(tmp_path: Path) -> None:
    source = folder(tmp_path, [noise(i, 20, 20, *((3,) if i % 4 else ())) for i in range(8)])
    found = choose_preprocessing(source)
    assert found.channels == 3
    assert "25% of the images are grey" in " ".join(found.why)


def test_bars_do_not_count_for_the_mean(tmp_path: Path) -> None:
    images = [np.full((10, 40, 3), 200 + i, dtype=np.uint8) for i in range(4)]
    found = choose_preprocessing(folder(tmp_path, images), size=16, fit="pad")
    assert found.mean[0] == pytest.approx(201.5 / 255, abs=1e-3)


def test_images_of_one_value_have_a_deviation_that_can_divide(tmp_path: Path) -> None:
    found = choose_preprocessing(folder(tmp_path, [np.full((8, 8), 9, np.uint8)] * 4))
    assert found.std[0] >= 0.0039


def test_nothing_to_train_on(fill: Callable[..., Path]) -> None:
    source = open_source(fill("a", "b", images=2))
    empty = type(source)(**{**vars(source), "train": source.train.take([])})
    with pytest.raises(
        DataError, match=r"has no training images: all .* make val and test smaller"
    ):
        choose_preprocessing(empty)


def test_colour_of_one_class_keeps_three_channels(tmp_path: Path) -> None:
    # Three classes of 60 in order, the first two grey: only the third is told by its colour.
    for name in ("a_grey", "b_grey", "c_red"):
        for i in range(60):
            value = 3 * i + 20
            colour = (255, value, value) if name == "c_red" else (value, value, value)
            path = tmp_path / name / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (12, 12), colour).save(path)
    chosen = choose_preprocessing(open_source(tmp_path))
    assert chosen.channels == 3
    # A third of the images has 255 in red: the mean is that of all classes, not of the first.
    assert chosen.mean[0] > chosen.mean[1] + 0.1


def test_one_coloured_pixel_in_one_image_is_colour(tmp_path: Path) -> None:
    for i in range(80):
        picture = np.full((90, 90, 3), 2 * i + 20, np.uint8)
        path = tmp_path / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        if i == 79:
            picture[70, 3, 0] += 9
        Image.fromarray(picture).save(path)
    assert choose_preprocessing(open_source(tmp_path, val=0, test=0)).channels == 3


def test_a_sample_is_drawn_from_all_classes() -> None:
    # Two classes in turn, 399 images: every second one, as an even spacing takes them, is of one class.
    labels = np.arange(399) % 2
    assert 0.35 < labels[drawn(399, 200)].mean() < 0.65
    assert drawn(5, 9).tolist() == [0, 1, 2, 3, 4]
