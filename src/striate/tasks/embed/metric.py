"""Recall at 1: the share of images whose nearest other image is of the same identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from striate.answer import answer_of

AT_ONCE = 1 << 22  # cosines that are held


@dataclass(frozen=True)
class RecallAtOne:
    """See striate.tasks.metric.Metric; evidence (N, 2 * d + 1) of each image: its embedding of length 1, the one that others
    find it by, and its identity.

    Both embeddings are the same, but of an image that was changed: it is searched for among images as they are. Identities
    are what intervals resample, since images of one identity are dependent.
    """

    name: str = "recall at 1"
    hit: bool = False

    def evidence(self, output: Any, target: Any) -> np.ndarray:
        """From embeddings (N, d) of any length and identities (N,)."""
        embeddings = unit_rows(answer_of(output).detach().float().cpu().numpy())
        identities = torch.as_tensor(target).cpu().numpy().astype(np.float32)
        return np.concatenate([embeddings, embeddings, identities[:, None]], 1)

    def clusters(self, evidence: np.ndarray) -> np.ndarray:
        """(N,) the identities of evidence (N, 2 * d + 1)."""
        labels: np.ndarray = evidence[:, -1].astype(np.int64)
        return labels

    def beside(self, changed: np.ndarray, clean: np.ndarray) -> np.ndarray:
        """Changed images searched for among clean ones, of evidence (N, 2 * d + 1) each."""
        d = changed.shape[1] // 2
        return np.concatenate([changed[:, :d], clean[:, d:]], 1)

    def score(
        self, evidence: np.ndarray, weights: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """{"recall_at_1"}, over the images that have another of their identity; nan where there are none.

        weights: (..., N), how often each image counts as a query. All images are searched, however often they count: with
        fewer of them recall would be higher, and a resample has fewer.
        """
        d = evidence.shape[1] // 2
        is_hit, counts = nearest_is_own(evidence[:, :d], evidence[:, d:-1], self.clusters(evidence))
        w = counts if weights is None else np.asarray(weights, dtype=np.float64) * counts
        total = w.sum(-1)
        recall = np.divide(w @ is_hit, total, out=np.full(np.shape(total), np.nan), where=total > 0)
        return {"recall_at_1": recall}


def unit_rows(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings (N, d) with length 1; those without a direction, of length 0 or not finite, as zeros."""
    length = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.divide(
        embeddings, length, out=np.zeros_like(embeddings), where=(length > 0) & np.isfinite(length)
    )


def nearest_is_own(
    queries: np.ndarray, searched: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) float64 1 where the nearest other image is of the same identity, and 1 where there is another image of it.

    queries, searched: (N, d) of length 1, of the same N images. labels: (N,) int64. Where an image of another identity is
    as near, the nearest is not the own one: a network that gives the same for all finds nothing.
    """
    n = len(labels)
    is_hit = np.zeros(n)
    step = max(1, AT_ONCE // max(n, 1))
    for start in range(0, n, step):
        rows = np.arange(start, min(start + step, n))
        cosines = queries[rows] @ searched.T
        same = labels[rows, None] == labels[None]
        others = np.where(same, -np.inf, cosines).max(1)
        cosines[~same] = -np.inf
        cosines[np.arange(len(rows)), rows] = -np.inf  # no image is its own neighbour
        is_hit[rows] = cosines.max(1) > others
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return is_hit, (counts[inverse] > 1).astype(np.float64)
