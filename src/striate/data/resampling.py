"""Resampling: images resized by a bilinear, antialiased filter, whole or part by part with the same pixels."""

from __future__ import annotations

import math

import numpy as np

REACH = 1.0  # pixels that the filter reaches on either side, of the larger of the two grids


def resampled(
    pixels: np.ndarray, size: tuple[int, int], *, of: tuple[int, int], to: tuple[int, int],
    corner: tuple[int, int] = (0, 0), start: tuple[int, int] = (0, 0),
) -> np.ndarray:  # fmt: skip
    """A part of size (h, w) of an image that is resized: (h, w, C) uint8.

    pixels: (H, W, C) uint8, the part of the image that is known, whose first pixel is `corner`; it holds what
    `source_of` names. of: (height, width) of the whole image. to: its size once it is resized. start: the first pixel of
    the result there.

    Each value is the mean of the pixels below it, weighted by a triangle of twice the pixels' distance on the coarser of
    the two grids, in arithmetic that depends on its place in the whole image alone. (Pillow's boxes are single precision.)
    """
    down, across = (
        _taps(start[k], size[k], of[k], to[k], corner[k], pixels.shape[k]) for k in (0, 1)
    )
    tall = _summed(pixels.astype(np.float32), *down)
    wide = _summed(tall.swapaxes(0, 1), *across).swapaxes(0, 1)
    return np.ascontiguousarray(np.rint(wide).clip(0, 255).astype(np.uint8))


def source_of(start: int, length: int, of: int, to: int) -> tuple[int, int]:
    """[first, last) of an axis of `of` pixels from which those from `start` on come once it has `to`."""
    scale = of / to
    reach = REACH * max(scale, 1.0) + 1
    first, last = start * scale - reach, (start + length) * scale + reach
    return max(math.floor(first), 0), min(math.ceil(last), of)


def _taps(
    start: int, length: int, of: int, to: int, corner: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """(length, K) indices into `count` pixels from `corner` on, and the weights, float32, that each new pixel gives them."""
    scale = of / to
    reach = REACH * max(scale, 1.0)
    middle = (np.arange(start, start + length) + 0.5) * scale
    first = np.ceil(middle - reach - 0.5).astype(np.int64)
    at = first[:, None] + np.arange(int(2 * reach) + 2)
    weights = (1 - np.abs(at + 0.5 - middle[:, None]) / reach).clip(0)
    weights = np.where((at >= 0) & (at < of), weights, 0.0)
    weights /= weights.sum(1, keepdims=True)
    inside = at - corner
    assert not weights[(inside < 0) | (inside >= count)].any(), "the part holds what is needed"
    return inside.clip(0, count - 1), weights.astype(np.float32)


def _summed(values: np.ndarray, at: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(length, ...) sums of rows of values (n, ...) float32, tap by tap, so that no library may add in another order."""
    total = np.zeros((len(at), *values.shape[1:]), np.float32)
    shape = (len(at), *[1] * (values.ndim - 1))
    for k in range(at.shape[1]):
        weight = weights[:, k]
        if weight.any():
            total += values[at[:, k]] * weight.reshape(shape)
    return total
