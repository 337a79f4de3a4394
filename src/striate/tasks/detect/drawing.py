"""Boxes over an image, each with its class and score."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from striate.figures import font_for
from striate.tasks.detect.objects import Objects
from striate.tasks.segment.data.palette import palette
from striate.wording import printable

DARK, LIGHT = (20, 20, 20), (255, 255, 255)


def drawn(
    image: np.ndarray, objects: Objects, classes: tuple[str, ...], *, scale: float = 1.0, names: bool = True
) -> np.ndarray:  # fmt: skip
    """The objects over an image (H, W, 1 or 3) uint8 enlarged `scale` times: (H', W', 3) uint8.

    A box has its class's colour on a dark line, so that it shows on any ground; a crowd is drawn thin and dark alone. names:
    write class and score above it.
    """
    ground = np.repeat(image, 3, -1) if image.shape[-1] == 1 else image
    size = max(1, round(ground.shape[1] * scale)), max(1, round(ground.shape[0] * scale))
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    page = Image.fromarray(ground).resize(size, method)
    draw = ImageDraw.Draw(page)
    colours = palette(classes)
    line = max(1, round(max(size) / 400))
    labels = []
    for i in range(len(objects)):
        left, top, right, bottom = (objects.boxes[i] * scale).tolist()
        colour = tuple(colours[objects.labels[i]].tolist())
        frame = [left, top, max(right - 1, left), max(bottom - 1, top)]
        draw.rectangle(_grown(frame, line), outline=DARK, width=line)
        if objects.crowd[i]:
            continue
        draw.rectangle(frame, outline=colour, width=line)
        score = "" if objects.scores is None else f" {objects.scores[i]:.2f}"
        labels.append((left, top, f"{printable(classes[objects.labels[i]])}{score}", colour))
    if names:
        for left, top, text, colour in labels:
            font = ImageFont.truetype(font_for(text), max(10, round(max(size) / 60)))
            box = draw.textbbox((0, 0), text, font=font)
            at = min(max(left, 0), size[0] - box[2] - 2), max(top - box[3] - 2, 0)
            draw.rectangle([at[0], at[1], at[0] + box[2] + 2, at[1] + box[3] + 1], fill=colour)
            bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
            draw.text((at[0] + 1, at[1]), text, fill=DARK if bright else LIGHT, font=font)
    return np.asarray(page)


def _grown(frame: list[float], line: int) -> list[float]:
    return [frame[0] - line, frame[1] - line, frame[2] + line, frame[3] + line]
