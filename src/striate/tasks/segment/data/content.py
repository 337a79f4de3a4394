"""Content: what is a picture and what a mask, by the values that some files hold, where no name says it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from striate.data.drawing import drawn
from striate.data.tree import Parts
from striate.errors import DataError
from striate.tasks.segment.data.reading import RawMask, header_of, read_mask
from striate.tasks.segment.data.values import count_values

LOOKED_AT = 6  # files of each kind that are decoded
FEW, MANY = 33, 64  # values of a mask at most, of an image at least
MOST = 0.7  # share of the images that hold MANY: some are blank
NEAR, BOTH_ENDS = (
    12,
    0.9,
)  # levels around black and white that hold most pixels of a mask that JPEG has smeared


def some_of(paths: Sequence[Parts]) -> list[Parts]:
    """A few paths, drawn at random: those of one class, day or patient stand together."""
    return [paths[int(i)] for i in drawn(len(paths), LOOKED_AT)]


def pictures_and_masks(root: Path, images: Sequence[Parts], masks: Sequence[Parts]) -> bool:
    """Whether files hold as many values as images do, and others as few as masks, by some of each."""
    marked = [_values(root / "/".join(p)) for p in masks]
    if not marked or max(marked) >= FEW or max(marked) < 2 or not images:
        return False
    pictured = [_values(root / "/".join(p)) > MANY for p in images]
    return float(np.mean(pictured)) >= MOST


def pairs_of_picture_and_mask(root: Path, pairs: Sequence[tuple[Parts, Parts]]) -> bool:
    """Whether some pairs (image, mask), drawn at random, are of one size, and hold what images and masks do."""
    some = [pairs[int(i)] for i in drawn(len(pairs), LOOKED_AT)]
    sizes = [[_size(root / "/".join(p)) for p in pair] for pair in some]
    if any(size is None for pair in sizes for size in pair) or any(a != b for a, b in sizes):
        return False
    return pictures_and_masks(root, [a for a, _ in some], [b for _, b in some])


def _size(path: Path) -> tuple[int, ...] | None:
    """Both sides, the shorter first: an image may be turned, and its mask not."""
    header = header_of(path)
    return None if header is None else tuple(sorted(header[:2]))


def _values(path: Path) -> int:
    """How many values a file holds, 0 if it cannot be read."""
    try:
        mask = read_mask(path)
    except DataError:
        return 0
    values, counts = count_values(mask.values)
    return 2 if mask.lossy and _smeared(mask, values, counts) else len(values)


def _smeared(mask: RawMask, values: np.ndarray, counts: np.ndarray) -> bool:
    """Whether nearly all pixels are black or white, as in a mask of one object that was saved as JPEG."""
    levels = values & 255 if mask.kind in ("grey", "colour") else values
    dark, bright = counts[levels <= NEAR].sum(), counts[levels >= 255 - NEAR].sum()
    return bool(dark and bright and dark + bright >= BOTH_ENDS * counts.sum())
