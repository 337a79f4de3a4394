"""Frame: images at the size at which a detector sees them, and their objects carried there and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from striate.data.preprocessing import Preprocessing
from striate.tasks.detect.data.source import BoxSplit
from striate.tasks.detect.objects import Objects


def scales_of(size: Any, preprocessing: Preprocessing) -> tuple[float, float]:
    """How many pixels of the network's image one of an image (height, width) becomes, down and across.

    The two differ by the rounding to whole pixels, so that boxes come back to where they were.
    """
    height, width = int(size[0]), int(size[1])
    rows, columns = preprocessing.frame(height, width)
    return rows / height, columns / width


def seen(objects: Objects, size: Any, preprocessing: Preprocessing) -> Objects:
    """The objects of an image (height, width) in pixels of what the network sees of it."""
    return _scaled(objects, *scales_of(size, preprocessing))


def original(objects: Objects, size: Any, preprocessing: Preprocessing) -> Objects:
    """Objects in pixels of what the network sees, in those of the image (height, width) itself."""
    down, across = scales_of(size, preprocessing)
    return _scaled(objects, 1 / down, 1 / across)


def _scaled(objects: Objects, down: float, across: float) -> Objects:
    if (down, across) == (1.0, 1.0):
        return objects
    regions = objects.regions
    return Objects(
        objects.boxes * [across, down, across, down], objects.labels, objects.crowd, objects.scores,
        None if regions is None else tuple(region.scaled(down, across) for region in regions),
    )  # fmt: skip


def framed(split: BoxSplit, preprocessing: Preprocessing) -> BoxSplit:
    """A split as the network sees it: its images resized, its objects moved along; itself where nothing is resized."""
    if preprocessing == preprocessing.unframed:
        return split
    sizes = [preprocessing.frame(*size) for size in split.sizes.tolist()]
    return FramedSplit(
        keys=split.keys,
        sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2),
        channels=split.channels,
        low=split.low,
        high=split.high,
        deep=split.deep,
        missing=split.missing,
        objects=tuple(
            seen(objects, size, preprocessing)
            for objects, size in zip(split.objects, split.sizes.tolist(), strict=True)
        ),
        split=split,
        frame=preprocessing,
    )


@dataclass(frozen=True, eq=False)
class FramedSplit(BoxSplit):
    """A split whose images are resized to the frame of `frame`; sizes and objects are those of the resized images."""

    split: BoxSplit = field(repr=False)
    frame: Preprocessing = field(repr=False)

    def image(self, index: int) -> np.ndarray:
        return self.frame.colours(self.split.image(index)).transpose(1, 2, 0)

    def preprocess(self, index: int, preprocessing: Preprocessing) -> np.ndarray:
        """See BoxSplit; images are resized already."""
        return preprocessing.unframed.colours(self.image(index))

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        return super()._taken(at) | {"split": self.split.take(at), "frame": self.frame}
