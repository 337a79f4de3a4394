"""The images themselves: truth and prediction side by side, the worst first."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from striate.figures import INK
from striate.findings import Figure, Finding, Table
from striate.tasks.detect.drawing import Draw, drawn
from striate.tasks.detect.evaluate import Assessed

SHOWN = 6
SIDE = 360  # pixels of a panel


def gallery(
    assessed: Assessed,
    images: Callable[[int], np.ndarray],
    classes: tuple[str, ...],
    sure: float,
    draw: Draw = drawn,
) -> Finding:
    """The worst images, the middle one and the best, with the true and the predicted objects.

    images: index -> (H, W, C) uint8. sure: score from which on an object counts and is drawn. draw: objects over an image.
    """
    rows = []
    for i, judged in enumerate(assessed.judged(sure)):
        right = int((judged.kinds == 0).sum())
        missed = int((judged.counted & ~judged.found).sum())
        invented = int(((judged.kinds != 0) & ~judged.ignored).sum())
        f1 = 2 * right / max(2 * right + missed + invented, 1) if right + missed + invented else 1.0
        rows.append((assessed.keys[i], f1, right, missed, invented))
    order = sorted(range(len(rows)), key=lambda i: (rows[i][1], -rows[i][3] - rows[i][4]))
    chosen = list(dict.fromkeys([*order[: SHOWN - 2], order[len(order) // 2], order[-1]]))
    figures = []
    for i in chosen:
        what = "worst" if i in order[: SHOWN - 2] else "best" if i == order[-1] else "middle"
        key, _, right, missed, invented = rows[i]
        figures.append(
            Figure(
                content=_panels(images(i), assessed, i, classes, sure, draw),
                media="image/webp",
                caption=f"{key}: {right} right, {missed} missed, {invented} wrong or invented ({what})",
                alt=f"{key}: truth on the left, prediction on the right",
            )
        )
    perfect = sum(r[3] == 0 and r[4] == 0 for r in rows)
    worst = rows[order[0]]
    return Finding(
        name="mistakes",
        title="Its worst images",
        verdict=(
            f"On {perfect:,} of {len(rows):,} images every object is found and nothing is invented ({assessed.many} of a "
            f"score of {sure:g} and more); the worst, {worst[0]}, has {worst[3]} missed and {worst[4]} wrong or invented."
        ),
        tables=(
            Table(
                columns=("image", "F1", "right", "missed", "wrong or invented"),
                rows=tuple(rows[i] for i in order[:24]),
                formats=("", ".2f", ",", ",", ","),
                caption="Worst first; F1: twice the right ones over all, true and predicted.",
            ),
        ),
        figures=tuple(figures),
        data={"perfect": perfect, "images": len(rows)},
    )


def _panels(
    image: np.ndarray, assessed: Assessed, i: int, classes: tuple[str, ...], sure: float, draw: Draw
) -> bytes:
    scale = SIDE / max(image.shape[:2])
    predicted = assessed.predictions[i]
    parts = [
        draw(image, assessed.truths[i], classes, scale=scale),
        draw(image, predicted.sure(sure), classes, scale=scale),
    ]
    height, width = parts[0].shape[:2]
    gap, head = 8, 20
    page = Image.new("RGB", (2 * width + gap, height + head), "white")
    pen = ImageDraw.Draw(page)
    for column, (part, heading) in enumerate(zip(parts, ("truth", "network"), strict=True)):
        left = column * (width + gap)
        page.paste(Image.fromarray(part), (left, head))
        pen.text((left, 2), heading, fill=INK, font=ImageFont.load_default(13))
    buffer = io.BytesIO()
    page.save(buffer, "WEBP", quality=82)
    return buffer.getvalue()
