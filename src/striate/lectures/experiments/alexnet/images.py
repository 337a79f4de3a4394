"""Places of two photographs as classes, and random views of them (Dosovitskiy et al. 2014: exemplars)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_sample_image
from torch import Tensor

PHOTOGRAPHS = ("china.jpg", "flower.jpg")  # scikit-learn's, 427 x 640 pixels each
STEP = 44  # pixels from one place to the next
TILE = (
    129  # pixels of what is kept around a place, which is the middle one, so that its views fit in
)
VIEW = 67  # pixels of a view: 16 x 16 positions of 11 x 11 kernels in steps of 4


@dataclass(frozen=True, kw_only=True)
class Views:
    """How far a view may lie from the middle of its place: scale by a factor, turn in radians, shift in pixels, and the
    gain of each colour by a factor."""

    scale: float = 1.5
    turn: float = 0.35
    shift: float = 15.0
    gain: float = 1.3

    def __call__(self, tiles: Tensor, generator: torch.Generator) -> Tensor:
        """Random views (N, 3, 67, 67) of tiles (N, 3, 129, 129), each with mean 0 a colour and contrast 1."""
        n = len(tiles)

        def draw(*shape: int) -> Tensor:
            return 2 * torch.rand(n, *shape, generator=generator) - 1

        side = VIEW / TILE * torch.exp(math.log(self.scale) * draw())
        angle, flip = self.turn * draw(), torch.where(draw() > 0, 1.0, -1.0)
        across, down = (2 * self.shift / TILE * draw() for _ in range(2))
        cos, sin = side * torch.cos(angle), side * torch.sin(angle)
        rows = torch.stack(
            [torch.stack([cos * flip, -sin, across], 1), torch.stack([sin * flip, cos, down], 1)], 1
        )
        grid = F.affine_grid(rows, [n, 3, VIEW, VIEW], align_corners=False)
        seen = F.grid_sample(tiles, grid, padding_mode="reflection", align_corners=False)
        gains = torch.exp(math.log(self.gain) * draw(3, 1, 1))
        return standardised(seen * gains)


def standardised(views: Tensor) -> Tensor:
    """Views (N, 3, H, W) with mean 0 for each colour of an image, and a standard deviation of 1 over all its pixels;
    less in a sky, so that its noise stays small.
    """
    views = views - views.mean((2, 3), keepdim=True)
    return views / views.std((1, 2, 3), keepdim=True).clamp(min=0.02)


def places() -> Tensor:
    """The tiles around the places of both photographs, (208, 3, 129, 129) in [0, 1]."""
    tiles = []
    for name in PHOTOGRAPHS:
        pixels = torch.from_numpy(np.array(load_sample_image(name))).permute(2, 0, 1).float() / 255
        height, width = pixels.shape[1:]
        padded = F.pad(pixels[None], (TILE // 2,) * 4, mode="reflect")[0]
        margin = 48
        tiles += [
            padded[:, row : row + TILE, column : column + TILE]
            for row in range(margin, height - margin, STEP)
            for column in range(margin, width - margin, STEP)
        ]
    return torch.stack(tiles)


def middles(tiles: Tensor) -> Tensor:
    """The view of each tile without any change, standardised: (N, 3, 67, 67)."""
    first = (TILE - VIEW) // 2
    return standardised(tiles[:, :, first : first + VIEW, first : first + VIEW])
