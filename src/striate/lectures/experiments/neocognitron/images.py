"""Digits on a canvas, and a generated set of them: moved, turned, scaled and bent."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.similarity.distortions import deform, smooth

TURN = 10.0  # degrees at most
SCALE = 0.12  # larger or smaller at most
BEND = 0.6  # pixels, root mean square, of a smooth displacement
GRID = 4  # random vectors a side that the displacement goes through


def canvas(images: np.ndarray, side: int, digit: int) -> Tensor:
    """Digits (N, 8, 8, 1) uint8 enlarged to `digit` pixels in the middle of black: (N, 1, side, side) in [0, 1]."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    x = F.interpolate(x, size=(digit, digit), mode="bilinear", align_corners=False)
    before = (side - digit) // 2
    after = side - digit - before
    return F.pad(x, (before, after, before, after))


def moved(images: Tensor, rows: int, columns: int) -> Tensor:
    """Images (N, C, H, W) moved down and right by whole pixels; black comes in."""
    return F.pad(images, (columns, -columns, rows, -rows))


def generated(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Each image (N, C, H, W) moved by up to `most` pixels both ways, turned, scaled and bent, each by its own draw."""
    n, _, height, width = images.shape

    def draw(reach: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * reach

    angle, factor = draw(math.radians(TURN)), 1 + draw(SCALE)
    right, down = (torch.randint(-most, most + 1, (n,), generator=generator) for _ in range(2))
    rows = torch.arange(height).float() - (height - 1) / 2
    columns = torch.arange(width).float() - (width - 1) / 2
    y = (rows[None, :, None] - down[:, None, None]).expand(n, height, width)
    x = (columns[None, None] - right[:, None, None]).expand(n, height, width)
    cos = (torch.cos(angle) / factor)[:, None, None]
    sin = (torch.sin(angle) / factor)[:, None, None]
    bend = smooth(n, (height, width), (GRID, GRID), generator) * BEND / math.sqrt(2)
    turned = torch.stack((cos * x + sin * y - columns, cos * y - sin * x - rows[:, None]), -1)
    return deform(images, turned + bend, outside="zeros")
