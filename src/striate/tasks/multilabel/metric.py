"""Mean average precision: how well each tag ranks the images that have it before those that do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from striate.answer import answer_of

CHUNK = 1 << 22  # weights looked at together


@dataclass(frozen=True)
class MeanAveragePrecision:
    """See striate.tasks.metric.Metric; evidence (N, 2, K) holds each image's probabilities and targets.

    The mean over tags that occur of the average precision, the area under the precision over the recall, without
    interpolation (as scikit-learn's average_precision_score). A tag that occurs, but in no image with a weight, keeps its
    average precision in all images: the mean of a resample is over the same tags, so that intervals are of one number.
    """

    name: str = "mean average precision"
    hit: bool = False

    def evidence(self, output: Any, target: Any) -> np.ndarray:
        """From logits (N, K) and targets (N, K)."""
        shares = torch.sigmoid(answer_of(output).detach().double().cpu())
        truth = torch.as_tensor(target).double().cpu()
        return torch.stack((shares, truth), 1).numpy()

    def score(
        self, evidence: np.ndarray, weights: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """{"map"}; nan where no tag occurs."""
        each = average_precision(evidence[:, 0], evidence[:, 1], weights)
        if weights is not None and np.isnan(each).any():
            each = np.where(np.isnan(each), average_precision(evidence[:, 0], evidence[:, 1]), each)
        known = ~np.isnan(each)
        total = np.where(known, each, 0).sum(-1)
        count = known.sum(-1)
        return {"map": np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)}


def average_precision(
    scores: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Average precision of each tag, (..., K), of scores (N, K) and targets (N, K); nan where a tag does not occur.

    weights: (..., N), how often each image counts. Images with equal scores are one step of the curve.
    """
    n, k = scores.shape
    once = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    flat = once.reshape(-1, n)
    averages = np.full((len(flat), k), np.nan)
    rows = max(1, CHUNK // max(n, 1))
    for tag in range(k):
        order = np.argsort(-scores[:, tag], kind="stable")
        ranked = scores[order, tag]
        ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of each run of equals
        positive = targets[order, tag] > 0.5
        for start in range(0, len(flat), rows):
            part = flat[start : start + rows][:, order]
            hits = np.cumsum(part * positive, axis=1)[:, ends]
            seen = np.cumsum(part, axis=1)[:, ends]
            precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
            steps = np.diff(hits, axis=1, prepend=0)
            total = hits[:, -1]
            averages[start : start + rows, tag] = np.divide(
                (precision * steps).sum(1), total, out=np.full(len(total), np.nan), where=total > 0
            )
    return averages.reshape(*once.shape[:-1], k)
