"""Evaluate a detector: the objects that it finds in held-out images, and what they match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from striate.tasks.detect.data.source import BoxSplit
from striate.tasks.detect.evaluation.kinds import Judged, judge
from striate.tasks.detect.evaluation.matching import Overlap, box_overlap
from striate.tasks.detect.forms.form import Forms
from striate.tasks.detect.forms.table import form_of
from striate.tasks.detect.forward import is_tiled, outputs_of
from striate.tasks.detect.frame import original
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.predict import large_objects
from striate.tasks.task import Enough, Progress, never, silent
from striate.tasks.trained import Trained
from striate.training.machine import choose_precision

AT_ONCE = 16  # images of one size
PIXELS = 2**20  # of images that go through at once


class Matched(Protocol):
    """A metric whose evidence comes from objects, predicted and annotated."""

    def matched(self, predictions: Sequence[Objects], truths: Sequence[Objects]) -> np.ndarray:
        """(N,) what each image adds."""
        ...

    def score(
        self, evidence: np.ndarray, weights: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """See Metric."""
        ...


@dataclass(frozen=True, eq=False)
class Assessed:
    """Predictions and annotated objects of N images, what they match, see `AveragePrecision`, and the images' names (N,).

    overlap: by what a prediction is told to be an object, its box if nothing else is said; what: the word for it.
    """

    predictions: tuple[Objects, ...]
    truths: tuple[Objects, ...]
    evidence: np.ndarray
    keys: tuple[str, ...]
    overlap: Overlap = box_overlap
    what: str = "box"

    @property
    def many(self) -> str:
        """`what`, of several."""
        return "boxes" if self.what == "box" else f"{self.what}s"

    def judged(self, least: float = 0.0) -> list[Judged]:
        """Every image's predictions with a score of `least` and more, judged."""
        return [
            judge(predicted.sure(least) if least else predicted, truth, self.overlap)
            for predicted, truth in zip(self.predictions, self.truths, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.truths)


def assess_boxes(
    trained: Trained, split: BoxSplit, metric: Matched, device: torch.device,
    progress: Progress = silent, enough: Enough = never, *, forms: Forms = form_of,
) -> Assessed:  # fmt: skip
    """Find the objects of a split's images, in order until there are enough; in pixels of the images themselves.

    forms: which one an output has.
    """
    dtype = choose_precision(trained.precision, device)
    model = trained.model.to(device)
    predictions: list[Objects] = []
    waiting: list[Tensor] = []

    def flush() -> None:
        if not waiting:
            return
        height, width = waiting[0].shape[-2:]
        for out in outputs_of(model, trained.preprocessing, waiting, device=device, dtype=dtype):
            (found,) = forms(out).decode(out, len(trained.classes), (height, width))
            size = split.sizes[len(predictions)].tolist()
            predictions.append(original(found, size, trained.preprocessing))
        waiting.clear()
        progress(len(predictions), len(split))

    try:
        for i in range(len(split)):
            image = torch.from_numpy(split.preprocess(i, trained.preprocessing))
            if is_tiled(model, image.shape, device):  # of a large one the maps stay on the disk
                flush()
                if enough(len(predictions)):
                    break
                found = large_objects(trained, image, split.keys[i], forms)
                predictions.append(original(found, split.sizes[i].tolist(), trained.preprocessing))
                progress(len(predictions), len(split))
                continue
            full = len(waiting) >= AT_ONCE or (len(waiting) + 1) * image[0].numel() > PIXELS
            if waiting and (full or waiting[0].shape != image.shape):
                flush()
                if enough(len(predictions)):
                    break
            waiting.append(image)
        flush()
    finally:
        model.cpu()
    truths = split.objects[: len(predictions)]
    return Assessed(
        tuple(predictions),
        tuple(truths),
        metric.matched(predictions, truths),
        split.keys[: len(truths)],
    )
