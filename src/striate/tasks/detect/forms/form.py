"""Form: what a kind of detector is learned by and how its output is read. All else of the task asks one for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import Tensor

from striate.inference.tiled import Certificate
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.peaks import LEAST
from striate.tasks.detect.reach import Sight
from striate.tasks.tiling import TileJob
from striate.training.batch import Batch, Loss


@dataclass(frozen=True)
class Spot:
    """Where a network says something of one object.

    map: place among the tensors of its output of the map that it stands in, None where it has no one cell. label: the
    object's class. row, column: of the cell, or of the first of `tall` x `wide` cells. stride: pixels between two cells.
    which: of the boxes of a cell, or of the queries. region: (left, top, right, bottom) in pixels of a region that is looked
    at again, from those cells.
    """

    map: int | None
    label: int
    row: int = 0
    column: int = 0
    stride: int = 1
    which: int = 0
    region: tuple[float, ...] = ()
    tall: int = 1
    wide: int = 1

    @property
    def middle(self) -> np.ndarray:
        """(x, y) from which the distances to its edges count, in pixels: the middle of the cell, or of the region."""
        if self.region:
            left, top, right, bottom = self.region
            return np.array([(left + right) / 2, (top + bottom) / 2])
        return np.array([self.column + 0.5, self.row + 0.5]) * self.stride

    def moved(self, top: int, left: int) -> Spot:
        """The same in a part of the image that begins at a multiple of all strides."""
        return replace(
            self, row=self.row - top // self.stride, column=self.column - left // self.stride,
            region=tuple(v - away for v, away in zip(self.region, (left, top, left, top), strict=False)),
        )  # fmt: skip


Forms = Callable[[Any], "Form"]
"""Which form an output has."""


class Form(Protocol):
    """One kind of detector, by what its network gives for N images; it has no state.

    The output of one image is that of N = 1. classes: K, their number.
    """

    kind: ClassVar[type]
    """Of the network's output."""

    whole: ClassVar[bool]
    """Whether all that it gives hangs on the whole image, so that a large one goes through at once and not by tiles."""

    def refuse(self, output: Any, images: Tensor, classes: int) -> None:
        """Raise UsageError where an output for images (N, C, H, W) has another shape than this kind has."""

    def extent(self, output: Any) -> tuple[int, int]:
        """(height, width) in pixels of what the cells of an output cover: the images' size, rounded up to whole cells."""

    def loss(self, output: Any, batch: Batch, classes: int, edges: float) -> Loss:
        """What a training makes small: a sum over objects, and their number, which add up over micro-batches.

        The batch's targets are N tensors (n, 6): left, top, right, bottom in pixels, class, crowd. edges: weight of the
        boxes beside the scores.
        """

    def decode(
        self, output: Any, classes: int, size: tuple[int, int] | None = None, *, least: float = LEAST
    ) -> list[Objects]:  # fmt: skip
        """The objects of N images, best first. size: (height, width) at which boxes are cut, the map's own if None."""

    def spots(
        self, output: Any, classes: int, size: tuple[int, int]
    ) -> tuple[Objects, list[Spot]]:  # fmt: skip
        """As `decode` of the first image, and where each object was read."""

    def nearest(
        self, output: Any, classes: int, label: int | None, point: tuple[float, float] | None
    ) -> Spot:
        """Where the first image comes closest to an object: of a class, over a point (x, y) in pixels, as far as given."""

    def read(self, output: Any, classes: int, spot: Spot) -> Tensor:
        """(N, 6) of each image, with gradients: an object's raw score, its score in [0, 1], and the distances in pixels from
        the spot's middle to the left, top, right and bottom edge.
        """

    def sight(self, output: Any, fields: Sequence[int | None]) -> Sight:
        """What limits this kind before it learns. fields: pixels that a cell of each of the output's maps sees."""

    def tile(
        self, job: TileJob, output: Any, classes: int, *, least: float = LEAST
    ) -> tuple[Objects, Certificate]:  # fmt: skip
        """The objects of an image of any size, equal to those of the whole image, whatever the tiles.

        output: of the network for any image, which says what it consists of.
        """
