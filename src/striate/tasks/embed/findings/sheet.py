"""Sheets of images with words under each; right and wrong ones differ by a mark, not by colour alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from striate.figures import BLUE, INK, VERMILLION, font_for
from striate.findings import Figure
from striate.pictures import as_image, fit
from striate.wording import one_line

SIDE, GAP, LINE = 84, 10, 15  # pixels: of an image, between images, of a line of text
MARK = 16


@dataclass(frozen=True)
class Tile:
    """An image with lines of text under it. right: None for neither right nor wrong, such as what is asked for."""

    image: Any
    lines: tuple[str, ...]
    right: bool | None = None


def sheet(
    rows: Sequence[Sequence[Tile]], *, caption: str, alt: str, first: bool = True, together: int = 1
) -> Figure:  # fmt: skip
    """Rows of tiles as a picture.

    first: whether the first of each row stands apart, as what is asked for. together: tiles of a row that belong together.
    """
    lines = max(len(tile.lines) for row in rows for tile in row)
    columns = max(map(len, rows))
    high = SIDE + 4 + LINE * lines + GAP
    apart = 2 * GAP if first else 0
    between = 2 * GAP if together > 1 else 0
    wide = columns * (SIDE + GAP) + apart + (columns - 1) // together * between + GAP
    page = Image.new("RGB", (wide, len(rows) * high + GAP), "white")
    pen = ImageDraw.Draw(page)
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            left = GAP + c * (SIDE + GAP) + (apart if first and c else 0) + c // together * between
            _place(page, pen, tile, left, GAP + r * high)
        if first:
            middle = GAP + SIDE + GAP // 2 + apart // 2
            pen.line([(middle, GAP + r * high), (middle, GAP + r * high + SIDE)], fill="#d0d7de")
    buffer = io.BytesIO()
    page.save(buffer, "PNG", optimize=True)
    return Figure(content=buffer.getvalue(), media="image/png", caption=caption, alt=alt)


def _place(page: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, left: int, top: int) -> None:
    picture = fit(as_image(tile.image), SIDE, SIDE).convert("RGB")
    at = left + (SIDE - picture.width) // 2, top + (SIDE - picture.height) // 2
    page.paste(picture, at)
    box = [at[0] - 2, at[1] - 2, at[0] + picture.width + 1, at[1] + picture.height + 1]
    if tile.right is not None:
        pen.rectangle(box, outline=BLUE if tile.right else VERMILLION, width=2)
        _mark(pen, tile.right, box[2] - MARK, box[1])
    else:
        pen.rectangle(box, outline="#d0d7de", width=1)
    for i, text in enumerate(tile.lines):
        text, font = _fitting(one_line(text))
        pen.text((left + SIDE // 2, top + SIDE + 4 + LINE * i), text, fill=INK, font=font, anchor="ma")  # fmt: skip


def _mark(pen: ImageDraw.ImageDraw, right: bool, left: int, top: int) -> None:
    """A tick on blue or a cross on vermillion in the corner of an image."""
    pen.rectangle([left, top, left + MARK, top + MARK], fill=BLUE if right else VERMILLION)
    if right:
        pen.line([(left + 3, top + 8), (left + 7, top + 12), (left + 13, top + 4)], "white", 2)
    else:
        for a, b in (((4, 4), (12, 12)), ((12, 4), (4, 12))):
            pen.line([(left + a[0], top + a[1]), (left + b[0], top + b[1])], "white", 2)


def _fitting(text: str) -> tuple[str, ImageFont.FreeTypeFont]:
    """The text cut to the width of a tile, and a font that has it."""
    font = ImageFont.truetype(font_for(text), 11)
    if font.getlength(text) <= SIDE + GAP - 2:
        return text, font
    while text and font.getlength(text + "…") > SIDE + GAP - 2:
        text = text[:-1]
    return text + "…", font
