"""Grid: cells that each hold some boxes and one set of class probabilities (YOLO)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from striate.answer import in_single
from striate.geometry import Box
from striate.inference.tiled import Certificate
from striate.models import SPAN, Grid
from striate.tasks.detect.candidates import Candidates
from striate.tasks.detect.forms.form import Spot
from striate.tasks.detect.forms.nearest import best_of
from striate.tasks.detect.grid_loss import assign_cells, boxes_in_cells, grid_losses
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.peaks import LEAST
from striate.tasks.detect.reach import Sight
from striate.tasks.task import refuse_shape
from striate.tasks.tiling import TileJob
from striate.training.batch import Batch, Loss

SAME = 0.5  # IoU with a better box of its class above which a box is not listed


class GridForm:
    """See Form; `Grid`."""

    kind: ClassVar[type] = Grid
    whole: ClassVar[bool] = False

    def refuse(self, output: Grid, images: Tensor, classes: int) -> None:
        """See Form."""
        cells = [-(-side // output.stride) for side in images.shape[-2:]]
        refuse_shape(
            output.map,
            (len(images), 5 * output.boxes + classes, *cells),
            f"5 numbers for each of {output.boxes} boxes and {classes} probabilities of a cell of {output.stride} x "
            f"{output.stride} pixels",
        )

    def extent(self, output: Grid) -> tuple[int, int]:
        """See Form."""
        rows, columns = output.map.shape[-2:]
        return rows * output.stride, columns * output.stride

    def loss(self, output: Grid, batch: Batch, classes: int, edges: float) -> Loss:
        """See Form; divided by the number of objects that a cell answers for, one at least an image."""
        made = in_single(output.map)
        size = made.shape[-2], made.shape[-1]
        targets = [assign_cells(o.to(made.dtype), size, output.stride) for o in batch.targets]
        boxes, confident, heat = grid_losses(
            made.flatten(2), targets, boxes=output.boxes, stride=output.stride, columns=size[1]
        )
        count = sum(max(len(t.cells), 1) for t in targets)
        each = len(targets) / count  # parts are shown over the number of images
        parts = {"heat": heat, "edges": boxes, "confident": confident}
        return Loss(
            edges * boxes + confident + heat,
            count,
            {k: v.detach() * each for k, v in parts.items()},
        )

    def decode(
        self, output: Grid, classes: int, size: tuple[int, int] | None = None, *, least: float = LEAST
    ) -> list[Objects]:  # fmt: skip
        """See Form."""
        made, size = output.map.float().cpu(), size or self.extent(output)
        objects = []
        for one in made:
            found = Candidates()
            gather(found, one, output, least)
            objects.append(found.objects(size, SAME))
        return objects

    def spots(
        self, output: Grid, classes: int, size: tuple[int, int]
    ) -> tuple[Objects, list[Spot]]:  # fmt: skip
        """See Form."""
        found = Candidates()
        gather(found, output.map[0].float().cpu(), output, LEAST)
        objects, places = found.chosen(size, SAME)
        return objects, [
            Spot(0, k, r, c, output.stride, which) for k, which, r, c in places.tolist()
        ]

    def nearest(
        self, output: Grid, classes: int, label: int | None, point: tuple[float, float] | None
    ) -> Spot:
        """See Form."""
        scores = scores_of(output.map[0].float(), output.boxes)
        spot = best_of([scores.amax(0)], (output.stride,), label, point)
        return replace(spot, which=int(scores[:, spot.label, spot.row, spot.column].argmax()))

    def read(self, output: Grid, classes: int, spot: Spot) -> Tensor:
        """See Form; the raw score is the class's probability times the confidence of the cell's box."""
        cell = output.map[:, :, spot.row, spot.column]
        x, y, w, h, confident = cell[:, 5 * spot.which : 5 * spot.which + 5].unbind(1)
        raw = confident * cell[:, 5 * output.boxes + spot.label]
        across, down = (x - 0.5) * output.stride, (y - 0.5) * output.stride
        wide, high = (v**2 * (SPAN * output.stride / 2) for v in (w, h))
        return torch.stack([raw, raw.clamp(0, 1), wide - across, high - down, wide + across, high + down], 1)  # fmt: skip

    def sight(self, output: Grid, fields: Sequence[int | None]) -> Sight:
        """See Form."""
        return Sight(
            ((output.stride, fields[0], math.inf),),
            lambda images: sharing_a_cell(images, output.stride),
            "sharing a cell",
            "have their centre in the cell of another one",
            "A cell answers for one object.",
        )

    def tile(
        self, job: TileJob, output: Grid, classes: int, *, least: float = LEAST
    ) -> tuple[Objects, Certificate]:  # fmt: skip
        """See Form; of each piece of the map the likely boxes are kept, and the best of all chosen at the end."""
        found = Candidates()

        def take(place: int, box: Box, piece: Tensor) -> None:
            (top, _), (left, _) = box  # type: ignore[misc]
            part = piece.reshape(-1, *piece.shape[-2:]).float().cpu()
            gather(found, part, output, least, top, left)

        _, certificate = job.run(take=take)
        height, width = job.image.shape[1:]
        return found.objects((height, width), SAME), certificate


def scores_of(piece: Tensor, boxes: int) -> Tensor:
    """The scores (B, K, h, w) of a map (C, h, w) of `boxes` B a cell: confidence times probability; paper, equation 1."""
    confident = piece[: 5 * boxes].unflatten(0, (boxes, 5))[:, 4]
    return (confident.clamp(0, 1)[:, None] * piece[5 * boxes :].clamp(0, 1)[None]).contiguous()


def gather(
    found: Candidates, piece: Tensor, output: Grid, least: float, top: int = 0, left: int = 0
) -> None:
    """Add the boxes of a piece (C, h, w) of a map whose first cell is (top, left)."""
    scores = scores_of(piece, output.boxes)
    which, k, r, c = torch.nonzero(scores >= least, as_tuple=True)
    numbers = piece[: 5 * output.boxes].unflatten(0, (output.boxes, 5))[which, :, r, c].double()
    corner = torch.stack([c + left, r + top], 1).double()
    boxes = boxes_in_cells(numbers, corner, output.stride)
    found.add(k, scores[which, k, r, c], boxes, which, r + top, c + left)


def sharing_a_cell(images: Sequence[Objects], stride: int) -> int:
    """How many objects have their centre in the cell of another one of their image."""
    count = 0
    for objects in images:
        cells = np.floor((objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2 / stride)
        count += len(cells) - len(np.unique(cells, axis=0))
    return count
