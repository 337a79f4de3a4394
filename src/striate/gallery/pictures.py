"""Pictures of pairs: two images side by side, so that a person decides whether they are one."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from striate.errors import DataError
from striate.figures import GRID, INK, font_for
from striate.findings import Figure
from striate.pictures import fit
from striate.wording import one_line

SIDE, GAP, LINE = 160, 10, 18  # pixels
COLUMNS = 2  # pairs beside each other
SHOWN = 12  # pairs in a picture
LETTERS = 24  # of a name


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two images of a data set and how alike they are; `notes` says what each is, such as its split."""

    similarity: float
    keys: tuple[str, str]
    notes: tuple[str, str]


def pair_sheet(
    pairs: Sequence[Pair],
    image: Callable[[str], np.ndarray],
    *,
    caption: str,
    label: Callable[[str], str] = str,
) -> Figure:
    """The first pairs as WebP, with the similarity, the names and the notes under each image.

    image: a key to (H, W, C) uint8; where it raises DataError, such as for a file that has gone, a gap is left. label: a key
    as it is shown.
    """
    shown = pairs[:SHOWN]
    wide, tall = 2 * SIDE + GAP, SIDE + 3 * LINE + GAP
    rows = -(-len(shown) // COLUMNS)
    columns = min(COLUMNS, len(shown))
    page = Image.new("RGB", (columns * (wide + 3 * GAP) - GAP, rows * (tall + GAP)), "white")
    pen = ImageDraw.Draw(page)
    for at, pair in enumerate(shown):
        left, top = at % COLUMNS * (wide + 3 * GAP) + GAP, at // COLUMNS * (tall + GAP)
        pen.text((left, top + 2), f"{at + 1}   similarity {pair.similarity:.3f}", fill=INK, font=_font("", 13))  # fmt: skip
        for side, (key, note) in enumerate(zip(pair.keys, pair.notes, strict=True)):
            x, y = left + side * (SIDE + GAP), top + LINE + 2
            try:
                pixels = image(key)
                picture = fit(
                    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels), SIDE, SIDE
                )
                page.paste(
                    picture.convert("RGB"),
                    (x + (SIDE - picture.width) // 2, y + (SIDE - picture.height) // 2),
                )
            except (DataError, OSError):
                pen.text(
                    (x + 8, y + SIDE // 2), "cannot be read now", fill=GRID, font=_font("", 12)
                )
            pen.rectangle((x - 1, y - 1, x + SIDE, y + SIDE), outline=GRID)
            for line, text in enumerate((_ending(one_line(label(key))), one_line(note))):
                pen.text((x, y + SIDE + 3 + line * LINE), text, fill=INK, font=_font(text, 12))
    buffer = io.BytesIO()
    page.save(buffer, "WEBP", quality=85)
    return Figure(
        content=buffer.getvalue(), media="image/webp", caption=caption,
        alt=f"{len(shown)} pairs of images side by side, the most similar first.",
    )  # fmt: skip


def _font(text: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_for(text), size)


def _ending(key: str) -> str:
    """The end of a name, which says more than its beginning."""
    return key if len(key) <= LETTERS else f"…{key[-(LETTERS - 1) :]}"
