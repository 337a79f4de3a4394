"""Centers: one map, the peaks of whose heat maps are objects (CenterNet)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from striate.answer import answer_of
from striate.inference.tiled import Certificate
from striate.tasks.detect.forms.form import Spot
from striate.tasks.detect.forms.nearest import best_of
from striate.tasks.detect.loss import CenterLoss
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.peaks import LEAST, STRIDE, large_peaks, peaks, peaks_with_cells
from striate.tasks.detect.reach import Sight, given_up
from striate.tasks.task import refuse_shape
from striate.tasks.tiling import TileJob
from striate.training.batch import Batch, Loss

SHARED = (
    "lie so close to another one of their class that both share a peak",
    "Of objects of a class whose centres lie in touching cells, one is found.",
)


FEW = 500  # objects of an image that are compared two by two


class Centers:
    """See Form; (N, K + 4, ceil(H / 4), ceil(W / 4)), see `striate.models.centernet.Head`."""

    kind: ClassVar[type] = Tensor
    whole: ClassVar[bool] = False

    def refuse(self, output: Any, images: Tensor, classes: int) -> None:
        """See Form."""
        cells = [-(-side // STRIDE) for side in images.shape[-2:]]
        refuse_shape(
            answer_of(output),
            (len(images), classes + 4, *cells),
            f"{classes} scores and 4 distances a cell of {STRIDE} x {STRIDE} pixels",
        )

    def extent(self, output: Any) -> tuple[int, int]:
        """See Form."""
        rows, columns = answer_of(output).shape[-2:]
        return rows * STRIDE, columns * STRIDE

    def loss(self, output: Any, batch: Batch, classes: int, edges: float) -> Loss:
        """See Form."""
        return CenterLoss(classes, STRIDE, edges)(output, batch)

    def decode(
        self, output: Any, classes: int, size: tuple[int, int] | None = None, *, least: float = LEAST
    ) -> list[Objects]:  # fmt: skip
        """See Form."""
        maps = answer_of(output).float().cpu()
        size = size or self.extent(maps)
        return [peaks(one, classes, STRIDE, size=size, least=least) for one in maps]

    def spots(
        self, output: Any, classes: int, size: tuple[int, int]
    ) -> tuple[Objects, list[Spot]]:  # fmt: skip
        """See Form."""
        maps = answer_of(output)[0].float().cpu()
        objects, cells = peaks_with_cells(maps, classes, STRIDE, size=size)
        return objects, [Spot(0, k, row, column, STRIDE) for k, row, column in cells.tolist()]

    def nearest(
        self, output: Any, classes: int, label: int | None, point: tuple[float, float] | None
    ) -> Spot:
        """See Form."""
        heat = answer_of(output)[0, :classes].float()
        return best_of([heat], (STRIDE,), label, point)

    def read(self, output: Any, classes: int, spot: Spot) -> Tensor:
        """See Form."""
        cell = answer_of(output)[:, :, spot.row, spot.column]
        raw = cell[:, spot.label : spot.label + 1]
        return torch.cat([raw, raw.sigmoid(), cell[:, classes : classes + 4]], 1)

    def sight(self, output: Any, fields: Sequence[int | None]) -> Sight:
        """See Form."""
        return Sight(((STRIDE, fields[0], math.inf),), sharing_a_peak, "sharing a peak", *SHARED)

    def tile(
        self, job: TileJob, output: Any, classes: int, *, least: float = LEAST
    ) -> tuple[Objects, Certificate]:  # fmt: skip
        """See Form; tiles give the map of the whole image, kept on the disk, and only then are peaks taken."""
        height, width = job.image.shape[1:]
        with map_on_disk(job) as (cells, certificate):
            objects = large_peaks(cells, classes, STRIDE, size=(height, width), least=least)
        return objects, certificate


@contextmanager
def map_on_disk(job: TileJob) -> Iterator[tuple[np.ndarray, Certificate]]:
    """The one map (C, h, w) that the network gives for the whole image, tile by tile, kept on the disk for as long."""
    with TemporaryDirectory(prefix="striate-") as folder:
        path = Path(folder) / "map.npy"
        _, certificate = job.run(out=path)
        made = np.load(path, mmap_mode="r")
        yield made.reshape(-1, *made.shape[-3:])[0] if made.ndim == 4 else made, certificate
        del made


def sharing_a_peak(images: Sequence[Objects]) -> int:
    """How many objects cannot be found where their centre is: a cell is a peak where none of the eight around is higher."""
    count = 0
    for objects in images:
        cells = np.floor((objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2 / STRIDE).astype(int)
        # Of most classes of most images no two touch, which is seen at a glance.
        if len(cells) < FEW:
            near = (np.abs(cells[:, None] - cells[None]) <= 1).all(2)
            touching = (near & (objects.labels[:, None] == objects.labels[None])).sum(1) > 1
            cells, labels = cells[touching], objects.labels[touching]
        else:
            labels = objects.labels
        count += sum(given_up(cells[labels == k]) for k in np.unique(labels))
    return count
