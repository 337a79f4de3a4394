"""The loss of instance segmentation: that of detection, which pixels belong to objects, and where their centres lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.answer import answer_of, in_single
from striate.models import Regions
from striate.models.centernet_masks import VOTERS
from striate.tasks.detect.loss import CenterLoss
from striate.tasks.detect.peaks import STRIDE
from striate.tasks.detect.region_loss import TAUGHT, loss_of_regions
from striate.tasks.instances.pixels import spread
from striate.tasks.instances.settings import MASKS, PIXELS, VOTES
from striate.training.batch import Batch, Loss


@dataclass(frozen=True)
class InstanceLoss:
    """The loss of either kind of network for a batch whose targets are N of `InstanceTarget`: see `VotingLoss` for maps, and
    `loss_of_regions` for Mask R-CNN. pixels: of `VotingLoss`, or of the masks; None for the usual weight of the kind.
    regions: that an image teaches Mask R-CNN by.
    """

    classes: int
    edges: float = 2.0
    pixels: float | None = None
    votes: float = VOTES
    regions: int = TAUGHT

    def __call__(self, output: Any, batch: Batch) -> Loss:
        if isinstance(output, Regions):
            weight = MASKS if self.pixels is None else self.pixels
            return loss_of_regions(output, batch, self.edges, weight, regions=self.regions)
        weight = PIXELS if self.pixels is None else self.pixels
        return VotingLoss(self.classes, self.edges, weight, self.votes)(output, batch)


@dataclass(frozen=True)
class VotingLoss:
    """The loss of maps (N, K + BESIDE, h, w) for a batch whose targets are N of `InstanceTarget`.

    Divided by the number of objects of the whole batch, one at least an image, however the batch is split. edges: weight of
    the boxes; pixels: of the cross entropy of "belongs to an object", the mean over an image's pixels, as often as it has
    objects; votes: of the distance of votes from the true centres, in cells, the mean over each object's pixels.
    Pixels of crowds teach nothing.
    """

    classes: int
    edges: float = 2.0
    pixels: float = PIXELS
    votes: float = VOTES

    def __call__(self, output: Any, batch: Batch) -> Loss:
        maps = in_single(answer_of(output))
        rows = [target["objects"] for target in batch.targets]
        boxes = CenterLoss(self.classes, STRIDE, self.edges)(
            maps[:, : self.classes + 4], Batch(batch.images, rows)
        )
        logits, votes = spread(maps[:, self.classes + 4 :])
        numbers = torch.stack([target["numbers"] for target in batch.targets]).long()
        height, width = numbers.shape[-2:]
        # All objects of the batch in one list, after one that stands for none.
        table = torch.cat([rows[0].new_zeros(1, 6), *rows]).to(maps.dtype)
        counts = torch.tensor([len(r) for r in rows], device=maps.device)
        first = counts.cumsum(0) - counts
        owner = torch.where(numbers > 0, numbers + first[:, None, None], 0)
        crowd = table[:, 5] > 0
        inside, care = (owner > 0) & ~crowd[owner], ~crowd[owner]
        regular = torch.stack([(r[:, 5] == 0).sum() for r in rows]).clamp(min=1)
        entropy = F.binary_cross_entropy_with_logits(
            logits[:, :height, :width], inside.to(maps.dtype), reduction="none"
        )
        means = (entropy * care).sum((1, 2)) / care.sum((1, 2)).clamp(min=1)
        masks = (means * regular).sum()
        aimed = self.aim(votes, owner, inside, table)
        each = boxes.parts["heat"].new_tensor(len(rows)) / boxes.weight
        parts = {**boxes.parts, "masks": masks.detach() * each, "votes": aimed.detach() * each}
        return Loss(boxes.sum + self.pixels * masks + self.votes * aimed, boxes.weight, parts)

    def aim(self, votes: Tensor, owner: Tensor, inside: Tensor, table: Tensor) -> Tensor:
        """How far votes (N, 2, h, w) fall from the centres of the pixels' objects, in cells, summed over objects."""
        image, y, x = torch.nonzero(inside, as_tuple=True)
        whose = owner[image, y, x]
        row, column = y // VOTERS, x // VOTERS
        middle = (torch.stack([column, row], 1) + 0.5).to(votes.dtype) * VOTERS
        centre = (table[whose, :2] + table[whose, 2:4]) / 2
        off = (votes[image, :, row, column] + middle - centre) / STRIDE
        distance = F.smooth_l1_loss(off, torch.zeros_like(off), beta=0.25, reduction="none").sum(1)
        areas = torch.bincount(whose, minlength=len(table)).clamp(min=1).to(votes.dtype)
        return (distance / areas[whose]).sum()
