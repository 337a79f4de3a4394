"""Accuracy: the share of images whose most likely class is the true one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.answer import answer_of


@dataclass(frozen=True)
class Accuracy:
    """See striate.tasks.metric.Metric; evidence (N,) is 1 where an image is right."""

    name: str = "accuracy"
    hit: bool = True

    def evidence(self, output: Any, target: Tensor) -> np.ndarray:
        """From logits (N, K) and labels (N,)."""
        is_correct = answer_of(output).argmax(1) == torch.as_tensor(target)
        return is_correct.float().cpu().numpy()

    def score(
        self, evidence: np.ndarray, weights: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """{"accuracy"}."""
        if weights is None:
            return {"accuracy": evidence.mean(dtype=np.float64)}
        return {"accuracy": weights @ evidence / np.maximum(weights.sum(-1), 1e-9)}
