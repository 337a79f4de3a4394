"""What a training makes small: cross-entropy of classes, or of pixels with the Dice loss beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
import torch.nn.functional as F

IGNORE = 255  # the label of pixels that do not count, as in `striate.data.masks`


class Objective(Protocol):
    """(logits, target) -> (mean loss, how many of the images were right; a share of its pixels counts as that share)."""

    def __call__(
        self, logits: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]: ...


@dataclass(frozen=True)
class Classes:
    """Cross-entropy of logits (N, K) with labels (N,) or shares (N, K)."""

    smoothing: float = 0.0

    def __call__(
        self, logits: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        loss = F.cross_entropy(logits, target, label_smoothing=self.smoothing)
        truth = target if target.ndim == 1 else target.argmax(1)
        return loss, (logits.detach().argmax(1) == truth).sum()


@dataclass(frozen=True)
class Pixels:
    """Cross-entropy of logits (N, K, H, W) with masks (N, H, W), plus `dice` times the Dice loss; IGNORE left out.

    weights: of the classes in the cross-entropy, (K,), or None. Dice loss: 1 minus the mean Dice coefficient of the
    probabilities over the classes that the batch holds; Milletari, Navab, Ahmadi, "V-Net" (2016), here without squares.
    """

    dice: float = 0.5
    weights: torch.Tensor | None = field(default=None, compare=False)
    smoothing: float = 0.0

    def __call__(
        self, logits: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        weights = None if self.weights is None else self.weights.to(logits.device)
        valid = target != IGNORE
        log_p = F.log_softmax(logits, 1)
        picked = log_p.gather(1, torch.where(valid, target, 0)[:, None])[:, 0]
        share = valid.float() if weights is None else weights[torch.where(valid, target, 0)] * valid
        total = share.sum().clamp(min=1e-9)
        loss = -(picked * share).sum() / total
        if self.smoothing:
            even = -(log_p.mean(1) * share).sum() / total
            loss = (1 - self.smoothing) * loss + self.smoothing * even
        if self.dice:
            loss = loss + self.dice * dice_loss(log_p.exp(), target)
        right = ((logits.detach().argmax(1) == target) & valid).sum((1, 2))
        return loss, (right / valid.sum((1, 2)).clamp(min=1)).sum()


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
