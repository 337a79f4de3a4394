"""Given: images that are given as arrays, tensors or Pillow images, as the decoder would give them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from striate.data.own_images import as_stored, in_one, pixels_of
from striate.errors import DataError, UsageError

CHANNELS, UNSURE = (1, 3, 4), (1, 2, 3, 4)
SHAPES = (
    "arrays are (H, W), (H, W, C), (N, H, W) or (N, H, W, C) and tensors (C, H, W), (N, H, W) or (N, C, H, W), with 1, 3 "
    "or 4 channels"
)


def are_arrays(images: Any) -> bool:
    """Whether these are images themselves, one or several, not paths to some."""
    first = images[0] if isinstance(images, Sequence) and not isinstance(images, str) and images else images  # fmt: skip
    return hasattr(first, "__array__") or hasattr(first, "__array_interface__")


def as_arrays(images: Any, *, numbers: bool = False) -> list[np.ndarray]:
    """One array (H, W, C) an image, C 1 or 3, of the depth that was given; each is read as for training.

    images: an array, a tensor or a Pillow image, or several in a list. numbers: for a network that has learned from plain
    numbers, such as measured ones: floats stay what they are. For all others floats are of 0 to 1 and become 256 levels, as
    files have them. Raises UsageError for other shapes, and for numbers that were normalised already.
    """
    several: Iterable[Any] = images if isinstance(images, list | tuple) else [images]
    single = [one for given in several for one in _single(given)]
    if not single:
        raise UsageError("there is no image: the list is empty; give one at least")
    return [_read(one, i, numbers) for i, one in enumerate(single)]


def _single(given: Any) -> Sequence[Any]:
    """The images of what may hold several. Raises UsageError."""
    shape = tuple(getattr(given, "shape", ()))
    if not shape:  # a Pillow image
        return [given]
    tensor = hasattr(given, "detach")
    kind = "a tensor" if tensor else "an array"
    if 0 in shape:
        raise UsageError(f"there is no image in {shape}; give one at least")
    if len(shape) == 2 or (len(shape) == 3 and shape[0 if tensor else 2] in CHANNELS):
        return [given]
    if len(shape) == 3 and (shape[0] in UNSURE or (not tensor and shape[2] in UNSURE)):
        raise UsageError(
            f"{kind} {shape} may be one image or {shape[0]} grey ones; give list(images) where they are grey ones, and one "
            f"image in a form that is clear: {SHAPES}; got {kind} {shape}"
        )
    if len(shape) == 3:  # grey images
        return list(given)
    whole = in_one(given) if len(shape) == 4 else None
    if whole is None or whole.shape[3] not in CHANNELS:
        raise UsageError(f"{SHAPES}; got {kind} {shape}")
    return list(whole)


def _read(given: Any, number: int, numbers: bool) -> np.ndarray:
    """One image (H, W, C). Raises UsageError."""
    known = hasattr(given, "convert") or hasattr(given, "detach")  # Pillow images and tensors
    try:
        image = pixels_of(given if known else np.asarray(given))
    except DataError as error:
        raise UsageError(f"image {number} cannot be used: {error}") from error
    if numbers or image.dtype.kind != "f":
        return image
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # NaN too
        raise UsageError(
            f"image {number} holds numbers from {low:.3g} to {high:.3g}; give pixels before they are normalised: floats of "
            "0 to 1, or uint8 of 0 to 255"
        )
    return as_stored(image, unit=True)
