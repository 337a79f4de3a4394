"""What every decoder does: refuse bombs, lay transparency on white, turn upright."""

from __future__ import annotations

import numpy as np

from striate.errors import DataError

MAX_PIXELS = 100_000_000  # 300 MB as RGB; a 30,000 x 30,000 image has 900 million
BEYOND = 1e38  # nothing that is measured is as large

# EXIF orientation -> (transpose, flip vertically, flip horizontally). Exif 2.32, tag 0x0112.
_ORIENT = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def refuse_bomb(height: int, width: int, max_pixels: int) -> None:
    """Raise DataError if a header promises more pixels than allowed, before anything is decoded."""
    if height < 1 or width < 1:
        raise DataError(f"its header says {width} x {height} pixels")
    if height * width > max_pixels:
        raise DataError(
            f"it is {width} x {height} = {_words(height * width)} pixels, more than the "
            f"{_words(max_pixels)} allowed; make it smaller or cut it into parts"
        )


def refuse_bytes(needed: int, max_bytes: int | None) -> None:
    """Raise DataError if decoding a file would take more memory than allowed, before anything is decoded."""
    if max_bytes is not None and needed > max_bytes:
        raise DataError(
            f"decoding it takes {needed / 1e6:,.0f} MB, and {max_bytes / 1e6:,.0f} MB may be used; allow more "
            "(--memory), or save it as a tiled TIFF, of which only the tiles that are needed are read"
        )


def _words(number: int) -> str:
    return f"{number / 1e6:,.0f} million" if number >= 10**6 else f"{number:,}"


def flatten_alpha(pixels: np.ndarray, *, keep: bool, premultiplied: bool = False) -> np.ndarray:
    """Lay (H, W, C), the last of 2 or 4 channels alpha, on white; RGBA if `keep`.

    Floating pixels know no white: those that are wholly transparent become NaN, no data.
    """
    channels = pixels.shape[-1]
    if channels in (1, 3):
        return pixels
    if keep:
        return pixels if channels == 4 else pixels[..., [0, 0, 0, 1]]
    if pixels.dtype.kind == "f":
        return np.where(pixels[..., -1:] > 0, pixels[..., :-1], np.float32(np.nan))
    white = int(np.iinfo(pixels.dtype).max)
    colour, opacity = pixels[..., :-1].astype(np.uint64), pixels[..., -1:].astype(np.uint64)
    if premultiplied:
        laid = np.minimum(colour + (white - opacity), white)
    else:
        laid = (colour * opacity + white * (white - opacity) + white // 2) // white
    return laid.astype(pixels.dtype)


def numbers(values: np.ndarray) -> np.ndarray:
    """Values as float32, NaN where there is no number: NaN, infinite, or beyond 1e38, which writers of floats put where
    they have no data (-3.4e38 is the least float32).
    """
    with np.errstate(over="ignore"):  # a float64 too large for float32 becomes infinite
        values = values.astype(np.float32)
    empty = ~(np.abs(values) < BEYOND)
    if empty.any():
        values[empty] = np.nan
    return values


def stored_box(
    orientation: int, size: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a region of the upright image (height, width) `size` lies in the stored one: rows, columns."""
    transpose, vertical, horizontal = _ORIENT.get(orientation, (False, False, False))
    if vertical:
        rows = size[0] - rows[1], size[0] - rows[0]
    if horizontal:
        columns = size[1] - columns[1], size[1] - columns[0]
    return (columns, rows) if transpose else (rows, columns)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) turned as its EXIF orientation asks; one outside 2..8 changes nothing."""
    if orientation in _ORIENT:
        transpose, vertical, horizontal = _ORIENT[orientation]
        if transpose:
            pixels = pixels.swapaxes(0, 1)
        pixels = pixels[:: -1 if vertical else 1, :: -1 if horizontal else 1]
    return np.require(pixels, requirements=["C", "W"])
