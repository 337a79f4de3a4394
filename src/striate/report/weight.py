"""Keep the page light: pictures are encoded again, smaller, until everything fits."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from striate.findings import Figure

SMALLEST = 96  # pixels on the longer side, below which a picture shows nothing


def lighten(figures: Sequence[Figure], budget: int) -> list[Figure]:
    """The figures with their pictures' bytes within `budget` in sum, if that can be done; SVGs
    stay as they are.

    First the heaviest become WebP, then the heaviest are halved in size, one after another.
    """
    out = list(figures)
    for shrink in (False, True):
        while _bytes(out) > budget:
            index = _heaviest(out, shrink)
            if index is None:
                break
            out[index] = _smaller(out[index], shrink)
    return out


def _bytes(figures: Sequence[Figure]) -> int:
    return sum(len(f.content) for f in figures if f.media != "image/svg+xml")


def _heaviest(figures: Sequence[Figure], shrink: bool) -> int | None:
    def can(figure: Figure) -> bool:
        if figure.media == "image/svg+xml":
            return False
        if not shrink:
            return figure.media == "image/png"
        with Image.open(io.BytesIO(figure.content)) as picture:
            return max(picture.size) >= 2 * SMALLEST

    able = [i for i, figure in enumerate(figures) if can(figure)]
    return max(able, key=lambda i: len(figures[i].content), default=None)


def _smaller(figure: Figure, shrink: bool) -> Figure:
    with Image.open(io.BytesIO(figure.content)) as picture:
        picture.load()
        image = picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGBA")
    if shrink:
        size = (max(1, image.width // 2), max(1, image.height // 2))
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80)
    return replace(figure, content=buffer.getvalue(), media="image/webp")
