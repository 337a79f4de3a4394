"""The resize of exported graphs: Pillow's own pixels, to the bit, for every way in which images are placed."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from striate.data import Preprocessing
from striate.export.resize import Resize

SIDES = (1, 2, 3, 5, 7, 8, 13, 16, 24, 31, 40, 64, 97, 150, 333)


def drawn(seed: int) -> tuple[Preprocessing, np.ndarray]:
    """A preprocessing and an image (H, W, C): noise, or a checkerboard of single pixels."""
    rng, values = random.Random(seed), np.random.default_rng(seed)
    channels, fit = rng.choice((1, 3)), rng.choice(("squash", "crop", "pad"))
    given: dict = {"channels": channels, "fit": fit}
    given |= {"height": rng.choice(SIDES[:11]), "width": rng.choice(SIDES[:11])}
    given["interpolation"] = rng.choice(("bilinear", "bicubic", "lanczos", "box", "nearest"))
    if fit == "crop":
        given["crop_fraction"] = rng.choice((1.0, 0.875, 0.9, 0.5))
    if fit == "pad":
        given["mean"] = tuple(rng.random() for _ in range(channels))
    elif rng.random() < 0.4 and given["interpolation"] != "nearest":
        given |= {"resize": rng.choice((1, 5, 16, 20, 36, 45)), "crop_fraction": 1.0}
    height, width = rng.choice(SIDES), rng.choice(SIDES)
    image = values.integers(0, 256, (height, width, channels)).astype(np.uint8)
    if rng.random() < 0.3:
        image[:] = (np.indices((height, width)).sum(0) % 2 * 255)[..., None]
    return Preprocessing(**given), image


@pytest.mark.parametrize("block", range(4))
def test_every_placement_gives_the_pixels_of_pillow(block: int) -> None:
    wrong = []
    for seed in range(block * 50, block * 50 + 50):
        how, image = drawn(seed)
        expected = how.apply(image)
        given = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        for size in (None, image.shape[:2]):
            found = Resize(how, size)(given)[0].numpy()
            if not np.array_equal(found, expected):
                wrong.append((seed, size, how, image.shape, np.abs(found - expected).max()))
    assert not wrong, wrong[:3]


def test_many_pixels_below_one_weight_are_added_without_rounding() -> None:
    how = Preprocessing(channels=1, height=1, width=1)
    image = np.random.default_rng(0).integers(0, 256, (1, 159, 1)).astype(np.uint8)
    image = np.repeat(image, 2, 0)
    found = Resize(how)(torch.from_numpy(image).permute(2, 0, 1)[None].float())
    assert np.array_equal(found[0].numpy(), how.apply(image))
