"""The loss of semantic segmentation: cross-entropy of pixels, with the Dice loss beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from striate.tasks.segment.data import IGNORE
from striate.training.answer import answer_of
from striate.training.batch import Batch, Loss


@dataclass(frozen=True)
class PixelCrossEntropy:
    """Cross-entropy of logits (N, K, H, W) with masks (N, H, W), plus `dice` times the Dice loss; IGNORE left out.

    weights: of the classes in the cross-entropy, (K,), or None. Dice loss: 1 minus the mean Dice coefficient of the
    probabilities over the classes that the batch holds; Milletari, Navab, Ahmadi, "V-Net" (2016), here without squares.
    """

    dice: float = 0.5
    weights: torch.Tensor | None = field(default=None, compare=False)
    smoothing: float = 0.0

    def __call__(self, output: Any, batch: Batch) -> Loss:
        logits, target = answer_of(output).float(), batch.targets
        weights = None if self.weights is None else self.weights.to(logits)
        valid = target != IGNORE
        log_p = F.log_softmax(logits, 1)
        picked = log_p.gather(1, torch.where(valid, target, 0)[:, None])[:, 0]
        share = (
            valid.to(log_p) if weights is None else weights[torch.where(valid, target, 0)] * valid
        )
        total = share.sum().clamp(min=1e-9)
        loss = -(picked * share).sum() / total
        if self.smoothing:
            even = -(log_p.mean(1) * share).sum() / total
            loss = (1 - self.smoothing) * loss + self.smoothing * even
        if self.dice:
            loss = loss + self.dice * dice_loss(log_p.exp(), target)
        right = ((logits.detach().argmax(1) == target) & valid).sum((1, 2))
        right = (right / valid.sum((1, 2)).clamp(min=1)).sum()
        return Loss(loss * len(batch), len(batch), {"accuracy": right})


def dice_loss(p: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - mean over the classes present of 2 |p t| / (|p| + |t|): probabilities (N, K, H, W), masks (N, H, W)."""
    classes = p.shape[1]
    valid = target != IGNORE
    index = torch.where(valid, target, classes)  # one column more, which is thrown away
    flat = p.transpose(0, 1).flatten(1) * valid.flatten()
    hits = p.gather(1, torch.where(valid, target, 0)[:, None])[:, 0] * valid
    overlap = p.new_zeros(classes + 1).index_add(0, index.flatten(), hits.flatten())[:classes]
    truth = torch.bincount(index.flatten(), minlength=classes + 1)[:classes].to(p.dtype)
    coefficient = 2 * overlap / (flat.sum(1) + truth).clamp(min=1e-9)
    present = truth > 0
    return 1 - (coefficient * present).sum() / present.sum().clamp(min=1)
