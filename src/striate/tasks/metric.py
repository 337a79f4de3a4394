"""Metric: what one image adds, its evidence, and scores of weighted evidence.

Whatever is a function of weighted evidence has an interval from resampled images, is compared in pairs and probed, without
knowing what the task is.
"""

from __future__ import annotations

from typing import Any, Protocol

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
