"""Pixels: what a map says of the pixels of its cells, and of where the centre of their object lies."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from striate.models.centernet_masks import PIXELS, VOTERS, VOTES
from striate.tasks.detect.peaks import STRIDE

SQUARES = STRIDE // VOTERS  # squares that vote, along a cell's side


def spread(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (N, C, h, w) of cells as maps of pixels, C = PIXELS + VOTES, see `PixelHead`.

    Returns the logits (N, 4 h, 4 w) that a pixel belongs to an object, and (N, 2, 2 h, 2 w) how far its centre lies to the
    right of each square of 2 x 2 pixels, and below it.
    """
    logits = F.pixel_shuffle(maps[:, :PIXELS], STRIDE)[:, 0]
    return logits, F.pixel_shuffle(maps[:, PIXELS : PIXELS + VOTES], SQUARES)


class Window:
    """The pixels of some cells of one image's map, and where each votes.

    maps: (PIXELS + VOTES, h, w) float, in memory or on the disk; only these cells are read. top, left, bottom, right: of the
    pixels that are wanted; the window holds the whole cells around them, inside the image (height, width).
    top, left: of its first pixel. logits: (H, W) float32 that a pixel belongs to an object. x, y: (H, W) float64, the place
    in the image that it votes for, in pixels.
    """

    def __init__(
        self, maps: np.ndarray, box: tuple[float, float, float, float], size: tuple[int, int]
    ) -> None:
        left, top, right, bottom = box
        rows = slice(max(int(top // STRIDE), 0), min(int(-(-bottom // STRIDE)), maps.shape[-2]))
        columns = slice(max(int(left // STRIDE), 0), min(int(-(-right // STRIDE)), maps.shape[-1]))
        part = np.asarray(maps[:, rows, columns], dtype=np.float32)
        self.top, self.left = rows.start * STRIDE, columns.start * STRIDE
        height, width = size[0] - self.top, size[1] - self.left
        self.logits = _shuffled(part[:PIXELS], STRIDE)[0, :height, :width]
        votes = _shuffled(part[PIXELS:], SQUARES).astype(np.float64)
        across, down = (self.left, self.top)
        votes[0] += across + (np.arange(votes.shape[2]) + 0.5) * VOTERS
        votes[1] += down + (np.arange(votes.shape[1])[:, None] + 0.5) * VOTERS
        self.x, self.y = votes.repeat(VOTERS, 1).repeat(VOTERS, 2)[:, :height, :width]


def _shuffled(maps: np.ndarray, factor: int) -> np.ndarray:
    """Maps (C * factor ** 2, h, w) as (C, factor * h, factor * w): pixel shuffle."""
    _, h, w = maps.shape
    tall = maps.reshape(-1, factor, factor, h, w).transpose(0, 3, 1, 4, 2)
    return tall.reshape(-1, h * factor, w * factor)
