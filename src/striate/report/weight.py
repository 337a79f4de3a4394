"""Keep the page light: pictures are encoded again, smaller, until everything fits."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from striate.findings import Figure

SMALLEST = 96  # pixels of the longer side, below which a picture shows nothing


def lighten(figures: Sequence[Figure], excess: int) -> list[Figure]:
    """The figures, `excess` bytes of page lighter if their pictures can be so much smaller; SVGs
    stay as they are.

    What stands behind a switch goes first. The heaviest picture becomes WebP then, and the next; when
    all are, the heaviest is halved in size, and so on.
    """
    out = list(figures)
    for index in sorted(range(len(out)), key=lambda i: -len(out[i].bare)):
        if excess <= 0 or not out[index].bare:
            break
        excess -= len(out[index].bare) * 4 // 3
        out[index] = replace(out[index], bare=b"")
    for halve in (False, True):
        while excess > 0:
            able = [i for i, figure in enumerate(out) if _can_shrink(figure, halve)]
            if not able:
                break
            index = max(able, key=lambda i: len(out[i].content))
            smaller = _again(out[index], halve)
            excess -= _on_page(out[index]) - _on_page(smaller)
            out[index] = smaller
    return out


def leave_out(figures: Sequence[Figure], excess: int) -> list[Figure]:
    """The figures, the heaviest without content, until the page is `excess` bytes lighter."""
    out = list(figures)
    for index in sorted(range(len(out)), key=lambda i: -len(out[i].content)):
        if excess <= 0:
            break
        excess -= _on_page(out[index])
        out[index] = replace(out[index], content=b"", bare=b"")
    return out


def _on_page(figure: Figure) -> int:
    """Bytes that a figure takes on the page; base64 writes three as four."""
    size = len(figure.content)
    return size if figure.media == "image/svg+xml" else (size + len(figure.bare)) * 4 // 3


def _can_shrink(figure: Figure, halve: bool) -> bool:
    if figure.media == "image/svg+xml" or not halve:
        return figure.media == "image/png"
    with Image.open(io.BytesIO(figure.content)) as picture:
        return max(picture.size) >= 2 * SMALLEST


def _again(figure: Figure, halve: bool) -> Figure:
    with Image.open(io.BytesIO(figure.content)) as picture:
        image = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if halve:
        size = (max(1, image.width // 2), max(1, image.height // 2))
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80)
    return replace(figure, content=buffer.getvalue(), media="image/webp")
