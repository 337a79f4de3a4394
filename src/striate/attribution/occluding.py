"""Occlusion as a map over the pixels: hide a patch, see how far the score falls (Zeiler and Fergus 2014; lecture 004)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.answer import Aim, Part
from striate.attribution.gradients import Baseline, as_baseline
from striate.attribution.images import as_images, output_of
from striate.attribution.targets import Target, scorer
from striate.borrow import borrowed
from striate.errors import GeometryError, UsageError
from striate.inference.apart import Together
from striate.inference.incremental import Incremental

SHARE = 7  # a patch is a seventh of the side
OF_REGION = 3  # a patch is a third of the region that a target speaks of
MOST_PATCHES = 16  # side by side in what the network sees of it
BATCH = 16  # images at a time where nothing can be saved


def occlusion_map(
    module: nn.Module,
    image: Tensor,
    target: Target,
    *,
    patch: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    baseline: Baseline = 0.0,
    cone: Part | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """For each pixel the mean fall of the target's score over the patches that hide it: (H, W).

    image (C, H, W) or (1, C, H, W). patch, stride: pixels; a seventh of the side (2 at least), and half of that, if not
    given. The last patch of a row and a column stands flush with the border, so that every pixel is hidden where the
    stride is no larger than the patch. baseline: what hides. cone: the part of the image outside which no pixel has any
    influence, where that is known; patches outside it change nothing and are not computed. Only what a patch can change
    is computed again (`striate.inference.incremental`); networks that cannot be traced run in full for each patch, to
    the same numbers.
    """
    x = as_images(module, image)
    if len(x) != 1:
        raise UsageError(f"occlusion takes one image at a time, got {len(x)}")
    size = (x.shape[2], x.shape[3])
    tops, lefts, sides = patches_of(size, patch, stride)
    corner = np.stack(np.meshgrid(tops, lefts, indexing="ij"), -1).reshape(-1, 2)
    boxes = np.stack([corner, corner + np.array(sides)], -1)
    with borrowed(module), torch.no_grad():
        clean = output_of(module, x)
        score = scorer(target, clean, 1)
        whole = float(score(clean)[0])
    reaches = _touches(boxes, cone)
    scores = patch_scores(module, x, boxes[reaches], baseline, score, progress)
    drops = np.zeros(len(boxes))
    drops[reaches] = (whole - scores.double()).numpy()  # NumPy has no bfloat16
    total, count = np.zeros(size), np.zeros(size)
    for (rows, columns), drop in zip(boxes.tolist(), drops, strict=True):
        total[rows[0] : rows[1], columns[0] : columns[1]] += drop
        count[rows[0] : rows[1], columns[0] : columns[1]] += 1
    return torch.from_numpy(total / np.maximum(count, 1)).to(x.dtype)


def _touches(boxes: np.ndarray, part: Part | None) -> np.ndarray:
    """(N,) bool, which of the boxes (N, 2, 2) reach into a part of the image."""
    if part is None:
        return np.ones(len(boxes), dtype=bool)
    low, high = np.array([(side.start, side.stop) for side in part]).T
    touches: np.ndarray = ((boxes[..., 1] > low) & (boxes[..., 0] < high)).all(1)
    return touches


def patch_scores(
    module: nn.Module,
    x: Tensor,
    boxes: np.ndarray,
    baseline: Baseline,
    score: Callable[[Any], Tensor],
    progress: Callable[[int, int], None] | None,
) -> Tensor:
    """The score of the network's output (N,) with each of `boxes` (N, 2, 2) of the image (1, C, H, W) hidden."""
    hiding = as_baseline(baseline, x).expand(x.shape)[0]
    with borrowed(module):
        try:
            return Incremental(module, x).scores(boxes, hiding, score, progress=progress)
        except GeometryError:
            return _plain(module, x, boxes, hiding, score, progress)


def patches_of(
    size: tuple[int, int],
    patch: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Where the patches of an image begin: rows, columns, and the patch's sides, in pixels. Raises UsageError."""
    sides = _pair(patch, patch_of(size))
    steps = _pair(stride, tuple(max(1, p // 2) for p in sides))
    if any(p > n for p, n in zip(sides, size, strict=True)):
        raise UsageError(f"a patch of {sides} pixels does not fit into an image of {size}")
    tops, lefts = (_starts(n, p, s) for n, p, s in zip(size, sides, steps, strict=True))
    return tops, lefts, sides


def patch_of(size: tuple[int, int]) -> tuple[int, int]:
    """The patch for an image: a seventh of its sides, but 2 pixels."""
    rows, columns = (max(min(2, n), round(n / SHARE)) for n in size)
    return rows, columns


def patch_for(target: Target, size: tuple[int, int]) -> tuple[int, int]:
    """The patch for a target in an image: a third of the part that it speaks of, or a seventh of the image's sides."""
    if not isinstance(target, Aim) or target.region is None:
        return patch_of(size)
    sides = [side.stop - side.start for side in target.region]
    seen = size if target.cone is None else tuple(s.stop - s.start for s in target.cone)
    side = max(2, round(min(sides) / OF_REGION), -(-max(seen) // MOST_PATCHES))
    return min(side, size[0]), min(side, size[1])


def _plain(
    module: nn.Module,
    x: Tensor,
    boxes: np.ndarray,
    hiding: Tensor,
    score: Callable[[Any], Tensor],
    progress: Callable[[int, int], None] | None,
) -> Tensor:
    """The score for each patch by running the whole network."""
    parts = []
    run = Together(lambda images: score(output_of(module, images)))
    with torch.no_grad():
        for a in range(0, len(boxes), BATCH):
            part = boxes[a : a + BATCH].tolist()
            changed = x.repeat(len(part), 1, 1, 1)
            for one, (rows, columns) in zip(changed, part, strict=True):
                at = (slice(None), slice(*rows), slice(*columns))
                one[at] = hiding[at]
            parts.append(run(changed).cpu())
            if progress is not None:
                progress(a + len(part), len(boxes))
    return torch.cat(parts)


def _starts(pixels: int, patch: int, stride: int) -> np.ndarray:
    regular = np.arange(0, pixels - patch + 1, stride)
    return np.unique(np.append(regular, pixels - patch))


def _pair(given: int | tuple[int, int] | None, default: tuple[int, ...]) -> tuple[int, int]:
    pair = default if given is None else (given, given) if isinstance(given, int) else tuple(given)
    if len(pair) != 2 or min(pair) < 1:
        raise UsageError(f"patch and stride are 1 pixel or more, or (rows, columns); got {given!r}")
    return int(pair[0]), int(pair[1])
