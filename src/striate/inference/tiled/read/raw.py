"""Raw files: an array in row-major order somewhere in a file, read and written box by box without mapping it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path

import numpy as np

from striate.errors import GeometryError

Interval = tuple[int, int]


class RawArray:
    """An array of `shape` and `dtype` that begins at `offset` of a file.

    A memory map would count towards the process's memory until the kernel takes its pages back; reads and writes at an
    offset do not.
    """

    def __init__(
        self,
        path: Path,
        offset: int,
        shape: tuple[int, ...],
        dtype: np.dtype,
        *,
        write: bool = False,
    ) -> None:
        self.path, self.offset, self.shape, self.dtype = path, offset, shape, np.dtype(dtype)
        self.file = os.open(path, os.O_RDWR if write else os.O_RDONLY)
        size = offset + prod(shape) * self.dtype.itemsize
        if os.fstat(self.file).st_size < size:
            os.close(self.file)
            raise GeometryError(
                f"{path} is cut short: {os.path.getsize(path):,} bytes of {size:,}; copy it again from where it came"
            )

    def close(self) -> None:
        """Close the file."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def __del__(self) -> None:
        if getattr(self, "file", -1) >= 0:
            self.close()

    def read(self, box: tuple[Interval, ...]) -> np.ndarray:
        """The box, one interval a dimension."""
        sides = [b - a for a, b in box]
        out = np.empty(sides, self.dtype)
        flat = out.reshape(-1).view(np.uint8)
        at = 0
        for place, count in self._runs(box):
            view = memoryview(flat)[at : at + count]  # type: ignore[arg-type]
            done = 0
            while done < count:
                got = os.preadv(self.file, [view[done:]], place + done)
                if not got:
                    raise GeometryError(f"{self.path} became shorter while it was read")
                done += got
            at += count
        return out

    def write(self, box: tuple[Interval, ...], values: np.ndarray) -> None:
        """Write values over the box."""
        flat = np.ascontiguousarray(values, self.dtype).reshape(-1).view(np.uint8)
        at = 0
        for place, count in self._runs(box):
            view = memoryview(flat)[at : at + count]  # type: ignore[arg-type]
            done = 0
            while done < count:
                done += os.pwrite(self.file, view[done:], place + done)
            at += count

    def _runs(self, box: tuple[Interval, ...]) -> Iterator[tuple[int, int]]:
        """Offset and bytes of each stretch of the box that is one piece of the file, in the box's order."""
        strides = [prod(self.shape[d + 1 :]) for d in range(len(self.shape))]
        last = len(self.shape) - 1
        while last > 0 and box[last] == (0, self.shape[last]):
            last -= 1
        length = (box[last][1] - box[last][0]) * strides[last] * self.dtype.itemsize
        if length <= 0:
            return
        for places in product(*[range(*side) for side in box[:last]]):
            start = sum(p * s for p, s in zip(places, strides, strict=False))
            start += box[last][0] * strides[last]
            yield self.offset + start * self.dtype.itemsize, length
