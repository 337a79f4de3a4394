"""The metric of instance segmentation: average precision of masks and of boxes, and panoptic quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.tasks.detect.evaluation.average_precision import pool, weighted
from striate.tasks.detect.evaluation.matching import Matches, box_overlap, match, region_overlap
from striate.tasks.detect.evaluation.threshold import USUAL
from striate.tasks.detect.metric import Decode, mean_of_known
from striate.tasks.detect.objects import Objects
from striate.tasks.instances.cropping import InstanceTarget, objects_of_target
from striate.tasks.instances.panoptic import apart, panoptic_counts, panoptic_scores


@dataclass(frozen=True, eq=False)
class Seen:
    """What one image adds. masks, boxes: what its predictions match, by their regions and by their boxes. panoptic: (K, 4),
    see `panoptic_counts`."""

    masks: Matches
    boxes: Matches
    panoptic: np.ndarray


@dataclass(frozen=True)
class InstanceQuality:
    """See striate.tasks.metric.Metric; evidence (N,) of objects, see `Seen`.

    classes: their number. decode: (the network's output, classes) -> the objects of each image. sure: the score from which
    on an object counts for panoptic quality.
    """

    classes: int
    decode: Decode
    sure: float = USUAL
    name: str = "mask AP"
    hit: bool = False

    def evidence(self, output: Any, target: Sequence[InstanceTarget]) -> np.ndarray:
        """From what the network gives for N images and their N targets."""
        return self.matched(self.decode(output, self.classes), self.truths(target))

    def truths(self, targets: Sequence[InstanceTarget]) -> list[Objects]:
        """The annotated objects of N targets."""
        return [objects_of_target(target) for target in targets]

    def matched(self, predictions: Sequence[Objects], truths: Sequence[Objects]) -> np.ndarray:
        """From the objects of N images, predicted and annotated, all with regions."""
        evidence = np.empty(len(truths), dtype=object)
        evidence[:] = [
            Seen(masks, boxes, panoptic_counts(apart(p.sure(self.sure)), t, self.classes))
            for masks, boxes, p, t in zip(
                match(predictions, truths, overlap=region_overlap),
                match(predictions, truths, overlap=box_overlap),
                predictions,
                truths,
                strict=True,
            )
        ]
        return evidence

    def score(
        self, evidence: np.ndarray, weights: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """{"mask_ap", "mask_ap50", "mask_ap75", "box_ap", "box_ap50", "pq", "sq", "rq"}; 0 without any object."""
        n = len(evidence)
        rows = np.ones((1, n)) if weights is None else np.asarray(weights).reshape(-1, n)
        shape = () if weights is None else np.shape(weights)[:-1]
        return {k: v.reshape(shape) for k, v in scorer(list(evidence), self.classes)(rows).items()}


def scorer(evidence: Sequence[Seen], classes: int) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A function from weights (R, N) of the images to all scores, (R,) each."""
    masks = pool([seen.masks for seen in evidence], classes)
    boxes = pool([seen.boxes for seen in evidence], classes)
    counts = (
        np.stack([seen.panoptic for seen in evidence]) if evidence else np.zeros((0, classes, 4))
    )

    def score(rows: np.ndarray) -> dict[str, np.ndarray]:
        by_mask, by_box = weighted(masks, rows), weighted(boxes, rows)  # (R, T, K)
        at = {"ap": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}
        scores = {f"mask_{name}": mean_of_known(by_mask[:, which]) for name, which in at.items()}
        scores |= {f"box_{name}": mean_of_known(by_box[:, at[name]]) for name in ("ap", "ap50")}
        summed = (rows.astype(np.float64) @ counts.reshape(len(counts), -1)).reshape(-1, classes, 4)
        return scores | panoptic_scores(summed)

    return score
