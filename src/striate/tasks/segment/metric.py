"""Mean intersection over union, from confusion counts of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.answer import answer_of
from striate.tasks.segment.data import IGNORE


@dataclass(frozen=True)
class MeanIoU:
    """See striate.tasks.metric.Metric; evidence (N, K, K): pixels by true class (row) and predicted class (column)."""

    classes: int
    name: str = "mean IoU"
    hit: bool = False

    def evidence(self, output: Any, target: Tensor) -> np.ndarray:
        """From logits (N, K, H, W) and masks (N, H, W); pixels of IGNORE are left out."""
        k, maps, masks = (
            self.classes,
            answer_of(output).argmax(1).cpu(),
            torch.as_tensor(target).cpu().long(),
        )
        place = torch.where(masks == IGNORE, k * k, masks * k + maps).flatten(1)
        place = place + torch.arange(len(maps))[:, None] * (k * k + 1)
        counts = place.flatten().bincount(minlength=len(maps) * (k * k + 1))
        return counts.view(len(maps), -1)[:, : k * k].reshape(-1, k, k).numpy()

    def score(
        self, evidence: np.ndarray, weights: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """{"iou", "accuracy"}: over the classes that the truth of all images shows, and the share of pixels."""
        if weights is None:
            weights = np.ones(len(evidence))
        counts = np.tensordot(weights, evidence, 1)
        hit = np.diagonal(counts, axis1=-2, axis2=-1)
        truth = counts.sum(-1)
        union = truth + counts.sum(-2) - hit
        present = truth > 0
        share = np.divide(hit, union, out=np.zeros(hit.shape), where=union > 0)
        mean = np.where(present, share, 0).sum(-1) / np.maximum(present.sum(-1), 1)
        return {"iou": mean, "accuracy": hit.sum(-1) / np.maximum(counts.sum((-2, -1)), 1)}
