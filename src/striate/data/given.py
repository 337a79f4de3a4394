"""Given: images that are given as arrays, tensors or Pillow images, as the decoder would give them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from striate.errors import UsageError

CHANNELS = (1, 3, 4)
SHAPES = "arrays are (H, W), (H, W, C) or (N, H, W, C) and tensors (C, H, W) or (N, C, H, W), with 1, 3 or 4 channels"


def are_arrays(images: Any) -> bool:
    """Whether these are images themselves, one or several, not paths to some."""
    first = images[0] if isinstance(images, Sequence) and not isinstance(images, str) and images else images  # fmt: skip
    return hasattr(first, "__array__") or hasattr(first, "__array_interface__")


def as_arrays(images: Any) -> list[np.ndarray]:
    """One array (H, W) or (H, W, C) an image, of the depth that was given.

    images: an array, a tensor or a Pillow image, or several in a list. Floating numbers are of 0 to 1 and become 256 levels,
    as files have them. Raises UsageError for other shapes, and for numbers that were normalised already.
    """
    several: Iterable[Any] = images if isinstance(images, list | tuple) else [images]
    found = [one for given in several for one in _split(given)]
    if not found:
        raise UsageError("there is no image: the list is empty; give one at least")
    return [_levels(one, i) for i, one in enumerate(found)]


def _split(given: Any) -> list[np.ndarray]:
    tensor = hasattr(given, "detach")
    array = np.asarray(given.detach().cpu() if tensor else given)
    if tensor and array.ndim in (3, 4) and array.shape[-3] in CHANNELS:
        array = np.moveaxis(array, -3, -1)
    elif tensor or array.ndim not in (2, 3, 4) or (array.ndim > 2 and array.shape[-1] not in CHANNELS):  # fmt: skip
        kind = "a tensor" if tensor else "an array"
        raise UsageError(f"{SHAPES}; got {kind} {tuple(array.shape)}")
    if 0 in array.shape:
        raise UsageError(f"there is no image in {tuple(array.shape)}; give one at least")
    return list(array) if array.ndim == 4 else [array]


def _levels(image: np.ndarray, number: int) -> np.ndarray:
    if image.dtype.kind != "f":
        return image
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # NaN too
        raise UsageError(
            f"image {number} holds numbers from {low:.3g} to {high:.3g}; give pixels before they are normalised: floats of "
            "0 to 1, or uint8 of 0 to 255"
        )
    return np.rint(image * 255).astype(np.uint8)
