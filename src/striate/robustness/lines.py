"""Lines out of distribution: the thicker, thinner, shorter, noisy and curved lines of lecture 003, and a wave along them."""

from __future__ import annotations

import numpy as np

KINDS = ("plain", "thicker", "thinner", "shorter", "noisy", "curved")
COUNT = (2, 6)  # lines in an image, fewest and most


def lines(kind: str, count: int, *, size: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, size, size) float32 in [0, 1], white on black, and labels (count,) int64: 0 vertical, 1 horizontal.

    kind: one of KINDS. plain: one pixel wide, a quarter to all of the side long; thicker: three to five pixels; thinner:
    half as bright, as a line of half a pixel is; shorter: an eighth to a fifth of the side; noisy: with normal noise of
    0.15; curved: bent by up to an eighth of the side. The images depend on kind, seed, size and index alone.
    """
    assert kind in KINDS, f"kinds are {', '.join(KINDS)}; got {kind!r}"
    images = np.zeros((count, size, size), np.float32)
    labels = np.arange(count, dtype=np.int64) % 2
    for index in range(count):
        rng = np.random.default_rng((seed, KINDS.index(kind), index))
        image = images[index]
        for _ in range(int(rng.integers(COUNT[0], COUNT[1] + 1))):
            low, high = (
                (size // 8, max(size // 5, size // 8)) if kind == "shorter" else (size // 4, size)
            )
            length = int(rng.integers(max(2, low), max(2, high) + 1))
            start, row = int(rng.integers(0, size - length + 1)), int(rng.integers(0, size))
            columns = np.arange(start, start + length)
            rows = np.full(length, row)
            if kind == "curved":
                bow = rng.uniform(0.4, 1) * rng.choice((-1, 1)) * size / 8
                along = np.linspace(-1, 1, length)
                rows = np.rint(row + bow * (1 - along**2)).astype(int)
            width = int(rng.integers(3, 6)) if kind == "thicker" else 1
            for k in range(width):
                at = np.clip(rows + k - width // 2, 0, size - 1)
                image[at, columns] = 0.5 if kind == "thinner" else 1.0
        if kind == "noisy":
            np.clip(image + rng.normal(0, 0.15, image.shape), 0, 1, out=image)
        if not labels[index]:
            image[:] = image.T.copy()
    return images, labels


def modulated(images: np.ndarray, labels: np.ndarray, *, period: float = 4.0) -> np.ndarray:
    """Images (N, H, W) times (1 + a sinusoidal wave) / 2 that runs along each line: lecture 003's vulnerability.

    The wave moves spectral content: a vertical line (label 0) gets variation down the image, a horizontal one across.
    period: pixels.
    """
    _n, h, w = images.shape
    down = (1 + np.cos(2 * np.pi * np.arange(h) / period)) / 2
    across = (1 + np.cos(2 * np.pi * np.arange(w) / period)) / 2
    wave = np.where(labels[:, None, None] == 0, down[None, :, None], across[None, None, :])
    return (images * wave).astype(images.dtype)
