"""The loss of multi-label classification: binary cross-entropy of each tag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F

from striate.answer import answer_of, in_single
from striate.training.batch import Batch, Loss


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Binary cross-entropy of logits (N, K) with targets (N, K) in [0, 1]; the mean over tags and images."""

    def __call__(self, output: Any, batch: Batch) -> Loss:
        logits = in_single(answer_of(output))
        target = batch.targets.to(logits.dtype)
        each = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)
        correct = ((logits.detach() > 0) == (target > 0.5)).float().mean(1).sum()
        return Loss(each.sum(), len(batch), {"tags_right": correct})
