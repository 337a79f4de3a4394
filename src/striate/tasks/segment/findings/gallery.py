"""The images themselves: truth, prediction and error side by side, the worst first."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from striate.figures import INK
from striate.findings import Figure, Finding, Table
from striate.tasks.segment.metrics import MaskScores, dice, iou
from striate.wording import percent

SHOWN = 6
SIDE = 240  # pixels of a panel
HEADINGS = ("image", "mask", "network", "where it errs")
MISSED, INVENTED, SWAPPED = (0, 114, 178), (230, 159, 0), (204, 121, 167)  # blue, orange, purple

Overlay = Callable[[np.ndarray, np.ndarray], np.ndarray]
Key = Callable[[np.ndarray, np.ndarray], np.ndarray]


def image_scores(scores: MaskScores) -> np.ndarray:
    """Mean IoU of each image (N,), over the classes that its mask shows."""
    values = iou(scores.counts)
    present = scores.counts.sum(2) > 0
    known = np.where(present, np.nan_to_num(values), 0)
    return known.sum(1) / np.maximum(present.sum(1), 1)


def gallery(
    scores: MaskScores,
    images: Callable[[int], np.ndarray],
    truths: Callable[[int], np.ndarray],
    predictions: Callable[[int], np.ndarray],
    overlay: Overlay,
    key: Key,
) -> Finding:
    """The worst images, the middle one and the best, with mask, prediction and errors over them.

    images: index -> (H, W, 1 or 3) uint8; truths, predictions: index -> (H, W) uint8; overlay: image, mask -> (H, W, 3).
    key: a picture (H, W, 3) and masks (h, w) -> the picture with the names of their classes below.
    """
    per_image = image_scores(scores)
    order = np.argsort(per_image, kind="stable")
    chosen = list(
        dict.fromkeys([*order[: SHOWN - 2].tolist(), int(order[len(order) // 2]), int(order[-1])])
    )
    figures = []
    for i in chosen:
        image, truth, predicted = images(i), truths(i), predictions(i)
        what = "worst" if i in order[: SHOWN - 2] else "best" if i == order[-1] else "middle"
        figures.append(
            Figure(
                content=_panels(image, truth, predicted, overlay, key),
                media="image/webp",
                caption=f"{scores.keys[i]}: mean IoU {percent(float(per_image[i]))} ({what})",
                alt=f"{scores.keys[i]}: image, mask, prediction and errors",
            )
        )
    rows = tuple(
        (
            scores.keys[i],
            float(per_image[i]),
            float(np.nanmean(dice(scores.counts[i]))),
            _largest(scores, i),
        )
        for i in order[:24].tolist()
    )
    low = float(per_image[order[0]])
    return Finding(
        name="mistakes",
        title="Its worst images",
        verdict=(
            f"Half of the images have a mean IoU above {percent(float(np.median(per_image)))}; the worst, "
            f"{scores.keys[order[0]]}, has {percent(low)}."
        ),
        tables=(
            Table(
                columns=("image", "mean IoU", "mean Dice", "largest error"),
                rows=rows,
                formats=("", ".1%", ".1%", ""),
                caption="Worst first; means over the classes that the image's mask shows.",
            ),
        ),
        figures=tuple(figures),
        data={"mean_iou": {scores.keys[i]: float(per_image[i]) for i in order[:1000].tolist()}},
        advice=(
            "In the last panel blue is missed (an object taken for background), orange invented, purple an object of one "
            "class taken for another."
        ),
    )


def _largest(scores: MaskScores, index: int) -> str:
    wrong = scores.counts[index] - np.diag(scores.counts[index].diagonal())
    a, b = divmod(int(wrong.argmax()), len(wrong))
    if not wrong[a, b]:
        return "none"
    return f"{scores.classes[a]} taken for {scores.classes[b]}, {wrong[a, b]:,} pixels"


def errors(
    image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, background: int | None
) -> np.ndarray:
    """The image in grey, pixels that are wrong in the colour of their kind: (H, W, 3) uint8."""
    grey = image.mean(-1, keepdims=True) * 0.45 + 60
    out = np.repeat(grey, 3, -1).astype(np.uint8)
    wrong = (truth != predicted) & (truth != 255)
    out[wrong] = SWAPPED
    if background is not None:
        out[wrong & (predicted == background)] = MISSED
        out[wrong & (truth == background)] = INVENTED
    return out


def _panels(
    image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, overlay: Overlay, key: Key
) -> bytes:
    ground = np.repeat(image, 3, -1) if image.shape[-1] == 1 else image
    parts = [
        ground,
        overlay(image, truth),
        overlay(image, predicted),
        errors(image, truth, predicted, 0),
    ]
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    gap, head = 6, 20
    page = Image.new("RGB", (4 * size[0] + 3 * gap, size[1] + head), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(13)
    for column, (part, heading) in enumerate(zip(parts, HEADINGS, strict=True)):
        left = column * (size[0] + gap)
        page.paste(Image.fromarray(part).resize(size, method), (left, head))
        draw.text((left, 2), heading, fill=INK, font=font)
    keyed = Image.fromarray(key(np.array(page), np.stack([truth, predicted])))
    buffer = io.BytesIO()
    keyed.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()
