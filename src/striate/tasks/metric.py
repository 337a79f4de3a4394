"""Metric: what one image adds, its evidence, and scores of weighted evidence.

Whatever is a function of weighted evidence has an interval from resampled images, is compared in pairs and probed, without
knowing what the task is.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np


class Metric(Protocol):
    """How good predictions are.

    name: of the headline, as a person reads it. hit: whether the evidence of an image is one number, 1 right or 0 wrong,
    of which the headline is the mean. Of the headline more is better, and 1 is the best; of an error give 1 minus it, or R2.
    """

    @property
    def name(self) -> str: ...

    @property
    def hit(self) -> bool: ...

    def evidence(self, output: Any, target: Any) -> np.ndarray:
        """(N, ...) what each image of a batch adds, from the network's output and the targets."""
        ...

    def score(
        self, evidence: np.ndarray, weights: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Scores of evidence (N, ...), the headline first. weights: (..., N), how often each image counts; (...) scores."""
        ...


@runtime_checkable
class Clustered(Protocol):
    """A metric of images that are dependent, such as those of one identity: clusters are resampled, not images."""

    def clusters(self, evidence: np.ndarray) -> np.ndarray:
        """(N,) of evidence (N, ...), equal for images of one cluster."""
        ...


@runtime_checkable
class Paired(Protocol):
    """A metric that compares images with each other: changed ones are compared with those that are not."""

    def beside(self, changed: np.ndarray, clean: np.ndarray) -> np.ndarray:
        """Evidence (N, ...) of changed images among N that are as they were, from the evidence of both (N, ...)."""
        ...


def clusters_of(metric: Metric, evidence: np.ndarray) -> np.ndarray | None:
    """(N,) the cluster of each image of evidence (N, ...); None where each image is independent."""
    return metric.clusters(evidence) if isinstance(metric, Clustered) else None
