"""Drawing: the boxes and outlines of objects over their image, each with its class and score."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from striate.figures import font_for
from striate.tasks.detect.objects import Objects
from striate.tasks.segment.data.palette import palette
from striate.wording import printable, short

Draw = Callable[..., np.ndarray]
"""(image (H, W, 1 or 3) uint8, its objects, classes, scale=) -> a picture (H', W', 3) uint8; see `drawn`."""

MOST_NAMED = 40  # objects of an image whose names still find room
DARK, LIGHT = (20, 20, 20), (255, 255, 255)


def drawn(
    image: np.ndarray, objects: Objects, classes: tuple[str, ...], *, scale: float = 1.0, names: bool = True
) -> np.ndarray:  # fmt: skip
    """The objects over an image (H, W, 1 or 3) uint8 enlarged `scale` times: (H', W', 3) uint8.

    A box has its class's colour beside a dark line, so that it shows on any ground; a crowd is dashed. Regions, where they
    are known, are filled half transparent. names: write class and score where there are few objects.
    """
    ground = np.repeat(image, 3, -1) if image.shape[-1] == 1 else image
    size = max(1, round(ground.shape[1] * scale)), max(1, round(ground.shape[0] * scale))
    method = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    page = Image.fromarray(np.ascontiguousarray(ground)).resize(size, method)
    colours = palette(classes)
    for i, region in enumerate(objects.regions or ()):
        box = [round(v * scale) for v in region.box]
        wide, tall = max(box[2] - box[0], 1), max(box[3] - box[1], 1)
        mask = Image.fromarray(region.mask.astype(np.uint8) * 110)
        colour = tuple(colours[objects.labels[i] % 255].tolist())
        page.paste(colour, (box[0], box[1]), mask.resize((wide, tall), Image.Resampling.BILINEAR))
    pen = ImageDraw.Draw(page)
    line = max(1, round(max(size) / 300))
    order = np.argsort(-objects.sides.prod(1), kind="stable").tolist()  # small ones last, in sight
    for i in order:
        left, top, right, bottom = (objects.boxes[i] * scale).tolist()
        frame = (left, top, max(right - 1, left + 1), max(bottom - 1, top + 1))
        colour = tuple(colours[objects.labels[i] % 255].tolist())
        if objects.crowd[i]:
            _dashed(pen, frame, colour)
            continue
        around = (frame[0] - line, frame[1] - line, frame[2] + line, frame[3] + line)
        pen.rectangle(around, outline=DARK, width=line)
        pen.rectangle(frame, outline=colour, width=line)
    made = np.asarray(page)
    if names and len(objects) <= MOST_NAMED:
        own = [tuple(colours[label % 255].tolist()) for label in objects.labels]
        return write_names(made, objects, classes, own, order, scale)
    return made


def write_names(
    page: np.ndarray, objects: Objects, classes: tuple[str, ...], colours: Sequence[tuple[int, ...]], order: Sequence[int],
    scale: float,
) -> np.ndarray:  # fmt: skip
    """Class and score of each object above its box, on a page (H, W, 3) uint8 that is enlarged `scale` times.

    colours: of the objects. order: in which they are written, the last in sight. Crowds have none.
    """
    picture = Image.fromarray(page)
    pen = ImageDraw.Draw(picture)
    for i in order:
        if not objects.crowd[i]:
            score = "" if objects.scores is None else f" {objects.scores[i]:.2f}"
            text = short(printable(classes[objects.labels[i]]), 14) + score
            _named(pen, text, objects.boxes[i] * scale, colours[i], picture.size)
    return np.asarray(picture)


def _named(
    pen: ImageDraw.ImageDraw, text: str, box: np.ndarray, colour: tuple[int, ...], size: tuple[int, int]
) -> None:  # fmt: skip
    """Write a name above a box, inside the picture."""
    letters = max(10, round(max(size) / 50))
    font = ImageFont.truetype(font_for(text), letters)
    x = max(min(float(box[0]), size[0] - pen.textlength(text, font=font) - 4), 0)
    y = max(float(box[1]) - letters - 4, 0)
    area = pen.textbbox((x + 2, y), text, font=font)
    pen.rectangle((area[0] - 2, area[1] - 1, area[2] + 2, area[3] + 1), fill=colour)
    dark = np.dot(colour, (0.299, 0.587, 0.114)) < 140
    pen.text((x + 2, y), text, font=font, fill=LIGHT if dark else DARK)


def _dashed(pen: ImageDraw.ImageDraw, box: tuple[float, ...], colour: tuple[int, ...]) -> None:
    left, top, right, bottom = box
    for x in np.arange(left, right, 8):
        for y in (top, bottom):
            pen.line((x, y, min(x + 4, right), y), fill=colour, width=2)
    for y in np.arange(top, bottom, 8):
        for x in (left, right):
            pen.line((x, y, x, min(y + 4, bottom)), fill=colour, width=2)
