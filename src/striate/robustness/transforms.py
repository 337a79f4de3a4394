"""Transforms of images in pixel space: shift, rotation, scale; what leaves the frame is replaced by the border."""

from __future__ import annotations

from torch import Tensor

from striate.tasks.warp import Warp


def shifted(images: Tensor, rows: int, columns: int) -> Tensor:
    """Images (N, C, H, W) moved down by `rows` and right by `columns` pixels; border pixels are repeated."""
    return Warp(rows=rows, columns=columns).images(images)


def rotated(images: Tensor, degrees: float) -> Tensor:
    """Images (N, C, H, W) turned anticlockwise about their centre, bilinear; border pixels are repeated."""
    return Warp(degrees=degrees).images(images)


def scaled(images: Tensor, factor: float) -> Tensor:
    """Images (N, C, H, W) enlarged by `factor` about their centre, bilinear; border pixels are repeated."""
    return Warp(scale=factor).images(images)
