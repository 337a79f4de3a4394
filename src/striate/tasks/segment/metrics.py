"""Scores of masks: intersection over union, Dice, accuracy and boundary F1, all from counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt

IGNORE = 255  # the label of pixels that do not count, as in `striate.tasks.segment.data`
TOLERANCE = 0.0075  # of the image's diagonal: how far off a boundary may lie; Perazzi et al. (2016) take 0.008


def confusion_matrix(predicted: torch.Tensor, truth: torch.Tensor, classes: int) -> np.ndarray:
    """Pixels by true class (row) and predicted class (column), (K, K) int64; pixels of truth IGNORE are left out."""
    # Here, since torchmetrics takes a second to import, which a prediction need not wait for.
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    valid = truth != IGNORE
    counts = multiclass_confusion_matrix(
        predicted[valid].long(), truth[valid].long(), num_classes=classes, validate_args=False
    )
    return counts.numpy().astype(np.int64)


def iou(counts: np.ndarray) -> np.ndarray:
    """Intersection over union (..., K) of confusion matrices (..., K, K); NaN for a class neither present nor predicted."""
    hit = np.diagonal(counts, axis1=-2, axis2=-1)
    union = counts.sum(-1) + counts.sum(-2) - hit
    return np.divide(hit, union, out=np.full(hit.shape, np.nan), where=union > 0)


def dice(counts: np.ndarray) -> np.ndarray:
    """Dice coefficient (F1) (..., K) of confusion matrices; NaN for a class neither present nor predicted."""
    hit = np.diagonal(counts, axis1=-2, axis2=-1)
    both = counts.sum(-1) + counts.sum(-2)
    return np.divide(2 * hit, both, out=np.full(hit.shape, np.nan), where=both > 0)


def mean_iou(counts: np.ndarray) -> float:
    """Mean IoU of one confusion matrix (K, K), rows true, over the classes that are present in the truth."""
    present = counts.sum(1) > 0
    return float(np.nanmean(iou(counts)[present])) if present.any() else float("nan")


def edge(mask: np.ndarray) -> np.ndarray:
    """The inner boundary (H, W) of a mask (H, W) bool: its pixels with a neighbour outside; the image's border is none."""
    return mask & ~binary_erosion(mask, border_value=1)


def boundary_hits(
    predicted: np.ndarray, truth: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each class (K, 2): boundary pixels that lie near the other's boundary, and all of them; predicted, then true.

    Near: within 0.75 % of the image's diagonal, at least one pixel. Boundaries next to ignored pixels do not count.
    Source: Csurka et al., "What is a good evaluation measure for semantic segmentation?" (2013); Perazzi et al. (2016).
    """
    reach = max(1.0, TOLERANCE * float(np.hypot(*truth.shape)))
    counted = ~binary_dilation(truth == IGNORE) if (truth == IGNORE).any() else np.True_
    near, total = np.zeros((classes, 2), dtype=np.int64), np.zeros((classes, 2), dtype=np.int64)
    for c in np.union1d(np.unique(predicted), np.unique(truth)).tolist():
        if c >= classes:
            continue
        sides = [edge(predicted == c) & counted, edge(truth == c) & counted]
        for i in (0, 1):
            total[c, i] = sides[i].sum()
            if total[c, i] and sides[1 - i].any():
                near[c, i] = (distance_transform_edt(~sides[1 - i])[sides[i]] <= reach).sum()
    return near, total


def boundary_f1(near: np.ndarray, total: np.ndarray) -> np.ndarray:
    """F1 (..., K) of boundary counts (..., K, 2); NaN for a class without boundary on either side."""
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(total[..., 0] > 0, near[..., 0] / total[..., 0], 0.0)
        recall = np.where(total[..., 1] > 0, near[..., 1] / total[..., 1], 0.0)
        f1 = np.where(precision + recall > 0, 2 * precision * recall / (precision + recall), 0.0)
    return np.where(total.sum(-1) > 0, f1, np.nan)


@dataclass(frozen=True, kw_only=True)
class MaskScores:
    """What was counted on N images of K classes: confusion matrices (N, K, K), boundaries near and all (N, K, 2)."""

    counts: np.ndarray
    near: np.ndarray
    total: np.ndarray
    classes: tuple[str, ...]
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.counts)
