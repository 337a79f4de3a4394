"""Drawing: the boxes and outlines of objects over their image."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from striate.figures import font_for
from striate.tasks.detect.objects import Objects
from striate.tasks.segment.data.palette import palette
from striate.wording import printable, short

MOST_NAMED = 12  # objects of an image whose names still find room
LETTERS = 11  # pixels


def drawn_objects(
    image: np.ndarray, objects: Objects, classes: tuple[str, ...], *, side: int
) -> Image.Image:
    """The image (H, W, 1 or 3) uint8 fitted into a square of `side` pixels, each object outlined in its class's colour.

    Crowds are dashed. Outlines, where they are known, are filled half transparent; names stand where there are few.
    """
    from PIL import ImageFont

    height, width = image.shape[:2]
    zoom = side / max(height, width)
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    colours = palette(classes)
    picture = Image.fromarray(
        np.ascontiguousarray(np.repeat(image, 3, -1) if image.shape[-1] == 1 else image)
    )
    picture = picture.resize(
        size, Image.Resampling.NEAREST if zoom >= 2 else Image.Resampling.LANCZOS
    )
    for i, region in enumerate(objects.regions or ()):
        box = [round(v * zoom) for v in region.box]
        wide, tall = max(box[2] - box[0], 1), max(box[3] - box[1], 1)
        mask = Image.fromarray(region.mask.astype(np.uint8) * 110).resize(
            (wide, tall), Image.Resampling.BILINEAR
        )
        picture.paste(tuple(colours[objects.labels[i] % 255].tolist()), (box[0], box[1]), mask)
    pen = ImageDraw.Draw(picture)
    named = len(objects) <= MOST_NAMED
    for i in np.argsort(
        -objects.sides.prod(1)
    ).tolist():  # small ones last, so that they stay in sight
        left, top, right, bottom = (objects.boxes[i] * zoom).tolist()
        colour = tuple(colours[objects.labels[i] % 255].tolist())
        corners = (left, top, max(right - 1, left + 1), max(bottom - 1, top + 1))
        if objects.crowd[i]:
            _dashed(pen, corners, colour)
        else:
            pen.rectangle(corners, outline=colour, width=2)
        if named:
            text = short(printable(classes[objects.labels[i]]), 14)
            font = ImageFont.truetype(font_for(text), LETTERS)
            x, y = (
                max(min(left, size[0] - pen.textlength(text, font=font) - 3), 0),
                max(top - LETTERS - 3, 0),
            )
            area = pen.textbbox((x + 2, y), text, font=font)
            pen.rectangle((area[0] - 2, area[1] - 1, area[2] + 2, area[3] + 1), fill=colour)
            dark = np.dot(colour, (0.299, 0.587, 0.114)) < 140
            pen.text((x + 2, y), text, font=font, fill="white" if dark else "black")
    tile = Image.new("RGB", (side, side), "white")
    tile.paste(picture, ((side - size[0]) // 2, (side - size[1]) // 2))
    return tile


def _dashed(pen: ImageDraw.ImageDraw, box: tuple[float, ...], colour: tuple[int, ...]) -> None:
    left, top, right, bottom = box
    for x in np.arange(left, right, 8):
        for y in (top, bottom):
            pen.line((x, y, min(x + 4, right), y), fill=colour, width=2)
    for y in np.arange(top, bottom, 8):
        for x in (left, right):
            pen.line((x, y, x, min(y + 4, bottom)), fill=colour, width=2)
