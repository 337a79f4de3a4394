"""Occlusion: which parts of an image a score depends on, by hiding them one after the other (Zeiler & Fergus 2014)."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.inference.incremental.content import Content
from striate.inference.incremental.incremental import Incremental, Progress
from striate.inference.incremental.target import Target
from striate.ranges import RANGES, shown

Size = int | tuple[int, int]


def occlusion(
    module: nn.Module, image: Tensor, target: Target, *, patch: Size = 16, stride: Size = 8,
    baseline: Content = 0.0, batch: int | None = None, memory: int | None = None,
    dtype: torch.dtype | None = None, progress: Progress | None = None, return_scores: bool = False,
    check: bool = True,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    """The drop of the target's score when a patch of the image is hidden, at every position where the patch fits.

    image (C, H, W) or (1, C, H, W) -> (rows, columns); entry (r, c) belongs to the patch with its top-left corner at
    pixel (r * stride, c * stride); rows = (H - patch) // stride + 1. The numbers are those of running `module` on
    every changed image (to rounding), but only what a patch can change is computed (lecture 004, figure 13).

    target: a class, (class, row, column) of a segmenter, or a function of the network's output, see `Target`.
    patch, stride: pixels, one number or (rows, columns). baseline: what hides: a number, one a channel, or an image
    (C, H, W), such as the blurred one.
    batch, memory: positions, or bytes, at a time. dtype: torch.bfloat16 for about twice the speed at three digits.
    progress: called with (positions done, positions). return_scores: return (drops, scores) instead.
    check: run the first position, the last, one drawn and the one with the largest drop by the plain module as well.

    Raises UsageError for what `Incremental` refuses, a target out of range, a stride below 1, or a patch that is larger
    than the image; ExactnessError, and gives nothing, if a position is not what the plain module gives there.
    """
    session = Incremental(module, image, dtype=dtype, check=check)
    rows, columns, boxes = positions(session.image, patch, stride)
    scores = session.scores(
        boxes, baseline, target, batch=batch, memory=memory, progress=progress
    ).reshape(rows, columns)
    drops = session.score(target) - scores
    return (drops, scores) if return_scores else drops


def positions(image: Tensor, patch: Size, stride: Size) -> tuple[int, int, np.ndarray]:
    """Rows, columns and boxes (rows * columns, 2, 2) of the patches that fit into the image (1, C, H, W)."""
    if image.dim() != 4:
        raise UsageError(
            f"occlusion slides a patch over an image of two axes, got {tuple(image.shape[2:])}; use perturb for others"
        )
    sizes, strides = _pair(patch, "patch"), _pair(stride, "stride")
    starts = []
    for size, step, n in zip(sizes, strides, image.shape[2:], strict=True):
        if size > n:
            raise UsageError(
                f"a patch of {sizes[0]}x{sizes[1]} pixels does not fit into an image of "
                f"{image.shape[2]}x{image.shape[3]}; make it smaller"
            )
        starts.append(np.arange(0, n - size + 1, step))
    rows, columns = len(starts[0]), len(starts[1])
    corner = np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, 2)
    return rows, columns, np.stack([corner, corner + np.array(sizes)], -1)


def _pair(size: Any, name: str) -> tuple[int, int]:
    pair: Any = (size, size) if isinstance(size, numbers.Real) else size
    good = isinstance(pair, Sequence | np.ndarray) and len(pair) == 2
    if not good or not all(n in RANGES[name] for n in pair):
        raise UsageError(
            f"{name} is a number of pixels, {RANGES[name]}, or (rows, columns); got {shown(size)}"
        )
    return int(pair[0]), int(pair[1])
