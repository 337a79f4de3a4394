"""Colours: the mean and the spread of a split's pixels, by which images are normalised at their own size."""

from __future__ import annotations

import numpy as np

from striate.data import Preprocessing
from striate.data.depth import there
from striate.data.drawing import drawn
from striate.data.source import ImageSet
from striate.errors import DataError

SAMPLE = 64  # images whose mean colour is taken


def _levels(split: ImageSet, index: int, draft: Preprocessing) -> np.ndarray:
    """(channels, n) uint8: the pixels of an image that hold data."""
    image = split.image(index)
    lost = 0.0 if split.missing is None else float(split.missing[index])
    levels = draft.colours(image).reshape(draft.channels, -1)
    return levels[:, there(image, draft, lost).ravel()] if image.dtype != np.uint8 else levels


def statistics(
    split: ImageSet, draft: Preprocessing
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a channel, of at most SAMPLE training images."""
    at = drawn(len(split), SAMPLE)
    parts = [_levels(split, int(i), draft)[:, ::7].astype(np.float64) / 255 for i in at]
    values = np.concatenate(parts, 1)
    if not values.size:
        raise DataError(f"no pixel of {len(at):,} training images holds data; look at the files")
    mean, std = values.mean(1).round(5), np.maximum(values.std(1), 1 / 255).round(5)
    return tuple(mean.tolist()), tuple(std.tolist())
