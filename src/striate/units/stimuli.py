"""Stimuli: gratings and bars on grey, as Hubel and Wiesel and those after them showed.

Orientation is that of the stripes or of the bar, in degrees anticlockwise from horizontal: 0 is horizontal, 90 vertical.
Pixels lie in [0, 1], the ground is 0.5. Rows and columns count from the centre of the field, rows downwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

GROUND = 0.5


def across(rows: Tensor, cols: Tensor, orientation: Tensor) -> Tensor:
    """Distance (N, h, w) in pixels from the line through the centre, for orientations (N,) in degrees."""
    angle = torch.deg2rad(orientation).view(-1, 1, 1)
    return rows * torch.cos(angle) + cols * torch.sin(angle)


def along(rows: Tensor, cols: Tensor, orientation: Tensor) -> Tensor:
    """Place (N, h, w) in pixels along the line through the centre."""
    angle = torch.deg2rad(orientation).view(-1, 1, 1)
    return cols * torch.cos(angle) - rows * torch.sin(angle)


def gratings(
    rows: Tensor,
    cols: Tensor,
    orientation: Tensor,
    frequency: Tensor,
    phase: Tensor,
    *,
    diameter: Tensor | None = None,
) -> Tensor:
    """Sinusoidal gratings (N, h, w) of full contrast: orientation in degrees, frequency in cycles a pixel, phase in degrees.

    diameter: of a round window in pixels, beyond which it is grey; everywhere if not given.
    """
    turns = frequency.view(-1, 1, 1) * across(rows, cols, orientation)
    wave = torch.cos(2 * math.pi * turns + torch.deg2rad(phase).view(-1, 1, 1))
    if diameter is not None:
        wave = wave * (rows**2 + cols**2 <= (diameter.view(-1, 1, 1) / 2) ** 2)
    return GROUND + GROUND * wave


def bars(
    rows: Tensor,
    cols: Tensor,
    orientation: Tensor,
    offset: Tensor,
    width: float,
    *,
    bright: bool = True,
    length: float | None = None,
) -> Tensor:
    """Bars (N, h, w) `width` pixels wide on grey, `offset` pixels across the orientation from the centre.

    The edges are antialiased over one pixel. length: in pixels; from border to border if not given.
    """
    distance = (across(rows, cols, orientation) - offset.view(-1, 1, 1)).abs()
    inside = (width / 2 + 0.5 - distance).clamp(0, min(width, 1.0))
    if length is not None:
        ends = along(rows, cols, orientation).abs()
        inside = inside * (length / 2 + 0.5 - ends).clamp(0, 1)
    return GROUND + (GROUND if bright else -GROUND) * inside


def every(*axes: Sequence[float] | Tensor) -> list[Tensor]:
    """Each combination of the axes' values, flattened, the last axis running fastest."""
    grids = torch.meshgrid(*[torch.as_tensor(a, dtype=torch.float32) for a in axes], indexing="ij")
    return [g.flatten() for g in grids]
