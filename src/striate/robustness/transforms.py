"""Transforms of images in pixel space: shift, rotation, scale, flip; what leaves the frame is replaced by the border."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def shifted(images: Tensor, rows: int, columns: int) -> Tensor:
    """Images (N, C, H, W) moved down by `rows` and right by `columns` pixels; border pixels are repeated."""
    h, w = images.shape[-2:]
    r = (torch.arange(h) - rows).clamp(0, h - 1)
    c = (torch.arange(w) - columns).clamp(0, w - 1)
    return images[..., r, :][..., c]


def rotated(images: Tensor, degrees: float) -> Tensor:
    """Images (N, C, H, W) turned anticlockwise about their centre, bilinear; border pixels are repeated."""
    a = math.radians(degrees)
    return _warped(images, [[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])


def scaled(images: Tensor, factor: float) -> Tensor:
    """Images (N, C, H, W) enlarged by `factor` about their centre, bilinear; border pixels are repeated."""
    return _warped(images, [[1 / factor, 0.0], [0.0, 1 / factor]])


def _warped(images: Tensor, matrix: list[list[float]]) -> Tensor:
    """`matrix` takes (x, y) of the result, in pixels from the centre, to (x, y) of the image."""
    h, w = images.shape[-2:]
    (a, b), (c, d) = matrix
    theta = torch.tensor([[a, b * h / w, 0.0], [c * w / h, d, 0.0]])
    grid = F.affine_grid(theta.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return moved.clamp(0, 1)
