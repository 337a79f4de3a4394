"""Tints that are the same on any image, and the key of names below a picture."""

from __future__ import annotations

import numpy as np
import pytest

from striate.tasks.segment.data.key import NARROWEST, tint, with_key
from striate.tasks.segment.data.palette import overlay, palette

CLASSES = ("background", "leaf", "stone")


def halves(side: int = 160) -> np.ndarray:
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[:, side // 2 :] = 1
    return mask


def test_background_stays_as_it_is_and_a_class_is_grey_beneath() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (160, 160, 3), dtype=np.uint8)
    over = overlay(image, halves(), CLASSES)
    assert np.array_equal(over[:, :80], image[:, :80])
    inside = over[:, 82:].reshape(-1, 3).astype(float)
    # All that differs between pixels of a class is lightness: the three channels move together.
    differences = inside - inside.mean(0)
    assert np.abs(differences - differences.mean(1, keepdims=True)).max() < 1


@pytest.mark.parametrize("level", [0, 255])
def test_a_class_keeps_three_quarters_of_its_colour_on_black_and_on_white(level: int) -> None:
    image = np.full((160, 160, 1), level, dtype=np.uint8)
    over = overlay(image, halves(), CLASSES)
    expected = 0.75 * palette(CLASSES)[1] + 0.25 * level
    assert np.abs(over[5, 100] - expected).max() <= 1


def test_the_key_stands_below_and_names_what_the_mask_shows() -> None:
    picture = np.full((160, 160, 3), 128, dtype=np.uint8)
    keyed = with_key(picture, halves(), CLASSES)
    assert keyed.shape[1:] == (160, 3)
    assert keyed.shape[0] > 160
    assert np.array_equal(keyed[:160], picture)
    strip = keyed[160:].reshape(-1, 3)
    assert (strip == tint(CLASSES, 1)).all(1).any()
    assert not (strip == tint(CLASSES, 2)).all(1).any()


def test_more_classes_take_more_lines() -> None:
    classes = tuple(f"class number {i}" for i in range(12))
    mask = np.arange(160 * 160).reshape(160, 160) % 12
    few = with_key(np.zeros((160, 160, 3), np.uint8), np.zeros((1, 1), np.uint8), classes)
    many = with_key(np.zeros((160, 160, 3), np.uint8), mask.astype(np.uint8), classes)
    assert many.shape[0] > few.shape[0]


def test_without_room_or_classes_the_picture_comes_back() -> None:
    narrow = np.zeros((200, NARROWEST - 1, 3), dtype=np.uint8)
    assert with_key(narrow, halves(), CLASSES) is narrow
    wide = np.zeros((200, 200, 3), dtype=np.uint8)
    assert with_key(wide, np.zeros((4, 4), np.uint8), CLASSES) is wide  # background alone
    assert with_key(wide, np.full((4, 4), 255, np.uint8), CLASSES) is wide
