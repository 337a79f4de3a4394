"""One colour a class, distinct under every common colour blindness as far as that goes."""

from __future__ import annotations

from functools import cache

import numpy as np

# Okabe and Ito (2008) without black, then Paul Tol's muted scheme (2021); both are colour-blind safe.
COLOURS = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
    "#882255", "#44AA99", "#999933", "#332288", "#DDCC77", "#117733", "#AA4499", "#88CCEE", "#CC6677",
)  # fmt: skip
NOTHING = (32, 36, 42)  # a class called background
IGNORED = (255, 255, 255)
TINT = 0.75  # of a colour over an image
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # BT.601


@cache
def palette(classes: tuple[str, ...]) -> np.ndarray:
    """(256, 3) uint8: the colour of each class; near black for a background, white for pixels without class."""
    table = np.full((256, 3), IGNORED, dtype=np.uint8)
    number = 0
    for i, name in enumerate(classes[:255]):
        if name.casefold() in {"background", "unlabelled", "void"}:
            table[i] = NOTHING
            continue
        text = COLOURS[number % len(COLOURS)]
        colour = np.array([int(text[k : k + 2], 16) for k in (1, 3, 5)], dtype=float)
        # Beyond the list the colours come again, lighter.
        table[i] = colour + (255 - colour) * 0.4 * (number // len(COLOURS) % 2)
        number += 1
    return table


def overlay(image: np.ndarray, mask: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """The mask's colours over an image (H, W, 1 or 3) uint8, outlined: (H, W, 3) uint8.

    What is tinted is grey beneath, and flat enough that a class looks the same on any image: three parts of its colour, one
    part of the image's lightness. What has no class or is background stays as it is.
    """
    table = palette(classes).astype(np.float32)
    out = (np.repeat(image, 3, -1) if image.shape[-1] == 1 else image).astype(np.float32)
    shown = (table[mask] != NOTHING).any(-1) & (mask != 255)
    grey = (out[shown] @ LUMA)[:, None]
    out[shown] = (1 - TINT) * grey + TINT * table[mask[shown]]
    border = np.zeros(mask.shape, dtype=bool)
    border[1:] |= mask[1:] != mask[:-1]
    border[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    out[border & shown] = table[mask[border & shown]]
    return out.round().astype(np.uint8)
