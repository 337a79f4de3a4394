"""The loss of regression: Huber's, of standardised numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F

from striate.answer import answer_of, in_single
from striate.training.batch import Batch, Loss


@dataclass(frozen=True)
class Huber:
    """Huber's loss of outputs (N, K) for standardised targets (N, K), the mean over targets and images.

    delta: the error, in standard deviations, up to which it is half the square, and from which on it grows in proportion.
    P. J. Huber, "Robust estimation of a location parameter" (1964).
    """

    delta: float = 1.0

    def __call__(self, output: Any, batch: Batch) -> Loss:
        values = in_single(answer_of(output))
        target = batch.targets.to(values.dtype)
        each = F.huber_loss(values, target, reduction="none", delta=self.delta).mean(1)
        error = (values.detach() - target).abs().mean(1).sum()
        return Loss(each.sum(), len(batch), {"mae": error})
