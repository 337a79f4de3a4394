"""Key: the names of the classes beside their colours, below a picture of a mask."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from striate.figures import INK, font_for
from striate.tasks.segment.data.palette import LUMA, NOTHING, TINT, palette

NARROWEST = 120  # pixels of a picture; below, names would not fit
MOST = 24  # classes named; the largest


def with_key(picture: np.ndarray, mask: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """A picture (H, W, 3) uint8 with the names of the mask's classes below, each beside its tint: (H + key, W, 3).

    mask (h, w) uint8, or several, of any size. Background has no tint, and no name here. The picture itself is not
    touched; one narrower than 120 pixels, and one without classes, comes back as it is.
    """
    numbers, counts = np.unique(mask, return_counts=True)
    table = palette(classes)
    order = [
        int(n)
        for n in numbers[np.argsort(-counts, kind="stable")]
        if n < len(classes) and tuple(table[n]) != NOTHING
    ][:MOST]
    width = picture.shape[1]
    if width < NARROWEST or not order:
        return picture
    size = max(11, min(width // 40, 40))
    fonts = {n: ImageFont.truetype(font_for(classes[n]), size) for n in order}
    patch, gap, line = size, size // 2, round(1.5 * size)
    entries: list[tuple[int, int, int, str]] = []
    left, row = gap, 0
    for n in order:
        name = shortened(classes[n], fonts[n], width - patch - 3 * gap)
        wide = patch + gap + round(fonts[n].getlength(name))
        if left > gap and left + wide + gap > width:
            left, row = gap, row + 1
        entries.append((n, left, row, name))
        left += wide + 2 * gap
    strip = Image.new("RGB", (width, (row + 1) * line + gap), "white")
    draw = ImageDraw.Draw(strip)
    for n, left, row, name in entries:
        top = row * line + gap
        draw.rectangle((left, top, left + patch, top + patch), fill=tint(classes, n), outline=INK)
        middle = top + patch // 2
        draw.text((left + patch + gap, middle), name, fill=INK, font=fonts[n], anchor="lm")
    return np.concatenate([picture, np.array(strip)])


def tint(classes: tuple[str, ...], number: int) -> tuple[int, int, int]:
    """A class's colour as an overlay shows it over middle grey."""
    colour = TINT * palette(classes)[number] + (1 - TINT) * 128 * LUMA.sum()
    red, green, blue = (round(float(c)) for c in colour)
    return red, green, blue


def shortened(name: str, font: ImageFont.FreeTypeFont, pixels: int) -> str:
    """As much of a name as fits, with an ellipsis where that is not all."""
    if font.getlength(name) <= pixels:
        return name
    while name and font.getlength(name + "…") > pixels:
        name = name[:-1]
    return name + "…"
