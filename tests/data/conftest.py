"""Folders of small images, made for one test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def paint(path: Path, number: int, *, side: int = 12) -> Path:
    """Write an RGB image that depends on `number` alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def fill(tmp_path: Path) -> Callable[..., Path]:
    """fill("cat", "dog", images=5): that many different images in each folder below tmp_path."""
    made = 0

    def fill(*folders: str, images: int = 5, suffix: str = ".png") -> Path:
        nonlocal made
        for folder in folders:
            for i in range(images):
                paint(tmp_path / folder / f"{i}{suffix}", made)
                made += 1
        return tmp_path

    return fill
