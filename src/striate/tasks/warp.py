"""Warp: a change of an image's geometry within its frame, which targets of some tasks follow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Warp:
    """How what an image shows is mirrored, enlarged, turned and shifted within its frame, in that order.

    rows, columns: pixels down and to the right. scale: about the centre. degrees: anticlockwise about the centre. flip: the
    axes that are mirrored, of -2 (top to bottom) and -1 (left to right). size: (height, width) of the images that are
    warped, for targets that do not show it themselves, such as boxes.
    """

    rows: int = 0
    columns: int = 0
    scale: float = 1.0
    degrees: float = 0.0
    flip: tuple[int, ...] = ()
    size: tuple[int, int] = (0, 0)

    def images(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1], bilinear; what comes in from outside repeats the border."""
        images = images.flip(self.flip) if self.flip else images
        for theta in self._steps(images):
            images = _sampled(images, theta, "bilinear", "border").clamp(0, 1)
        h, w = images.shape[-2:]
        r = (torch.arange(h) - self.rows).clamp(0, h - 1)
        c = (torch.arange(w) - self.columns).clamp(0, w - 1)
        return images[..., r, :][..., c] if self.rows or self.columns else images

    def maps(self, maps: Tensor, outside: int) -> Tensor:
        """Maps (N, H, W) of integers, such as masks, by the nearest pixel; `outside` where nothing was."""
        maps = maps.flip(self.flip) if self.flip else maps
        for theta in self._steps(maps[:, None]):
            shown = maps[:, None].float() - outside  # so that the zeros outside become `outside`
            moved = _sampled(shown, theta, "nearest", "zeros")[:, 0]
            maps = (moved + outside).round().to(maps.dtype)
        if not (self.rows or self.columns):
            return maps
        moved = torch.full_like(maps, outside)
        h, w = maps.shape[-2:]
        r, c = self.rows, self.columns
        if abs(r) < h and abs(c) < w:
            moved[:, max(0, r) : h + min(0, r), max(0, c) : w + min(0, c)] = maps[
                :, max(0, -r) : h + min(0, -r), max(0, -c) : w + min(0, -c)
            ]
        return moved

    def _steps(self, images: Tensor) -> list[list[list[float]]]:
        """Affine maps in the coordinates of `affine_grid`, from a place of the result to its place in the image."""
        h, w = images.shape[-2:]
        matrices = []
        if self.scale != 1:
            matrices.append([[1 / self.scale, 0.0, 0.0], [0.0, 1 / self.scale, 0.0]])
        if self.degrees:
            cos, sin = (f(math.radians(self.degrees)) for f in (math.cos, math.sin))
            matrices.append([[cos, -sin * h / w, 0.0], [sin * w / h, cos, 0.0]])
        return matrices


def _sampled(images: Tensor, theta: list[list[float]], mode: str, padding: str) -> Tensor:
    matrix = torch.tensor(theta).expand(len(images), 2, 3)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode=mode, padding_mode=padding, align_corners=False)
