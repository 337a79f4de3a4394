"""R-squared: the share of the targets' variance that predictions explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from striate.answer import answer_of


@dataclass(frozen=True)
class RSquared:
    """See striate.tasks.metric.Metric; evidence (N, 2, K) holds each image's standardised predictions and targets.

    The headline is the mean over targets, each of which counts the same whatever its unit; "mae" is the mean absolute error
    in standard deviations of the training targets.
    """

    name: str = "R²"
    hit: bool = False

    def evidence(self, output: Any, target: Any) -> np.ndarray:
        """From outputs (N, K) and targets (N, K), both standardised."""
        values = answer_of(output).detach().double().cpu()
        return torch.stack((values, torch.as_tensor(target).double().cpu()), 1).numpy()

    def score(
        self, evidence: np.ndarray, weights: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """{"r2", "mae"}; r2 is nan where all targets with a weight are equal."""
        r2 = r_squared(evidence[:, 0], evidence[:, 1], weights).mean(-1)
        mae = mean_absolute_error(evidence[:, 0], evidence[:, 1], weights).mean(-1)
        return {"r2": r2, "mae": mae}


def r_squared(
    values: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """1 - squared errors / squared distances from the mean, (..., K), of values (N, K) for targets (N, K).

    weights: (..., N), how often each image counts. nan where the targets do not vary.
    """
    w = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    total = np.maximum(w.sum(-1, keepdims=True), 1e-12)
    centre = targets.mean(0)  # near the weighted mean, so that nothing is lost in the difference
    y = targets - centre
    mean = w @ y / total
    spread = w @ y**2 / total - mean**2
    error = w @ (values - targets) ** 2 / total
    tiny = 1e-12 * np.maximum(y**2, 0).max(0, initial=0.0)
    return 1 - np.divide(error, spread, out=np.full(np.shape(error), np.nan), where=spread > tiny)


def mean_absolute_error(
    values: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """(..., K) of values (N, K) for targets (N, K), in their unit. weights: (..., N)."""
    w = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    return w @ np.abs(values - targets) / np.maximum(w.sum(-1, keepdims=True), 1e-12)
