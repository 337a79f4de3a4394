"""Images become pictures whose pixels are the ones that went in."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from striate.errors import DataError
from striate.pictures import as_image, beside, thumbnail

RNG = np.random.default_rng(0)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(
    ("shape", "mode", "size"),
    [
        ((5, 7), "L", (7, 5)),
        ((1, 5, 7), "L", (7, 5)),
        ((2, 5, 7), "L", (7, 5)),
        ((3, 5, 7), "RGB", (7, 5)),
        ((4, 5, 7), "RGBA", (7, 5)),
        ((6, 5, 7), "RGB", (7, 5)),
        ((5, 7, 3), "RGB", (7, 5)),
        ((5, 7, 1), "L", (7, 5)),
        ((3, 9, 3), "RGB", (3, 9)),  # both readings fit: channels come first
    ],
)
def test_every_layout_of_channels_is_read(
    shape: tuple[int, ...], mode: str, size: tuple[int, int]
) -> None:
    image = as_image(RNG.integers(0, 256, size=shape, dtype=np.uint8))
    assert (image.mode, image.size) == (mode, size)


def test_channels_first_and_last_and_tensors_give_the_same_picture() -> None:
    pixels = RNG.integers(0, 256, size=(3, 9, 8), dtype=np.uint8)
    first, last = as_image(pixels), as_image(pixels.transpose(1, 2, 0))
    assert first.tobytes() == last.tobytes() == as_image(torch.from_numpy(pixels)).tobytes()


@pytest.mark.parametrize(
    "bad", [np.zeros((3, 4, 4)), np.zeros(5, np.uint8), np.zeros((3, 0, 4), np.uint8)]
)
def test_floats_and_odd_shapes_are_refused(bad: Any) -> None:
    with pytest.raises(DataError, match=r"a picture must be uint8 of shape \(C, H, W\), got"):
        as_image(bad)


def test_small_images_keep_every_pixel() -> None:
    """8 x 8 into 128: each pixel is a block of 16 x 16, losslessly."""
    pixels = RNG.integers(0, 256, size=(1, 8, 8), dtype=np.uint8)
    content, media = thumbnail(pixels)
    shown = np.asarray(opened(content))
    assert media == "image/png"
    np.testing.assert_array_equal(shown, np.kron(pixels[0], np.ones((16, 16), dtype=np.uint8)))


@pytest.mark.parametrize(
    ("width", "height", "size"), [(640, 427, (192, 128)), (65, 300, (42, 192)), (5000, 2, (192, 1))]
)
def test_photographs_are_reduced_in_proportion(
    width: int, height: int, size: tuple[int, int]
) -> None:
    content, media = thumbnail(Image.new("RGB", (width, height), (200, 30, 30)))
    assert (media, opened(content).size) == ("image/webp", size)


def test_two_images_stand_side_by_side_on_a_transparent_ground() -> None:
    """4 x 8 enlarged by 16 to 64 x 128, 8 x 8 by 16 to 128 x 128, 16 pixels between them."""
    left = np.full((1, 8, 4), 255, dtype=np.uint8)
    right = np.zeros((1, 8, 8), dtype=np.uint8)
    shown = np.asarray(opened(beside(left, right)[0]).convert("RGBA"))
    assert shown.shape == (128, 64 + 16 + 128, 4)
    assert (shown[:, :64] == 255).all()
    assert (shown[:, 64:80, 3] == 0).all()
    assert (shown[:, 80:, :3] == 0).all()
    assert (shown[:, 80:, 3] == 255).all()


@pytest.mark.parametrize("mode", ["P", "CMYK", "I;16", "1", "LA"])
def test_pillow_images_of_other_modes_are_converted(mode: str) -> None:
    assert as_image(Image.new(mode, (4, 3))).mode == "RGB"
