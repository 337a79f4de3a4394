"""Preprocessed images, streamed in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from striate.data.pool import ordered
from striate.data.preprocessing import Preprocessing
from striate.data.source import Split

CHUNK = 16 * 2**20  # bytes


def preprocessed(
    split: Split, preprocessing: Preprocessing, indices: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """The preprocessed images of a split, or of `indices` in that order, in chunks (n, C, H, W) uint8.

    Files are decoded on threads; a chunk holds about 16 MB.
    """
    at = np.arange(len(split)) if indices is None else np.asarray(indices)
    shape = (preprocessing.channels, *preprocessing.size)
    most = max(1, CHUNK // int(np.prod(shape)))
    array = split.array
    if array is not None and len(array) and _as_it_is(array, preprocessing):
        for start in range(0, len(at), most):
            yield array[at[start : start + most]].transpose(0, 3, 1, 2)
        return
    images = ordered(lambda i: split.preprocess(int(i), preprocessing), at)
    for start in range(0, len(at), most):
        chunk = np.empty((min(most, len(at) - start), *shape), dtype=np.uint8)
        for row in chunk:
            row[...] = next(images)
        yield chunk


def _as_it_is(array: np.ndarray, preprocessing: Preprocessing) -> bool:
    whole = not preprocessing.resize and (
        preprocessing.fit != "crop" or preprocessing.crop_fraction == 1
    )
    return whole and array.shape[1:] == (*preprocessing.size, preprocessing.channels)
