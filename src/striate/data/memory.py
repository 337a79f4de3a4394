"""Splits as tensors: all at once in memory, or image by image for worker processes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.utils.data import Dataset

from striate.data.preprocessed import preprocessed
from striate.data.preprocessing import Preprocessing
from striate.data.source import Source, Split
from striate.errors import DataError


def decoded_bytes(source: Source, preprocessing: Preprocessing) -> int:
    """Memory in bytes that all preprocessed images of a source take as uint8."""
    return len(source) * preprocessing.channels * preprocessing.height * preprocessing.width


def load_memory(
    split: Split,
    preprocessing: Preprocessing,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prepare a whole split: images (N, C, H, W) uint8 and labels (N,) int64.

    Beyond the result a few images at a time are held. Raises DataError if an image has become
    unreadable since the source was opened, or if the memory does not suffice.
    """
    shape = (len(split), preprocessing.channels, *preprocessing.size)
    try:
        images = torch.empty(shape, dtype=torch.uint8)
    except RuntimeError as error:
        raise DataError(
            f"{len(split):,} images of {preprocessing.height} x {preprocessing.width} pixels need "
            f"{np.prod(shape, dtype=np.float64) / 2**30:,.1f} GiB of memory, more than there is; "
            "choose a smaller size"
        ) from error
    done = 0
    for chunk in preprocessed(split, preprocessing):
        images[done : done + len(chunk)] = torch.from_numpy(chunk)
        done += len(chunk)
        if progress is not None:
            progress(done, len(split))
    return images, torch.from_numpy(split.labels.copy())


class SplitDataset(Dataset[tuple[torch.Tensor, int]]):
    """A split for torch's DataLoader: image (C, H, W) uint8 and label, decoded when asked for.

    Holds names, not pixels, unless the split lies in memory anyway; safe in worker processes.
    """

    def __init__(self, split: Split, preprocessing: Preprocessing) -> None:
        self.split = split
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        pixels = self.split.preprocess(index, self.preprocessing)
        return torch.from_numpy(pixels), int(self.split.labels[index])
