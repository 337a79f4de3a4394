"""D-RISE: what becomes of a detection in randomly masked images (Petsiuk et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.attribution.gradients import Baseline, as_baseline
from striate.attribution.images import as_images, output_of
from striate.borrow import borrowed
from striate.errors import UsageError

GRID = 16  # cells of a mask along each axis
KEEP = 0.5  # share of the cells that stay visible
BATCH = 16  # images at a time


def drise(
    module: nn.Module,
    image: Tensor,
    detected: Callable[[Any], Tensor],
    *,
    masks: int = 1000,
    grid: int = GRID,
    keep: float = KEEP,
    seed: int = 0,
    baseline: Baseline = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """How much each pixel's being visible goes with the detection's being there: (H, W), negative where it goes against it.

    image (C, H, W) or (1, C, H, W). detected: the network's output of N images -> (N,) in [0, 1], how much of the detection
    is left; in the paper the best product over all detections of overlap with it, likeness of classes and score. masks:
    of `grid` x `grid` cells, each visible with probability `keep`, enlarged bilinearly and shifted at random; what they hide
    becomes `baseline`. The map is the mean of the masks weighted by what is left, over `keep`, less its expectation for
    weights that have nothing to do with the masks, which is the same everywhere but for chance.
    Source: Petsiuk et al., "Black-box explanation of object detectors via saliency maps" (2021), section 3; masks as in
    Petsiuk, Das, Saenko, "RISE" (2018), section 3.3.
    """
    x = as_images(module, image)
    if len(x) != 1:
        raise UsageError(f"D-RISE takes one image at a time, got {len(x)}")
    if masks < 2 or grid < 1 or not 0 < keep < 1:
        raise UsageError(
            f"D-RISE needs 2 masks, a grid of 1 and a share between 0 and 1 at least, got {masks}, {grid}, {keep}"
        )
    size = (x.shape[2], x.shape[3])
    hiding = as_baseline(baseline, x).expand(x.shape)
    total, mean, left, done = torch.zeros(size), torch.zeros(size), 0.0, 0
    with borrowed(module), torch.no_grad():
        for part in masks_of(size, masks, grid=grid, keep=keep, seed=seed):
            visible = part[:, None].to(x)
            output = output_of(module, x * visible + hiding * (1 - visible))
            weights = detected(output).float().cpu()
            total += (weights[:, None, None] * part).sum(0)
            mean += part.sum(0)
            left += float(weights.sum())
            done += len(part)
            if progress is not None:
                progress(done, masks)
    return (total / masks - left / masks * mean / masks) / keep


def masks_of(
    size: tuple[int, int], count: int, *, grid: int, keep: float, seed: int
) -> Iterator[Tensor]:
    """Random masks (n, H, W) in [0, 1], up to BATCH at a time."""
    generator = torch.Generator().manual_seed(seed)
    cells = [math.ceil(n / grid) for n in size]
    for start in range(0, count, BATCH):
        n = min(BATCH, count - start)
        coarse = (torch.rand(n, 1, grid + 1, grid + 1, generator=generator) < keep).float()
        whole = [(grid + 1) * c for c in cells]
        fine = F.interpolate(coarse, size=whole, mode="bilinear", align_corners=False)[:, 0]
        tops, lefts = (torch.randint(0, c, (n,), generator=generator).tolist() for c in cells)
        yield torch.stack(
            [
                one[top : top + size[0], left : left + size[1]]
                for one, top, left in zip(fine, tops, lefts, strict=True)
            ]
        )
