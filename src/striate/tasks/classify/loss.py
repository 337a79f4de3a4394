"""The loss of classification: cross-entropy, with label smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F

from striate.answer import answer_of, in_single
from striate.training.batch import Batch, Loss


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of logits (N, K) with labels (N,) int64 or shares (N, K).

    smoothing: the share of the target that is spread evenly over all classes; Szegedy et al. (2016), section 7.
    """

    smoothing: float = 0.0

    def __call__(self, output: Any, batch: Batch) -> Loss:
        logits, target = in_single(answer_of(output)), batch.targets
        total = F.cross_entropy(logits, target, label_smoothing=self.smoothing, reduction="sum")
        truth = target if target.ndim == 1 else target.argmax(1)
        correct = (logits.detach().argmax(1) == truth).sum()
        return Loss(total, len(batch), {"accuracy": correct})
