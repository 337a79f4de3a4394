"""Voting: how a network's map is read whose pixels vote for the centres of their objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from striate.answer import answer_of
from striate.errors import UsageError
from striate.inference.tiled import Certificate
from striate.models import Regions
from striate.models.centernet_masks import BESIDE
from striate.tasks.detect.forms.centers import Centers, map_on_disk
from striate.tasks.detect.forms.form import Form, Spot
from striate.tasks.detect.forms.regions import RegionForm
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.peaks import LEAST, STRIDE, peaks_with_cells
from striate.tasks.instances.loss import VotingLoss
from striate.tasks.instances.panoptic import apart_at
from striate.tasks.instances.voting import find_instances, find_large_instances, voted
from striate.tasks.task import refuse_shape
from striate.tasks.tiling import TileJob
from striate.training.batch import Batch, Loss


class Voting(Centers):
    """See Form; (N, K + BESIDE, ceil(H / 4), ceil(W / 4)), see `MaskCenterNet`. Objects have regions."""

    def refuse(self, output: Any, images: Tensor, classes: int) -> None:
        """See Form."""
        cells = [-(-side // STRIDE) for side in images.shape[-2:]]
        refuse_shape(
            answer_of(output),
            (len(images), classes + BESIDE, *cells),
            f"{classes} scores, 4 distances, 16 pixels and 8 numbers of votes a cell of {STRIDE} x {STRIDE} pixels",
        )

    def loss(self, output: Any, batch: Batch, classes: int, edges: float) -> Loss:
        """See Form; the batch's targets are N of `InstanceTarget`."""
        return VotingLoss(classes, edges)(output, batch)

    def decode(
        self, output: Any, classes: int, size: tuple[int, int] | None = None, *, least: float = LEAST
    ) -> list[Objects]:  # fmt: skip
        """See Form."""
        maps = answer_of(output).float().cpu()
        size = size or self.extent(maps)
        return [find_instances(one, classes, size, least=least) for one in maps]

    def spots(
        self, output: Any, classes: int, size: tuple[int, int]
    ) -> tuple[Objects, list[Spot]]:  # fmt: skip
        """See Form; first those that are told apart, numbered as predictions list them, then other guesses of them."""
        maps = answer_of(output)[0].float().cpu()
        found, cells = peaks_with_cells(maps[: classes + 4], classes, STRIDE, size=size)
        objects, which = voted(maps[classes + 4 :].numpy(), found, size)
        first = apart_at(objects)[1]
        order = [*first, *(i for i in range(len(objects)) if i not in set(first))]
        places = [cells[which[i]].tolist() for i in order]
        spots = [Spot(0, k, row, column, STRIDE) for k, row, column in places]
        return objects.take(np.array(order, dtype=np.int64)), spots

    def tile(
        self, job: TileJob, output: Any, classes: int, *, least: float = LEAST
    ) -> tuple[Objects, Certificate]:  # fmt: skip
        """See Form; pixels are given to objects once the map of the whole image lies on the disk."""
        height, width = job.image.shape[1:]
        with map_on_disk(job) as (cells, certificate):
            objects = find_large_instances(cells, classes, (height, width), least=least)
        return objects, certificate


VOTING = Voting()
REGIONS = RegionForm()


def voting(output: Any) -> Form:
    """The form of an output: voting for one map, that of regions for Mask R-CNN. Raises UsageError where it has no masks."""
    if not isinstance(output, Regions):
        return VOTING
    if output.mask is None:
        raise UsageError("faster-rcnn gives boxes alone; take mask-rcnn, or --task detect")
    return REGIONS


def instances_in(output: Any, classes: int) -> list[Objects]:
    """The objects of each image, with their regions, from what a network gives for N images."""
    return voting(output).decode(output, classes)
