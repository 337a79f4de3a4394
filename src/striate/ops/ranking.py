"""Rankings: top-k accuracy and nearest neighbours in feature space (lecture 002, AlexNet)."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.errors import UsageError


def top_k_accuracy(scores: Tensor, labels: Tensor, k: int = 5) -> float:
    """The share of images whose label is among the k largest scores: scores (N, K), labels (N,).

    Raises UsageError unless 1 <= k <= K.
    """
    if not 1 <= k <= scores.shape[1]:
        raise UsageError(
            f"top_k_accuracy: k must be 1 to {scores.shape[1]}, the number of classes, got {k}"
        )
    hits = [
        label in row.argsort(descending=True, stable=True)[:k].tolist()
        for row, label in zip(scores, labels.tolist(), strict=True)
    ]
    return sum(hits) / len(hits)


def nearest_neighbours(features: Tensor, query: Tensor, k: int = 6) -> Tensor:
    """The k rows of `features` (N, D) at the smallest Euclidean distance from `query` (D,), nearest
    first."""
    distance = torch.sqrt((features - query).square().sum(1))
    return distance.argsort(stable=True)[:k]
