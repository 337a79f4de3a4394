"""Levels: maps of several resolutions whose cells each give a box, the best of which stay (FCOS)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from striate.answer import in_single
from striate.errors import UsageError
from striate.geometry import Box
from striate.inference.tiled import Certificate
from striate.models import Levels
from striate.tasks.detect.candidates import Candidates
from striate.tasks.detect.forms.form import Spot
from striate.tasks.detect.forms.nearest import best_of
from striate.tasks.detect.level_targets import (
    LARGEST,
    answering,
    assign_levels,
    level_losses,
    middles_of,
)
from striate.tasks.detect.loss import boxes_of
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.peaks import LEAST
from striate.tasks.detect.reach import Sight, overlapped
from striate.tasks.task import refuse_shape
from striate.tasks.tiling import TileJob
from striate.training.batch import Batch, Loss

SAME = 0.6  # IoU with a better box of its class above which a box is not listed; FCOS's


class LevelForm:
    """See Form; `Levels`."""

    kind: ClassVar[type] = Levels
    whole: ClassVar[bool] = False

    def refuse(self, output: Levels, images: Tensor, classes: int) -> None:
        """See Form."""
        if not output.maps or len(output.maps) != len(output.strides):
            raise UsageError(
                f"the network gives {len(output.maps)} maps and {len(output.strides)} strides; give a stride for each map"
            )
        for made, stride in zip(output.maps, output.strides, strict=True):
            cells = [-(-side // stride) for side in images.shape[-2:]]
            refuse_shape(
                made,
                (len(images), classes + 5, *cells),
                f"{classes} scores, 4 distances and the centre-ness of a cell of {stride} x {stride} pixels",
            )

    def extent(self, output: Levels) -> tuple[int, int]:
        """See Form."""
        rows, columns = output.maps[0].shape[-2:]
        return rows * output.strides[0], columns * output.strides[0]

    def loss(self, output: Levels, batch: Batch, classes: int, edges: float) -> Loss:
        """See Form; divided by the number of cells that answer for an object, one at least an image."""
        maps = [in_single(m) for m in output.maps]
        sizes = [(m.shape[-2], m.shape[-1]) for m in maps]
        flat = torch.cat([m.flatten(2) for m in maps], 2)
        objects = [target.to(flat.dtype) for target in batch.targets]
        targets = assign_levels(objects, output.strides, sizes)
        centres = middles_of(output.strides, sizes, flat)
        heat, boxes, centred = level_losses(flat, centres, targets, classes)
        each = len(objects) / targets.count  # parts are shown over the number of images
        parts = {"heat": heat, "edges": boxes, "centred": centred}
        return Loss(
            heat + edges * boxes + centred,
            targets.count,
            {k: v.detach() * each for k, v in parts.items()},
        )

    def decode(
        self, output: Levels, classes: int, size: tuple[int, int] | None = None, *, least: float = LEAST
    ) -> list[Objects]:  # fmt: skip
        """See Form."""
        maps = [m.float().cpu() for m in output.maps]
        size = size or self.extent(output)
        made = []
        for i in range(len(maps[0])):
            found = Candidates()
            for level, (m, stride) in enumerate(zip(maps, output.strides, strict=True)):
                gather(found, m[i], level, stride, classes, least)
            made.append(found.objects(size, SAME))
        return made

    def spots(
        self, output: Levels, classes: int, size: tuple[int, int]
    ) -> tuple[Objects, list[Spot]]:  # fmt: skip
        """See Form."""
        found = Candidates()
        for level, (m, stride) in enumerate(zip(output.maps, output.strides, strict=True)):
            gather(found, m[0].float().cpu(), level, stride, classes, LEAST)
        objects, places = found.chosen(size, SAME)
        return objects, [Spot(m, k, r, c, output.strides[m]) for k, m, r, c in places.tolist()]

    def nearest(
        self, output: Levels, classes: int, label: int | None, point: tuple[float, float] | None
    ) -> Spot:
        """See Form."""
        scores = [scores_of(m[0].float(), classes) for m in output.maps]
        return best_of(scores, output.strides, label, point)

    def read(self, output: Levels, classes: int, spot: Spot) -> Tensor:
        """See Form; the raw score is the logit of the class."""
        assert spot.map is not None
        cell = output.maps[spot.map][:, :, spot.row, spot.column]
        raw, centred = cell[:, spot.label : spot.label + 1], cell[:, classes + 4 :]
        score = (raw.sigmoid() * centred.sigmoid()).sqrt()
        return torch.cat([raw, score, cell[:, classes : classes + 4]], 1)

    def sight(self, output: Levels, fields: Sequence[int | None]) -> Sight:
        """See Form."""
        strides = tuple(output.strides)
        longest = [2.0 * LARGEST * stride for stride in strides]
        longest[-1] = math.inf
        levels = tuple(zip(strides, fields, longest, strict=True))
        return Sight(
            levels,
            lambda images: lost(images, strides),
            "without a cell, or overlapped",
            f"have no cell of their own, or overlap another one of their class by more than {SAME:.0%}",
            "An object needs the middle of a cell near its centre, which no smaller object wants; of objects of a class "
            f"that overlap by more than {SAME:.0%}, one is listed.",
        )

    def tile(
        self, job: TileJob, output: Levels, classes: int, *, least: float = LEAST
    ) -> tuple[Objects, Certificate]:  # fmt: skip
        """See Form; of each piece of a map the boxes with any likelihood are kept, and the best of all chosen at the end."""
        found, strides = Candidates(), output.strides

        def take(place: int, box: Box, piece: Tensor) -> None:
            (top, _), (left, _) = box  # type: ignore[misc]
            part = piece.reshape(-1, *piece.shape[-2:]).float().cpu()
            gather(found, part, place, strides[place], classes, least, top, left)

        _, certificate = job.run(take=take)
        height, width = job.image.shape[1:]
        return found.objects((height, width), SAME), certificate


def gather(
    found: Candidates, piece: Tensor, level: int, stride: int, classes: int, least: float, top: int = 0, left: int = 0
) -> None:  # fmt: skip
    """Add the boxes of a piece (K + 5, rows, columns) of a level's map whose first cell is (top, left)."""
    scores = scores_of(piece, classes)
    k, r, c = torch.nonzero(scores >= least, as_tuple=True)
    # In double precision: at 20,000 pixels float32 is exact to a thousandth of a pixel only.
    middles = (torch.stack([c + left, r + top], 1).double() + 0.5) * stride
    boxes = boxes_of(middles, piece[classes : classes + 4, r, c].T.double())
    found.add(k, scores[k, r, c], boxes, level, r + top, c + left)


def scores_of(piece: Tensor, classes: int) -> Tensor:
    """The scores (K, h, w) of a map (K + 5, h, w): the geometric mean of what class and centre-ness say."""
    return (piece[:classes].sigmoid() * piece[classes + 4].sigmoid()).sqrt()


def lost(images: Sequence[Objects], strides: Sequence[int]) -> int:
    """How many objects cannot be listed at best: those without a cell, and those that overlap another of their class."""
    boxes = torch.from_numpy(np.concatenate([objects.boxes for objects in images]))
    image = np.repeat(np.arange(len(images)), [len(objects) for objects in images])
    which, *_ = answering(boxes, torch.from_numpy(image), strides)
    seen = np.zeros(len(image), dtype=bool)
    seen[which.numpy()] = True
    parts = np.split(seen, np.cumsum([len(objects) for objects in images])[:-1])
    listed = [objects.take(part) for objects, part in zip(images, parts, strict=True)]
    return int((~seen).sum()) + overlapped(listed, SAME)
