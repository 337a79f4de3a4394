"""The one door to images: tensors, arrays, files, or readers of somebody's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from striate.errors import UsageError
from striate.inference.kinds import refuse_no_numbers
from striate.inference.tiled.read.files import open_file
from striate.inference.tiled.read.images import ArrayImage, Image, TensorImage


def open_image(image: Any, axes: int = 2) -> Image:
    """An image from a tensor, an array-like, a path, or an `Image` as it is.

    Raises UsageError for anything else or another number of dimensions, GeometryError for a file that cannot be read.
    """
    if isinstance(image, (str, Path)):
        return open_file(Path(image))
    if hasattr(image, "read") and hasattr(image, "identity") and hasattr(image, "count"):
        return image  # type: ignore[no-any-return]
    if not (hasattr(image, "shape") and hasattr(image, "dtype")):
        raise UsageError(
            f"image is a tensor, an array (C, H, W) or (N, C, H, W), or the path of a file; got {type(image).__name__}"
        )
    shape = tuple(int(n) for n in image.shape)
    if len(shape) not in (axes + 1, axes + 2) or 0 in shape:
        form = {1: "C, L", 2: "C, H, W", 3: "C, D, H, W"}.get(axes, "C, *positions")
        hint = (
            "; for a volume give axes=3" if axes == 2 and len(shape) == 5 and 0 not in shape else ""
        )
        raise UsageError(
            f"an image has the shape ({form}) or (N, {form}), all above 0; got {shape}{hint}"
        )
    if not isinstance(image, Tensor):
        return ArrayImage(image, axes)
    refuse_no_numbers(image)
    return TensorImage(image, axes)
