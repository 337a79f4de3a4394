"""Images as people hold them in Python: PIL images, arrays and tensors, as (H, W, C) arrays."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.reading import read_image
from striate.data.records import digest
from striate.errors import DataError
from striate.images import decode, flatten_alpha

COLOURS = (1, 3)
ALPHA = (2, 4)


@dataclass(frozen=True, kw_only=True, eq=True)
class Form:
    """What is known of an image: its content's hash, size, channels, kind of number ("u1", "u2", "f"), extremes, and
    share of values that are no data.
    """

    content: bytes
    height: int
    width: int
    channels: int
    kind: str
    low: float
    high: float
    missing: float


def pixels_of(image: Any) -> np.ndarray:
    """An image as (H, W, C), C 1 or 3, uint8, uint16 or float32; transparency is laid on white.

    image: a PIL image; an array (H, W), (H, W, C) or (C, H, W); a tensor (C, H, W), (H, W) or (H, W, C); or a path.
    Raises DataError for anything else.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if hasattr(image, "mode") and hasattr(image, "convert"):
        return _of_pil(image)
    channels_first = hasattr(image, "detach")  # a tensor
    if channels_first:
        image = image.detach().cpu().numpy()
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"its image is {type(image).__name__}; give a PIL image, an array, a tensor or a path"
        )
    return number_kind(as_hwc(image, channels_first))


def as_hwc(image: np.ndarray, channels_first: bool) -> np.ndarray:
    """(H, W, C) of (H, W), (H, W, C) or (C, H, W). Raises DataError."""
    if 0 in image.shape:
        raise DataError(f"its image has no pixels: {image.shape}")
    if image.ndim == 2:
        return image[..., None]
    if image.ndim == 3:
        known = (*COLOURS, *ALPHA)
        first, last = image.shape[0] in known, image.shape[2] in known
        if first and (channels_first or not last):
            image = image.transpose(1, 2, 0)
        elif not last:
            raise DataError(
                f"its image has the shape {image.shape}, and neither its first nor its last axis is 1 (grey) or 3 (RGB)"
            )
        return flatten_alpha(image, keep=False) if image.shape[2] in ALPHA else image
    raise DataError(f"its image has {image.ndim} axes {image.shape}; give (H, W), (H, W, C) or (C, H, W)")  # fmt: skip


def number_kind(image: np.ndarray) -> np.ndarray:
    """uint8 and uint16 as they are, bool as 0 and 255, other numbers as float32. Raises DataError."""
    if image.dtype == np.bool_:
        return image.astype(np.uint8) * 255
    if image.dtype in (np.uint8, np.uint16):
        return image
    if image.dtype.kind not in "uif":
        raise DataError(f"its image holds {image.dtype}, not numbers")
    values = image.astype(np.float32)
    if np.isinf(values).any():
        raise DataError(
            "its image holds infinite numbers; replace them, by NaN where nothing was measured"
        )
    if np.isnan(values).all():
        raise DataError("its image holds nothing but NaN")
    return values


def in_one(images: Any) -> np.ndarray:
    """Images that lie in one array, (N, H, W, C), as `pixels_of` takes each."""
    tensors = hasattr(images, "detach")
    whole: np.ndarray = images.detach().cpu().numpy() if tensors else np.asarray(images)
    known = (*COLOURS, *ALPHA)
    if whole.ndim == 4 and whole.shape[1] in known and (tensors or whole.shape[3] not in known):
        return whole.transpose(0, 2, 3, 1)
    return whole


def form_of(image: np.ndarray) -> Form:
    """What must be known of an image (H, W, C) before it is split."""
    floats = image.dtype.kind == "f"
    return Form(
        content=digest(np.ascontiguousarray(image), repr((image.shape, image.dtype.str)).encode()),
        height=image.shape[0],
        width=image.shape[1],
        channels=image.shape[2],
        kind="f" if floats else f"u{image.dtype.itemsize}",
        low=float(np.nanmin(image)),
        high=float(np.nanmax(image)),
        missing=float(np.isnan(image).mean()) if floats else 0.0,
    )


def as_stored(image: np.ndarray, *, unit: bool) -> np.ndarray:
    """The image as its split gives it; unit: floats from 0 to 1 as 8 bits."""
    if unit and image.dtype.kind == "f":
        return np.rint(np.nan_to_num(image) * 255).astype(np.uint8)
    return image


def _of_pil(image: Any) -> np.ndarray:
    if image.mode in ("L", "RGB"):
        pixels = np.asarray(image)
        return pixels[..., None] if pixels.ndim == 2 else pixels
    # Palettes, transparency, CMYK and more bits mean what they mean in a file.
    stream = io.BytesIO()
    image.save(stream, "TIFF" if image.mode in ("CMYK", "F", "I", "LAB", "YCbCr") else "PNG")
    return decode(stream.getvalue()).pixels
