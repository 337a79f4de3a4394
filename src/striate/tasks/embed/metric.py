"""Recall at 1: the share of images whose nearest other image is of the same identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from striate.answer import answer_of

AT_ONCE = 1024  # rows of the matrix of cosines that are held


@dataclass(frozen=True)
class RecallAtOne:
    """See striate.tasks.metric.Metric; evidence (N, d + 1) holds each image's embedding of length 1, then its identity."""

    name: str = "recall at 1"
    hit: bool = False

    def evidence(self, output: Any, target: Any) -> np.ndarray:
        """From embeddings (N, d) of any length and identities (N,)."""
        embeddings = unit_rows(answer_of(output).detach().float().cpu().numpy())
        identities = torch.as_tensor(target).cpu().numpy().astype(np.float32)
        return np.concatenate([embeddings, identities[:, None]], 1)

    def score(
        self, evidence: np.ndarray, weights: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """{"recall_at_1"}, over the images that have another of their identity; nan where there are none.

        weights: (..., N), how often each image counts as a query; all images with other weights than 0 or not are searched.
        """
        identities = evidence[:, -1].astype(np.int64)
        is_hit, counts = nearest_is_own(evidence[:, :-1], identities)
        w = counts if weights is None else np.asarray(weights, dtype=np.float64) * counts
        total = w.sum(-1)
        return {
            "recall_at_1": np.divide(
                w @ is_hit, total, out=np.full(np.shape(total), np.nan), where=total > 0
            )
        }


def unit_rows(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings (N, d) with length 1; those of length 0 stay zeros."""
    length = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.divide(embeddings, length, out=np.zeros_like(embeddings), where=length > 0)


def nearest_is_own(embeddings: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) float64 1 where the nearest other image is of the same identity, and 1 where there is another image of it.

    embeddings: (N, d) of length 1. labels: (N,) int64.
    """
    n = len(labels)
    is_hit = np.zeros(n)
    for start in range(0, n, AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, n))
        cosines = embeddings[rows] @ embeddings.T
        cosines[np.arange(len(rows)), rows] = -np.inf  # no image is its own neighbour
        is_hit[rows] = labels[cosines.argmax(1)] == labels[rows]
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return is_hit, (counts[inverse] > 1).astype(np.float64)
