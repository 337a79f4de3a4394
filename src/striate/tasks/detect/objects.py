"""Objects: the boxes, classes and regions of one image, annotated or predicted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from striate.errors import DataError


@dataclass(frozen=True, eq=False)
class Region:
    """The pixels of one object, as run lengths inside its box: ten thousand of a slide fit into memory.

    top, left, height, width: of the box, in pixels of the image. runs: (R,) uint32 lengths of runs in row-major order,
    pixels outside first; they add up to height * width.
    """

    top: int
    left: int
    height: int
    width: int
    runs: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, top: int = 0, left: int = 0) -> Region:
        """From a mask (H, W) bool whose first pixel lies at (top, left); the box shrinks to what is set.

        Raises DataError for a mask without a pixel.
        """
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            raise DataError("a region needs a pixel; leave an object without any out")
        inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        flat = np.concatenate([[False], inside.ravel(), [not inside.ravel()[-1]]])
        ends = np.flatnonzero(flat[1:] != flat[:-1])
        runs = np.diff(np.concatenate([[0], ends])).astype(np.uint32)
        height, width = inside.shape
        return cls(top + int(rows[0]), left + int(columns[0]), height, width, runs)

    @property
    def mask(self) -> np.ndarray:
        """(height, width) bool, of the box alone."""
        values = np.arange(len(self.runs)) % 2 == 1
        return np.repeat(values, self.runs).reshape(self.height, self.width)

    def scaled(self, down: float, across: float) -> Region:
        """The region in an image that is so many times as high and as wide: pixels whose middle was in it, one at least."""
        (top, rows), (left, columns) = (
            _sampled(start, length, by)
            for start, length, by in (
                (self.top, self.height, down),
                (self.left, self.width, across),
            )
        )
        made = self.mask[rows][:, columns]
        if not made.any():  # too thin for any middle to lie in it
            made[len(rows) // 2, len(columns) // 2] = True
        return Region.of(made, top, left)

    @property
    def area(self) -> int:
        """Pixels."""
        return int(self.runs[1::2].sum())

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.left + self.width, self.top + self.height

    def full(self, height: int, width: int) -> np.ndarray:
        """(height, width) bool, of a whole image; what lies outside it is cut off."""
        page = np.zeros((height, width), dtype=bool)
        top, left = max(self.top, 0), max(self.left, 0)
        bottom, right = min(self.top + self.height, height), min(self.left + self.width, width)
        if top < bottom and left < right:
            page[top:bottom, left:right] = self.mask[
                top - self.top : bottom - self.top, left - self.left : right - self.left
            ]
        return page


def _sampled(start: int, length: int, by: float) -> tuple[int, np.ndarray]:
    """Of pixels [start, start + length) of an axis that becomes `by` times as long: the first new pixel over them, and which
    of the old ones, from 0, lies under the middle of each new one."""
    first = math.floor(start * by)
    last = max(math.ceil((start + length) * by), first + 1)
    under = np.floor((np.arange(first, last) + 0.5) / by).astype(np.int64) - start
    inside = (under >= 0) & (under < length)
    if not inside.any():
        return first, np.array([length // 2])
    at = np.flatnonzero(inside)
    return first + int(at[0]), under[at]


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one image, annotated or predicted.

    boxes: (n, 4) float64, left, top, right, bottom in pixels of the upright image; a pixel's area is [x, x + 1).
    labels: (n,) int64, index into the classes. crowd: (n,) bool, a group that is not told apart: neither missed nor
    invented (COCO's iscrowd, VOC's difficult). scores: (n,) float64 in [0, 1] of predictions, best first; None of
    annotations. regions: one an object, or None where only boxes are known.
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    scores: np.ndarray | None = None
    regions: tuple[Region, ...] | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        boxes: Sequence[Sequence[float]] | np.ndarray,
        labels: Sequence[int] | np.ndarray,
        *,
        crowd: Sequence[bool] | np.ndarray | None = None,
        scores: Sequence[float] | np.ndarray | None = None,
        regions: Sequence[Region] | None = None,
    ) -> Objects:
        """From boxes (n, 4) and labels (n,), which may be empty lists."""
        corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        n = len(corners)
        return cls(
            corners,
            np.asarray(labels, dtype=np.int64).reshape(n),
            np.zeros(n, dtype=bool) if crowd is None else np.asarray(crowd, dtype=bool).reshape(n),
            None if scores is None else np.asarray(scores, dtype=np.float64).reshape(n),
            None if regions is None else tuple(regions),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def sides(self) -> np.ndarray:
        """(n, 2) width and height in pixels."""
        sides: np.ndarray = self.boxes[:, 2:] - self.boxes[:, :2]
        return sides

    @property
    def areas(self) -> np.ndarray:
        """(n,) pixels: of the regions where these are known, else of the boxes."""
        if self.regions is not None:
            return np.array([region.area for region in self.regions], dtype=np.float64)
        areas: np.ndarray = self.sides.prod(1)
        return areas

    def sure(self, least: float) -> Self:
        """Those of the predicted objects with a score of `least` and more."""
        assert self.scores is not None, "predictions have scores"
        return self.take(self.scores >= least)

    def take(self, at: np.ndarray | Sequence[int]) -> Self:
        """Some of the objects, by index or by a mask (n,) bool."""
        chosen = np.asarray(at)
        index = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        return replace(
            self,
            boxes=self.boxes[index],
            labels=self.labels[index],
            crowd=self.crowd[index],
            scores=None if self.scores is None else self.scores[index],
            regions=None if self.regions is None else tuple(self.regions[i] for i in index),
        )
