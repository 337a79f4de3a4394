"""Drawing: the masks of objects over their image, each in a colour of its own with its outline, class and score."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from striate.tasks.detect.drawing import MOST_NAMED, write_names
from striate.tasks.detect.objects import Objects
from striate.tasks.segment.data.palette import COLOURS, LUMA

TINT = 0.65  # of a mask's colour over its image, which is grey beneath, so that it looks the same on any ground
DARK = np.array([20, 20, 20], dtype=np.uint8)
FINEST = 4.0  # times that a small image is enlarged; more shows nothing new


def drawn_masks(
    image: np.ndarray, objects: Objects, classes: tuple[str, ...], *, scale: float = 1.0, names: bool = True
) -> np.ndarray:  # fmt: skip
    """The objects over an image (H, W, 1 or 3) uint8 enlarged `scale` times: (H', W', 3) uint8.

    Each mask has a colour that colour-blind people tell apart, and a line around it, light or dark as its ground needs; a
    crowd has a line alone. Small ones lie on top. names: write class and score where there are few.
    """
    ground = np.repeat(image, 3, -1) if image.shape[-1] == 1 else image
    height, width = (max(1, round(n * scale)) for n in ground.shape[:2])
    method = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    page = np.asarray(
        Image.fromarray(np.ascontiguousarray(ground)).resize((width, height), method)
    ).copy()
    order = np.argsort(-objects.areas, kind="stable").tolist()
    for i in order:
        if objects.regions is None:
            break
        region = objects.regions[i]
        # Every pixel of the page shows the pixel of the image in which its middle lies.
        rows = _shown(region.top, region.height, scale, height)
        columns = _shown(region.left, region.width, scale, width)
        if not len(rows) or not len(columns):
            continue
        at = np.floor((np.arange(rows[0], rows[-1] + 1) + 0.5) / scale).astype(int) - region.top
        to = (
            np.floor((np.arange(columns[0], columns[-1] + 1) + 0.5) / scale).astype(int)
            - region.left
        )
        inside = np.pad(
            region.mask[np.ix_(at.clip(0, region.height - 1), to.clip(0, region.width - 1))], 1
        )
        line = inside & ~binary_erosion(inside, np.ones((3, 3)))
        inside, line = inside[1:-1, 1:-1], line[1:-1, 1:-1]
        part = page[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        colour = colour_of(i)
        if not objects.crowd[i]:
            grey = part[inside] @ LUMA
            part[inside] = ((1 - TINT) * grey[:, None] + TINT * colour).round().astype(np.uint8)
        part[line] = colour if colour @ (0.299, 0.587, 0.114) > 90 else DARK
    if names and len(objects) <= MOST_NAMED:
        colours = [tuple(colour_of(i).tolist()) for i in range(len(objects))]
        page = write_names(page, objects, classes, colours, order, scale)
    return page


def colour_of(number: int) -> np.ndarray:
    """(3,) uint8, of the object of that number."""
    text = COLOURS[number % len(COLOURS)]
    return np.array([int(text[k : k + 2], 16) for k in (1, 3, 5)], dtype=np.uint8)


def _shown(start: int, length: int, scale: float, most: int) -> np.ndarray:
    """The pixels of a page, along one axis, whose middles lie in an image's pixels from `start` on."""
    middle = np.floor((np.arange(most) + 0.5) / scale)
    return np.flatnonzero((middle >= start) & (middle < start + length))
