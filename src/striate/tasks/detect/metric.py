"""Average precision, the metric of detection, from what each image matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from striate.tasks.detect.evaluation.average_precision import pool, weighted
from striate.tasks.detect.evaluation.matching import Matches, Overlap, box_overlap, match
from striate.tasks.detect.objects import Objects

Decode = Callable[[Any, int], list[Objects]]


@dataclass(frozen=True)
class AveragePrecision:
    """See striate.tasks.metric.Metric; evidence (N,) of objects: what each image matches, see `Matches`.

    classes: their number. decode: (the network's output, classes) -> the objects of each image. overlap: of boxes or of
    regions.
    """

    classes: int
    decode: Decode
    overlap: Overlap = box_overlap
    name: str = "AP"
    hit: bool = False

    def evidence(self, output: Any, target: Sequence[Tensor]) -> np.ndarray:
        """From what the network gives for N images and their N targets (n, 6), see `assign`."""
        return self.matched(self.decode(output, self.classes), self.truths(target))

    def truths(self, targets: Sequence[Tensor]) -> list[Objects]:
        """The annotated objects of N targets (n, 6)."""
        return [objects_of(target) for target in targets]

    def matched(self, predictions: Sequence[Objects], truths: Sequence[Objects]) -> np.ndarray:
        """From the objects of N images, predicted and annotated."""
        evidence = np.empty(len(truths), dtype=object)
        evidence[:] = match(predictions, truths, overlap=self.overlap)
        return evidence

    def score(
        self, evidence: np.ndarray, weights: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """{"ap", "ap50", "ap75"}: over COCO's thresholds, and at an overlap of 0.50 and of 0.75; 0 without any object."""
        n = len(evidence)
        rows = np.ones((1, n)) if weights is None else np.asarray(weights).reshape(-1, n)
        shape = () if weights is None else np.shape(weights)[:-1]
        matches: list[Matches] = list(evidence)
        known = weighted(pool(matches, self.classes), rows)  # (R, T, K)
        return {
            name: mean_of_known(known[:, at]).reshape(shape)
            for name, at in (("ap", slice(None)), ("ap50", slice(0, 1)), ("ap75", slice(5, 6)))
        }


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """(R,) the mean of values (R, T, K) that are not nan; 0 where none is."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum((1, 2))
    mean: np.ndarray = total / np.maximum(known.sum((1, 2)), 1)
    return mean


def objects_of(target: Tensor) -> Objects:
    """The objects of a target (n, 6): left, top, right, bottom, class, crowd."""
    rows = target.detach().double().cpu().numpy()
    return Objects.of(rows[:, :4], rows[:, 4].astype(np.int64), crowd=rows[:, 5] > 0)
