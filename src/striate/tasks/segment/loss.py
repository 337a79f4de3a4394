"""The loss of semantic segmentation: cross-entropy of pixels, with the Dice loss beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from striate.answer import answer_of, in_single
from striate.tasks.segment.data import IGNORE
from striate.training.batch import Batch, Loss


@dataclass(frozen=True)
class PixelCrossEntropy:
    """Cross-entropy of logits (N, K, H, W) with masks (N, H, W), plus `dice` times the Dice loss; IGNORE left out.

    weights: of the classes in the cross-entropy, (K,), or None. The mean is over all pixels that count, and an image's Dice
    loss counts as much as its pixels do: so sums and weights of micro-batches add up to those of the batch, whatever their
    sizes and however many pixels are left out.
    """

    dice: float = 0.5
    weights: torch.Tensor | None = field(default=None, compare=False)
    smoothing: float = 0.0

    def __call__(self, output: Any, batch: Batch) -> Loss:
        logits, target = in_single(answer_of(output)), batch.targets
        valid = target != IGNORE
        index = torch.where(valid, target, 0)
        log_p = F.log_softmax(logits, 1)
        picked = log_p.gather(1, index[:, None])[:, 0]
        share = valid.to(log_p) if self.weights is None else self.weights.to(log_p)[index] * valid
        total = -(picked * share).sum()
        if self.smoothing:
            even = -(log_p.mean(1) * share).sum()
            total = (1 - self.smoothing) * total + self.smoothing * even
        counts = share.sum((1, 2))
        if self.dice:
            total = total + self.dice * (counts * dice_loss(log_p.exp(), target)).sum()
        correct = ((logits.detach().argmax(1) == target) & valid).sum((1, 2))
        correct = (correct / valid.sum((1, 2)).clamp(min=1)).sum()
        return Loss(total, counts.sum(), {"accuracy": correct})


def dice_loss(p: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(N,) 1 - mean over the classes an image shows of 2 |p t| / (|p| + |t|): probabilities (N, K, H, W), masks (N, H, W).

    0 for an image without a pixel that counts. Milletari, Navab, Ahmadi, "V-Net" (2016), here without squares.
    """
    n, classes = p.shape[:2]
    valid = target != IGNORE
    # One column more an image, which is thrown away.
    index = torch.where(valid, target, classes).flatten(1)
    index = (index + torch.arange(n, device=p.device)[:, None] * (classes + 1)).flatten()
    hits = p.gather(1, torch.where(valid, target, 0)[:, None])[:, 0] * valid
    overlap = p.new_zeros(n * (classes + 1)).index_add(0, index, hits.flatten())
    truth = torch.bincount(index, minlength=n * (classes + 1)).to(p.dtype)
    overlap, truth = (t.view(n, classes + 1)[:, :classes] for t in (overlap, truth))
    predicted = (p * valid[:, None]).sum((2, 3))
    coefficient = 2 * overlap / (predicted + truth).clamp(min=1e-9)
    present = truth > 0
    mean = (coefficient * present).sum(1) / present.sum(1).clamp(min=1)
    return torch.where(present.any(1), 1 - mean, 0.0)
