"""Queries: a fixed number of them, each of which gives one object of the whole image or none (DETR)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from striate.errors import UsageError
from striate.inference.tiled import Certificate
from striate.models import Queries
from striate.tasks.detect.forms.form import Spot
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.peaks import LEAST
from striate.tasks.detect.reach import Sight
from striate.tasks.detect.regions import cut_at
from striate.tasks.detect.ties import SCORE, steps
from striate.tasks.task import refuse_shape
from striate.tasks.tiling import TileJob
from striate.training.batch import Batch, Loss


class QueryForm:
    """See Form; `Queries`. Every box hangs on the whole image, so that there are no tiles."""

    kind: ClassVar[type] = Queries
    whole: ClassVar[bool] = True

    def refuse(self, output: Queries, images: Tensor, classes: int) -> None:
        """See Form."""
        n, count = len(images), output.logits.shape[1]
        refuse_shape(
            output.logits, (n, count, classes), f"{classes} scores of each of {count} queries"
        )
        refuse_shape(output.boxes, (n, count, 4), f"4 numbers of each of {count} queries")

    def extent(self, output: Queries) -> tuple[int, int]:
        """See Form."""
        return output.size

    def loss(self, output: Queries, batch: Batch, classes: int, edges: float) -> Loss:
        """Raises UsageError: such networks are trained by their own packages."""
        raise UsageError(
            "a network of queries is not trained here; train it with its own package, and give its checkpoint as weights"
        )

    def decode(
        self, output: Queries, classes: int, size: tuple[int, int] | None = None, *, least: float = LEAST
    ) -> list[Objects]:  # fmt: skip
        """See Form; as many objects as there are queries, each of which may give several classes. Nothing is suppressed."""
        return [_found(output, i, size, least)[0] for i in range(len(output.logits))]

    def spots(
        self, output: Queries, classes: int, size: tuple[int, int]
    ) -> tuple[Objects, list[Spot]]:  # fmt: skip
        """See Form; the query of each object is held, and where its box lies."""
        objects, which = _found(output, 0, size, LEAST)
        return objects, [
            Spot(None, label, which=query, region=tuple(box))
            for label, query, box in zip(
                objects.labels.tolist(), which.tolist(), objects.boxes.tolist(), strict=True
            )
        ]

    def nearest(
        self, output: Queries, classes: int, label: int | None, point: tuple[float, float] | None
    ) -> Spot:
        """See Form; of the queries whose box holds the point, and of all where none does."""
        boxes = boxes_in(output, 0, output.size)
        scores = output.logits[0].detach().float().cpu().numpy().copy()
        if point is not None:
            over = ((boxes[:, :2] <= point) & (np.array(point) < boxes[:, 2:])).all(1)
            scores[~over] -= 1e9 if over.any() else 0
        table = scores if label is None else scores[:, label : label + 1]
        query, k = divmod(int(table.argmax()), table.shape[1])
        return Spot(None, k if label is None else label, which=query, region=tuple(boxes[query].tolist()))  # fmt: skip

    def read(self, output: Queries, classes: int, spot: Spot) -> Tensor:
        """See Form; what one query says, whatever object it turns to."""
        raw = output.logits[:, spot.which, spot.label]
        height, width = output.size
        x, y, w, h = output.boxes[:, spot.which].unbind(1)
        across, down = x * width - spot.middle[0], y * height - spot.middle[1]
        wide, high = w * (width / 2), h * (height / 2)
        edges = wide - across, high - down, wide + across, high + down
        return torch.stack([raw, raw.sigmoid(), *edges], 1)

    def sight(self, output: Queries, fields: Sequence[int | None]) -> Sight:
        """See Form."""
        count = output.logits.shape[1]
        return Sight(
            ((1, None, math.inf),),
            lambda images: sum(max(len(objects) - count, 0) for objects in images),
            "too many",
            f"are more than {count} of one image",
            f"The network gives at most {count} objects of an image.",
        )

    def tile(
        self, job: TileJob, output: Queries, classes: int, *, least: float = LEAST
    ) -> tuple[Objects, Certificate]:  # fmt: skip
        """Raises UsageError, with the reason."""
        raise UsageError(
            "this network is not exactly tileable: each of its boxes hangs on every pixel of the whole image (attention, "
            "and a resize to one size), so that tiles would give other objects; take `striate predict`, which shows it the "
            "whole image, or train centernet, fcos, yolo or an R-CNN, whose tiles give what the whole image gives"
        )


def boxes_in(output: Queries, at: int, size: tuple[int, int]) -> np.ndarray:
    """The boxes (Q, 4) float64 of image `at`: left, top, right, bottom in pixels of an image (height, width), cut there."""
    height, width = output.size
    x, y, w, h = output.boxes[at].detach().double().cpu().numpy().T
    sides = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)
    return cut_at(sides * [width, height, width, height], size)


def _found(
    output: Queries, at: int, size: tuple[int, int] | None, least: float
) -> tuple[Objects, np.ndarray]:
    """The objects of image `at`, best first, and the query of each (n,)."""
    scores = output.logits[at].detach().double().sigmoid().cpu().numpy()
    count, classes = scores.shape
    boxes = boxes_in(output, at, size or output.size)
    order = np.argsort(-steps(scores.ravel(), SCORE), kind="stable")[:count]
    order = order[scores.ravel()[order] >= least]
    queries, labels = order // classes, order % classes
    large = ((boxes[queries, 2:] - boxes[queries, :2]) > 0).all(1)
    queries, labels = queries[large], labels[large]
    return Objects.of(boxes[queries], labels, scores=scores[queries, labels]), queries
