"""The loss of detection: a focal loss of the heat map and the generalised IoU of boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.answer import answer_of, in_single
from striate.tasks.detect.assignment import Targets, assign
from striate.tasks.detect.boxes import generalised_iou
from striate.training.batch import Batch, Loss


@dataclass(frozen=True)
class CenterLoss:
    """The loss of maps (N, K + 4, h, w) for a batch whose targets are N tensors (n, 6); see `assign`.

    It is divided by the number of objects of the whole batch, one at least an image, however the batch is split.
    edges: weight of the boxes' loss beside the heat map's.
    Source: Zhou, Wang, Krähenbühl (2019), equation 1, which is Law and Deng's focal loss; Rezatofighi et al. (2019).
    """

    classes: int
    stride: int = 4
    edges: float = 2.0

    def __call__(self, output: Any, batch: Batch) -> Loss:
        maps = in_single(answer_of(output))
        n, _, h, w = maps.shape
        targets = [
            assign(objects.to(maps.dtype), self.classes, (h, w), self.stride)
            for objects in batch.targets
        ]
        heat = focal(maps[:, : self.classes], targets)
        centres = middles(h, w, self.stride, maps)
        parts = []
        for at, target in enumerate(targets):
            distances = maps[at, self.classes :].flatten(1)[:, target.cells].T
            predicted = boxes_of(centres[target.cells], distances)
            loss = 1 - generalised_iou(predicted, target.boxes)
            parts.append((loss * target.weights).sum())
        boxes = torch.stack(parts).sum()
        count = sum(max(int((objects[:, 5] == 0).sum()), 1) for objects in batch.targets)
        total = heat + self.edges * boxes
        # The parts are shown over the number of images.
        each = n / count
        return Loss(total, count, {"heat": heat.detach() * each, "edges": boxes.detach() * each})


def focal(logits: Tensor, targets: list[Targets]) -> Tensor:
    """The focal loss of heat maps (N, K, h, w), summed; cells near a centre count less as empty ones."""
    heat = torch.stack([t.heat for t in targets])
    care = torch.stack([t.care for t in targets])[:, None]
    centre = heat == 1
    p = logits.sigmoid()
    positive = F.softplus(-logits) * (1 - p) ** 2
    negative = F.softplus(logits) * p**2 * (1 - heat) ** 4 * care
    return torch.where(centre, positive, negative).sum()


def middles(height: int, width: int, stride: int, like: Tensor) -> Tensor:
    """(height * width, 2) x and y of the cells' middles in pixels, row by row, as `like`'s kind of number."""
    y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) * stride
    x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) * stride
    return torch.stack([x.repeat(height), y.repeat_interleave(width)], 1)


def boxes_of(centres: Tensor, distances: Tensor) -> Tensor:
    """(n, 4) boxes from middles (n, 2) and distances (n, 4) to the left, top, right and bottom edge."""
    return torch.cat([centres - distances[:, :2], centres + distances[:, 2:]], 1)
