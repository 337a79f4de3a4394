"""Image formation: from light on a grid to numbers (lecture 000, "Digital Image Formation")."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.errors import UsageError
from striate.ops.windows import Windows


def sample(scene: Tensor, step: int, *, average: bool = True) -> Tensor:
    """Lay a grid of `step` x `step` cells over a scene (H, W) and take one value a cell: (H //
    step, W // step).

    `average` takes the mean over the cell, as a sensor collects light; otherwise the cell's first
    point, which lets fine patterns come out as coarse ones (aliasing). Raises UsageError if no cell
    fits.
    """
    if step < 1 or min(scene.shape) < step:
        raise UsageError(
            f"sample: a grid cell must be 1 to {min(scene.shape)} pixels wide, got {step}"
        )
    cells = Windows(tuple(scene.shape), (step, step), (step, step), (1, 1))
    values = [scene[cell].sum() / step**2 if average else scene[cell][0, 0] for cell in cells]
    return torch.stack(values).reshape(cells.shape)


def quantise(samples: Tensor, levels: int = 256) -> Tensor:
    """Round values from 0 to 1 to `levels` whole numbers 0 ... levels - 1: uint8, for levels up to 256.

    samples of any shape -> the same shape. Values outside [0, 1] are cut off. Raises UsageError for fewer than 2 or
    more than 256 levels.
    """
    if not 2 <= levels <= 256:
        raise UsageError(f"quantise: a byte holds 2 to 256 levels, got {levels}")
    return (samples.clamp(0, 1) * (levels - 1)).round().to(torch.uint8)


def grey_values(pixels: Tensor, levels: int = 256) -> Tensor:
    """What quantised pixels stand for, 0 to 1: the inverse of `quantise` up to half a level.

    pixels of any shape, whole numbers -> the same shape, float64.
    """
    return pixels.double() / (levels - 1)


def histogram(pixels: Tensor, levels: int = 256) -> Tensor:
    """How many pixels have each grey value: (levels,).

    pixels of any shape, whole numbers below `levels` -> (levels,) counts.
    """
    counts = torch.zeros(levels, dtype=torch.long)
    for value in pixels.flatten().tolist():
        counts[value] += 1
    return counts


# The grey values that lecture 000 shows on "Grayscale Pixel Values", as its first table prints them.
PRINTED_PIXELS = (
    (157, 153, 174, 168, 150, 152, 129, 151, 172, 161, 155, 156),
    (155, 182, 163, 74, 75, 62, 83, 17, 110, 210, 180, 154),
    (180, 180, 50, 14, 84, 6, 10, 33, 48, 105, 159, 181),
    (206, 109, 5, 124, 131, 111, 120, 204, 166, 15, 56, 180),
    (194, 68, 137, 251, 297, 299, 299, 228, 227, 87, 71, 201),
    (172, 105, 207, 233, 233, 214, 220, 239, 228, 98, 74, 206),
    (188, 88, 179, 209, 185, 215, 211, 158, 159, 75, 20, 169),
    (189, 97, 165, 84, 10, 168, 134, 11, 31, 62, 22, 148),
    (199, 168, 191, 193, 158, 227, 178, 143, 182, 105, 36, 190),
    (205, 174, 155, 252, 236, 231, 149, 178, 228, 43, 95, 234),
    (190, 216, 116, 149, 236, 187, 85, 150, 79, 38, 218, 241),
    (190, 224, 147, 108, 227, 210, 127, 102, 36, 101, 255, 224),
    (190, 214, 173, 66, 103, 143, 95, 59, 2, 109, 249, 215),
    (187, 196, 235, 75, 1, 81, 47, 0, 6, 217, 255, 211),
    (183, 202, 237, 145, 0, 0, 12, 108, 200, 138, 243, 236),
    (195, 206, 123, 207, 177, 121, 123, 200, 175, 13, 96, 218),
)
# (row, column) -> the value of the widely published table, a portrait of Lincoln in 16 x 12 pixels
# (G. Levin, "Image processing and computer vision", openFrameworks ofBook), wherever the lecture's
# text has another. Three of them, 297 299 299, cannot be right in themselves: a byte ends at 255.
# The lecture's second copy of the table also lost a number of its second row (eleven are left) and
# begins it with 150.
MISREAD_PIXELS = {
    (1, 6): 33,
    (2, 4): 34,
    (2, 9): 106,
    (4, 4): 237,
    (4, 5): 239,
    (4, 6): 239,
    (6, 8): 139,
    (8, 9): 106,
    (10, 6): 86,
    (12, 6): 96,
    (12, 7): 50,
}


def lecture_pixels() -> Tensor:
    """The table of lecture 000 with its misread values put right: (16, 12), uint8."""
    rows = [list(row) for row in PRINTED_PIXELS]
    for (i, j), value in MISREAD_PIXELS.items():
        rows[i][j] = value
    return torch.tensor(rows, dtype=torch.uint8)
