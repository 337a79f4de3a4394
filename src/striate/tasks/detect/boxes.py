"""Boxes: overlap of boxes in numpy and torch, and keeping the best of those that overlap."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4) and (m, 4), left, top, right, bottom: (n, m) float64; 0 for empty unions."""
    inside = intersection(a, b)
    areas_a, areas_b = ((x[:, 2:] - x[:, :2]).clip(0).prod(1) for x in (a, b))
    union = areas_a[:, None] + areas_b[None] - inside
    return np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Shared area of boxes (n, 4) and (m, 4): (n, m) in square pixels."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    area: np.ndarray = (high - low).clip(0).prod(2)
    return area


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """GIoU of pairs of boxes (n, 4) with sides above 0: (n,) in (-1, 1].

    IoU minus the share of the smallest box around both that neither fills, so that boxes apart are told how far.
    Source: Rezatofighi et al., "Generalized intersection over union" (2019), equation 1.
    """
    inside = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    both = inside.prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - both
    around = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    return both / union - (around - union) / around
