"""Picture: an image file that is open, of which any region can be read."""

from __future__ import annotations

from typing import Protocol

import numpy as np

Side = tuple[int, int]  # from, to (exclusive), in pixels


class Picture(Protocol):
    """An open image, upright, its colours as every command takes them.

    shape: (H, W, C). colours: the first 1 (grey) or 3 (RGB) of the channels, or 0 where the file holds bands that are no
    colours. dtype: uint8, uint16 or float32. format: "TIFF", "PNG", ... pages: how many images the file holds; page: the
    one that is read, from 0. held: bytes that stay in memory while it is read.
    """

    shape: tuple[int, int, int]
    colours: int
    dtype: np.dtype
    format: str
    pages: int
    page: int
    held: int

    def read(self, rows: Side, columns: Side) -> np.ndarray:
        """The region (rows, columns, C). Raises DataError with the bare reason where it cannot be decoded."""
        ...

    def close(self) -> None:
        """Nothing more will be read."""
        ...
