"""Temperature: the one number that makes a network's confidence honest."""

from __future__ import annotations

import torch
import torch.nn.functional as F

LOW, HIGH = 0.05, 20.0


def fit_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The temperature that minimises the negative log-likelihood of softmax(logits / temperature).

    logits (N, classes) and labels (N,) of images that the network did not learn from (Guo et al.
    2017). The true class's target is 1 - 1/(N + 2) instead of 1, as Platt (1999) does: otherwise a
    few images that are all right would ask for certainty.
    """
    logits = logits.double()
    n, classes = logits.shape
    share = 1 / (n + 2)
    target = torch.full_like(logits, share / (classes - 1))
    target[torch.arange(n), labels] = 1 - share
    low, high = torch.tensor(LOW).log(), torch.tensor(HIGH).log()
    golden = (5**0.5 - 1) / 2

    def loss(log_temperature: torch.Tensor) -> float:
        return float(F.cross_entropy(logits / log_temperature.exp(), target))

    for _ in range(60):  # golden-section search: the loss has one minimum in the temperature
        a, b = high - golden * (high - low), low + golden * (high - low)
        if loss(a) < loss(b):
            high = b
        else:
            low = a
    return float(((low + high) / 2).exp())
