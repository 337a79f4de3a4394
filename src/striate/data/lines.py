"""Vertical against horizontal lines: the classification example of lecture 003."""

from __future__ import annotations

import numpy as np

from striate.data.arrays import open_array
from striate.data.source import Source
from striate.errors import UsageError

CLASSES = ("vertical", "horizontal")  # class 0 and class 1 of the lecture
COUNT, SIZE = 5_000, 64
SIDES = range(8, 1025)
LEAST, MOST = 2, 6  # lines in one image
MOST_BYTES = 8 * 2**30


def line_image(index: int, *, seed: int = 0, size: int = SIZE) -> np.ndarray:
    """Image `index`: (size, size) uint8, white lines on black; vertical if `index` is even.

    Two to six lines, one pixel wide and not antialiased, at random places, each between a quarter
    and all of the side long. The image depends on seed, index and size alone.
    """
    rng = np.random.default_rng((seed, index))
    image = np.zeros((size, size), dtype=np.uint8)
    count = int(rng.integers(LEAST, MOST + 1))
    across = rng.integers(0, size, count).tolist()
    lengths = rng.integers(size // 4, size + 1, count)
    starts = rng.integers(0, size - lengths + 1)
    for place, start, length in zip(across, starts.tolist(), lengths.tolist(), strict=True):
        image[place, start : start + length] = 255
    return image if index % 2 else image.T


def open_lines(
    *,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    count: int = COUNT,
    size: int = SIZE,
) -> Source:
    """Generate `count` images of `size` pixels a side, half of each class.

    Raises UsageError if either number is out of range.
    """
    if count < 10 or count * size * size > MOST_BYTES:
        raise UsageError(f"count must be 10 or more and fit into 8 GiB of memory, got {count}")
    if size not in SIDES:
        raise UsageError(f"size must be {SIDES[0]} to {SIDES[-1]} pixels, got {size}")
    images = np.empty((count, size, size, 1), dtype=np.uint8)
    for index in range(count):
        images[index, ..., 0] = line_image(index, seed=seed, size=size)
    return open_array(
        images,
        np.arange(count) % 2,
        name="lines",
        classes=CLASSES,
        where=f"generated from seed {seed}",
        seed=seed,
        val=val,
        test=test,
        horizontal_flip=True,
    )
