"""The images of the line experiment: lines of any width, and the waves that run along them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from striate.data.lines import LEAST, MOST, line_image
from striate.robustness import modulated

WAVES = {
    "raised": "times (1 + cos) / 2: an image one can see, which keeps half of the plain line",
    "pure": "times cos, from -1 to 1: the whole spectrum moves, nothing of the plain line is left",
}


def plain_lines(count: int, *, size: int, seed: int, first: int = 0) -> tuple[Tensor, Tensor]:
    """Images `first` to `first + count` of the source `lines`: (N, 1, size, size) in [0, 1], labels, 0 vertical."""
    raw = np.stack([line_image(i, seed=seed, size=size) for i in range(first, first + count)])
    labels = (torch.arange(first, first + count) % 2).long()
    return torch.from_numpy(raw)[:, None].float() / 255, labels


def wide_lines(width: int, count: int, *, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Lines as in the source `lines`, but `width` pixels wide and whole: images (N, size, size) float32, labels (N,)."""
    images = np.zeros((count, size, size), np.float32)
    labels = np.arange(count) % 2
    for index, image in enumerate(images):
        rng = np.random.default_rng((seed, 90 + width, index))
        for _ in range(int(rng.integers(LEAST, MOST + 1))):
            length = int(rng.integers(size // 4, size + 1))
            start = int(rng.integers(0, size - length + 1))
            top = int(rng.integers(0, size - width + 1))
            image[top : top + width, start : start + length] = 1
        if not labels[index]:
            image[:] = image.T.copy()
    return images, labels


def waved(images: np.ndarray, labels: np.ndarray, *, period: float, wave: str) -> Tensor:
    """Images (N, H, W) times a wave that runs along their lines, as (N, 1, H, W); wave: one of WAVES, period in pixels."""
    raised = modulated(images, labels, period=period)
    return torch.from_numpy(raised if wave == "raised" else 2 * raised - images)[:, None].float()
