"""The contact sheet: some images of each class, side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from striate.data.pool import ordered
from striate.data.preprocessing import Preprocessing
from striate.data.scale import Scale, scale_of
from striate.data.source import Source, Split
from striate.errors import DataError
from striate.figures import INK, font_for
from striate.findings import Figure
from striate.wording import one_line

ROWS, COLUMNS = 12, 8
TILE, GAP, TEXT = 72, 4, 150  # pixels, at most for tile and text


Member = tuple[Split, int]


def contact_sheet(
    source: Source,
    scale: Scale | None = None,
    *,
    groups: Mapping[str, Sequence[Member]] | None = None,
    one: str = "class",
    many: str = "classes",
) -> Figure:
    """A few images of each class as WebP, each whole, deep images by the same scale, that of the training images if none.

    groups: name -> its images, as split and number, a row each; the classes, if not given. one, many: what
    they are, in words.
    """
    if groups is None:
        groups = {name: _members(source, label) for label, name in enumerate(source.classes)}
    words = list(groups)
    chosen = _rows(len(words))
    scale = scale or scale_of(source.train) or Scale()
    # Tiny images are enlarged by a whole number, so that each pixel is seen as it is.
    largest = int(source.train.sizes.max(initial=1))
    tiny = largest <= TILE
    side = TILE // largest * largest if tiny else TILE
    fonts = [ImageFont.truetype(font_for(one_line(words[row])), 13) for row in chosen]
    names = [_fitting(one_line(words[row]), font) for row, font in zip(chosen, fonts, strict=True)]
    text = int(max(font.getlength(name) for name, font in zip(names, fonts, strict=True))) + 20
    tile = Preprocessing(
        channels=3,
        height=side,
        width=side,
        fit="pad",
        interpolation="nearest" if tiny else "bilinear",
        mean=(1.0, 1.0, 1.0),
        **scale.levels,
    )
    step = side + GAP
    page = Image.new("RGB", (text + COLUMNS * step - GAP, len(chosen) * step - GAP), "white")
    draw = ImageDraw.Draw(page)
    tiles: list[tuple[Split, int, tuple[int, int]]] = []
    for row, group in enumerate(chosen):
        top = row * step
        draw.text((text - 10, top + side // 2), names[row], fill=INK, font=fonts[row], anchor="rm")
        for column, (split, index) in enumerate(_examples(groups[words[group]])):
            tiles.append((split, index, (text + column * step, top)))
    for place, pixels in ordered(lambda t: (t[2], _tile(t[0], t[1], tile)), tiles):
        if pixels is not None:
            page.paste(Image.fromarray(pixels), place)
    buffer = io.BytesIO()
    page.save(buffer, "WEBP", quality=85, lossless=tiny)
    deep = any(split.deep.any() for split in source.splits.values())
    how = "deep ones by the scale of the training images" if deep else "as they are"
    all_shown = len(chosen) == len(words)
    which = f"each {one}" if all_shown else f"{len(chosen)} {many}"
    return Figure(
        content=buffer.getvalue(),
        media="image/webp",
        caption=f"Images of {which}, {how}, before preprocessing.",
        alt=f"A contact sheet of example images of {which}, a {one} a row.",
    )


def _rows(classes: int) -> list[int]:
    return np.unique(np.linspace(0, classes - 1, min(classes, ROWS)).round().astype(int)).tolist()


def _members(source: Source, label: int) -> list[Member]:
    return [
        (split, int(i))
        for split in source.splits.values()
        for i in np.flatnonzero(split.labels == label)
    ]


def _examples(mine: Sequence[Member]) -> list[Member]:
    at = np.unique(np.linspace(0, len(mine) - 1, min(len(mine), COLUMNS)).astype(int))
    return [mine[i] for i in at]


def _tile(split: Split, index: int, preprocessing: Preprocessing) -> np.ndarray | None:
    try:
        return split.preprocess(index, preprocessing).transpose(1, 2, 0)
    except DataError:  # the file has gone since the source was opened; a gap shows it
        return None


def _fitting(name: str, font: ImageFont.FreeTypeFont) -> str:
    if font.getlength(name) <= TEXT:
        return name
    while name and font.getlength(name + "…") > TEXT:
        name = name[:-1]
    return name + "…"
