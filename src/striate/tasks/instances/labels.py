"""Label images: the number of its object in every pixel, as other tools read them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from striate.tasks.detect.objects import Objects, Region
from striate.tasks.instances.prediction import InstancePrediction
from striate.writing import writing

MOST = 65_535  # objects of an image of 16 bits
SIDE = 512  # pixels of a tile of a large label image


def label_image(objects: Objects, height: int, width: int) -> np.ndarray:
    """(height, width) uint16: in every pixel the number of the object that has it, from 1, 0 for none.

    objects: with no pixel in two of them, see `apart`; at most 65,535 are numbered.
    """
    numbers = range(1, min(len(objects), MOST) + 1)
    return _painted(objects.regions or (), numbers, (0, 0, height, width), np.dtype(np.uint16))


def labels_of(image: np.ndarray, made: InstancePrediction) -> bytes:
    """The label image of a prediction as a grey PNG of 16 bits. image: (H, W, C), which is not needed."""
    buffer = io.BytesIO()
    Image.fromarray(label_image(made.shown, *made.size)).save(buffer, "PNG")
    return buffer.getvalue()


def write_labels(path: Path, made: InstancePrediction) -> None:
    """Write the label image of a prediction of any size as a compressed TIFF, tile by tile; 32 bits where 16 are too few."""
    import tifffile

    kind = np.dtype(np.uint16 if len(made.shown) <= MOST else np.uint32)
    with writing(path, durable=False) as file:
        tifffile.imwrite(
            _Nameless(file), _tiles(made.shown, made.size, kind), shape=made.size, dtype=kind, tile=(SIDE, SIDE),
            compression="zlib", photometric="minisblack", bigtiff=made.size[0] * made.size[1] * kind.itemsize > 2**31,
        )  # fmt: skip


class _Nameless:
    """A file without a name: tifffile takes no number for one."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def __getattr__(self, name: str) -> Any:
        if name == "name":
            raise AttributeError(name)
        return getattr(self.file, name)


def _tiles(objects: Objects, size: tuple[int, int], kind: np.dtype) -> Iterator[np.ndarray]:
    """The tiles (SIDE, SIDE) of a label image, row by row; the last are cut off."""
    regions, boxes = objects.regions or (), objects.boxes
    for top in range(0, size[0], SIDE):
        for left in range(0, size[1], SIDE):
            inside = (boxes[:, :2] < [left + SIDE, top + SIDE]).all(1)
            inside &= (boxes[:, 2:] > [left, top]).all(1)
            at = np.flatnonzero(inside).tolist()
            box = top, left, SIDE, SIDE
            yield _painted([regions[i] for i in at], [i + 1 for i in at], box, kind)


def _painted(
    regions: Sequence[Region],
    numbers: Sequence[int],
    box: tuple[int, int, int, int],
    kind: np.dtype,
) -> np.ndarray:
    """(height, width) of a box (top, left, height, width) of an image: the number of the region that has each pixel."""
    top, left, height, width = box
    page = np.zeros((height, width), dtype=kind)
    for region, number in zip(regions, numbers, strict=False):
        first, last = max(region.top, top), min(region.top + region.height, top + height)
        start, stop = max(region.left, left), min(region.left + region.width, left + width)
        part = page[first - top : last - top, start - left : stop - left]
        mask = region.mask[
            first - region.top : last - region.top, start - region.left : stop - region.left
        ]
        part[mask] = number
    return page
