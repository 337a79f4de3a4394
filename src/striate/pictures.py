"""Images of a data set as small pictures for a page: pixels stay pixels, photographs become
WebP.
"""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from striate.errors import DataError

SMALL = 64  # pixels; up to here an image is enlarged with its pixels visible
Media = Literal["image/png", "image/webp"]


def as_image(image: Any) -> Image.Image:
    """An image as Pillow shows it: a Pillow image, or uint8 (C, H, W), (H, W, C) or (H, W).

    Where a shape fits both, channels come first. Of two channels the first is shown, of five or
    more the first three. Raises DataError for another type or shape.
    """
    if isinstance(image, Image.Image):
        return image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")
    pixels = image.detach().cpu().numpy() if isinstance(image, torch.Tensor) else np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise DataError(
            f"a picture must be uint8 of shape (C, H, W), got {pixels.dtype} {pixels.shape}; "
            "scale it to 0..255 first"
        )
    if pixels.ndim == 3:
        if not (pixels.shape[-1] <= 4 < pixels.shape[0]):
            pixels = pixels.transpose(1, 2, 0)
        channels = pixels.shape[-1]
        pixels = pixels[..., 0] if channels < 3 else pixels[..., : 4 if channels == 4 else 3]
    return Image.fromarray(np.ascontiguousarray(pixels))


def fit(image: Image.Image, width: int, height: int) -> Image.Image:
    """The image inside width x height: enlarged by a whole factor if it is small, else reduced
    smoothly.
    """
    scale = min(width / image.width, height / image.height)
    if scale >= 1:
        factor = int(scale)
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def encode(image: Image.Image, *, exact: bool) -> tuple[bytes, Media]:
    """PNG bytes where every pixel counts, WebP for photographs."""
    buffer = io.BytesIO()
    if exact:
        image.save(buffer, "PNG", optimize=True)
        return buffer.getvalue(), "image/png"
    image.save(buffer, "WEBP", quality=85)
    return buffer.getvalue(), "image/webp"


def thumbnail(image: Any) -> tuple[bytes, Media]:
    """A picture of at most 192 pixels a side, 128 if every pixel counts, and its media type."""
    picture = as_image(image)
    exact = max(picture.size) <= SMALL
    side = 128 if exact else 192
    return encode(fit(picture, side, side), exact=exact)


def beside(left: Any, right: Any, *, gap: int = 16) -> tuple[bytes, Media]:
    """Two images next to each other on a transparent ground, and the picture's media type."""
    first, second = as_image(left), as_image(right)
    exact = max(*first.size, *second.size) <= SMALL
    height = 128 if exact else 192
    a, b = (fit(image, height * 3 // 2, height).convert("RGBA") for image in (first, second))
    tall = max(a.height, b.height)
    both = Image.new("RGBA", (a.width + gap + b.width, tall), (0, 0, 0, 0))
    both.paste(a, (0, (tall - a.height) // 2))
    both.paste(b, (a.width + gap, (tall - b.height) // 2))
    return encode(both, exact=exact)
