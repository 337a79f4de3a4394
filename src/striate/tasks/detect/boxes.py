"""Boxes: overlap of boxes in numpy and torch, and non-maximum suppression."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from striate.tasks.detect.ties import SCORE, steps

PAIRED = 256  # boxes that are compared with others at once


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


def overlapping(boxes: np.ndarray, above: float) -> list[tuple[int, int]]:
    """Pairs (i, j), i before j by their left edges, of boxes (n, 4) with an IoU of more than `above`."""
    order = np.argsort(boxes[:, 0], kind="stable")
    by_left = boxes[order]
    pairs: list[tuple[int, int]] = []
    for first in range(0, len(order), PAIRED):
        these = by_left[first : first + PAIRED]
        # What begins right of all of these overlaps none of them.
        last = int(np.searchsorted(by_left[:, 0], these[:, 2].max()))
        i, j = np.nonzero(overlap(these, by_left[first:last]) > above)
        after = j > i
        pairs += zip(
            order[first + i[after]].tolist(), order[first + j[after]].tolist(), strict=True
        )
    return pairs


def suppress(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, above: float, most: int | None = None
) -> np.ndarray:
    """Indices of the boxes (n, 4) that stay, best first: none overlaps a better one of its class by an IoU above `above`.

    Once per class, over the whole image, in float64. torchvision's `batched_nms` moves the classes apart by adding the
    largest coordinate to the boxes, in their own kind of number: of 20,000 pixels and ten classes float32 holds no more
    than a hundredth of a pixel, and other boxes stay. Of equal scores, see `steps`, the first box stays. most: that stay at
    most, all if None.
    """
    from torchvision.ops import nms  # takes a second to load

    corners = torch.from_numpy(np.asarray(boxes, dtype=np.float64))
    values = torch.from_numpy(steps(np.asarray(scores, dtype=np.float64), SCORE))
    kept = [np.zeros(0, np.int64)]
    for label in np.unique(labels):
        here = np.flatnonzero(labels == label)
        kept.append(here[nms(corners[here], values[here], above).numpy()])
    stay = np.sort(np.concatenate(kept))
    stay = stay[np.argsort(-values.numpy()[stay], kind="stable")[:most]]
    best: np.ndarray = stay[np.argsort(-scores[stay], kind="stable")]
    return best


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
