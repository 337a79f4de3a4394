"""Scores: a classifier's probabilities for images whose true classes are known, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from striate.errors import DataError

ArrayLike = Any  # a numpy array, a tensor on any device, or nested lists
SUM_TOLERANCE = 0.02  # bfloat16 keeps 8 bits: a softmax of many classes may sum to 0.99
# The largest float32 below one. torchmetrics puts a confidence of exactly one in a bin of its own,
# behind the last.
BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))


def to_numpy(values: ArrayLike) -> np.ndarray:
    """The values as an array of the same shape; a bfloat16 or CUDA tensor is converted, for numpy knows neither."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values)


def softmax(logits: ArrayLike) -> np.ndarray:
    """Probabilities (N, K) of logits (N, K), in float32 whatever the precision of the logits."""
    return torch.softmax(torch.as_tensor(to_numpy(logits)).float(), dim=1).numpy()


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Probabilities (N, K), float32, labels (N,), int64, and K class names; N >= 1, K >= 2."""

    probabilities: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    @classmethod
    def of(cls, probabilities: ArrayLike, labels: ArrayLike, classes: Sequence[str]) -> Scores:
        """Check what came in. Raises DataError if it is empty, not finite, or does not fit
        together.
        """
        p, y = to_numpy(probabilities), to_numpy(labels)
        if p.ndim != 2 or p.shape[1] != len(classes):
            raise DataError(
                f"probabilities must be (N, {len(classes)}), one column a class, got {p.shape}; "
                "pass the class names of the run that made them"
            )
        if len(classes) < 2:
            raise DataError(
                f"evaluation needs two classes or more, got {len(classes)}; add images of another "
                "class"
            )
        if len(p) == 0:
            raise DataError("evaluation needs at least one image, got none; hold some images out")
        if y.shape != (len(p),):
            raise DataError(f"labels must be ({len(p)},), one an image, got {y.shape}")
        p = p.astype(np.float32)
        bad = ~np.isfinite(p).all(axis=1)
        if bad.any():
            raise DataError(
                f"probabilities must be finite, got NaN or infinity for {bad.sum():,} of "
                f"{len(p):,} images, "
                f"the first at index {bad.argmax()}; train again with a lower learning rate or in "
                "fp32"
            )
        total = p.sum(axis=1, dtype=np.float64)
        wrong = (p.min(axis=1) < 0) | (np.abs(total - 1) > SUM_TOLERANCE)
        if wrong.any():
            i = int(wrong.argmax())
            raise DataError(
                f"probabilities must be at least 0 and sum to 1, got row {i} from {p[i].min():.3g} "
                f"with sum {total[i]:.3g}; pass logits through striate.tasks.classify.findings.softmax first"
            )
        if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= len(classes):
            raise DataError(
                f"labels must be integers from 0 to {len(classes) - 1}, "
                f"got {y.dtype} from {y.min()} to {y.max()}"
            )
        return cls(
            probabilities=np.minimum(p, BELOW_ONE),
            labels=y.astype(np.int64),
            classes=tuple(map(str, classes)),
        )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def predicted(self) -> np.ndarray:
        """The most probable class of each image (N,)."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """The probability of the predicted class (N,)."""
        return self.probabilities.max(axis=1)

    @cached_property
    def correct(self) -> np.ndarray:
        """Whether the predicted class is the true one (N,)."""
        return self.predicted == self.labels

    @cached_property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Probabilities, predicted classes and labels, for torchmetrics."""
        return (
            torch.from_numpy(self.probabilities),
            torch.from_numpy(self.predicted),
            torch.from_numpy(self.labels),
        )
