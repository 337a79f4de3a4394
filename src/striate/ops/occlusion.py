"""Occlusion: which parts of an image an output depends on, by hiding them one after the other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from striate.errors import UsageError


def occlusion_map(
    score: Callable[[Tensor], float],
    image: Tensor,
    *,
    patch: int,
    stride: int = 1,
    baseline: float = 0.0,
) -> Tensor:
    """The drop of `score` when a square of `patch` pixels at (row * stride, column * stride)
    becomes `baseline`.

    image (C, H, W) -> (rows, columns), every position where the square fits (lecture 004, section 6,
    figure 13; there the picture shows the probability that is left, here what is lost). Raises
    UsageError if it fits nowhere.
    """
    _, H, W = image.shape
    rows, columns = range(0, H - patch + 1, stride), range(0, W - patch + 1, stride)
    if not rows or not columns:
        raise UsageError(f"a patch of {patch} pixels does not fit into {H} x {W}; make it smaller")
    whole = float(score(image))
    drops = torch.zeros(len(rows), len(columns), dtype=torch.float64)
    for r, i in enumerate(rows):
        for c, j in enumerate(columns):
            hidden = image.clone()
            hidden[:, i : i + patch, j : j + patch] = baseline
            drops[r, c] = whole - float(score(hidden))
    return drops
