"""Keep the page light: pictures are encoded again, smaller, until everything fits."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from striate.errors import DataError
from striate.findings import Figure
from striate.report.raster import size_of

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
    broken: set[int] = (
        set()
    )  # pictures that cannot be decoded, as a run from elsewhere may hold them
    for halve in (False, True):
        while excess > 0:
            able = [i for i, f in enumerate(out) if i not in broken and _can_shrink(f, halve)]
            if not able:
                break
            index = max(able, key=lambda i: len(out[i].content))
            try:
                smaller = _again(out[index], halve)
            except Exception:  # decoders raise a dozen kinds; the page says what it cannot show
                broken.add(index)
                continue
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
    try:
        return max(size_of(figure.content)) >= 2 * SMALLEST
    except DataError:
        return False


def _again(figure: Figure, halve: bool) -> Figure:
    size_of(figure.content)  # refuses what would fill the memory
    with Image.open(io.BytesIO(figure.content)) as picture:
        image = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if halve:
        size = (max(1, image.width // 2), max(1, image.height // 2))
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80)
    return replace(figure, content=buffer.getvalue(), media="image/webp")
