"""Depth: from samples of any depth to the 8 bits that networks read, and the refusal of what nothing relates to them."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from striate.errors import DataError

LADDER = (255, 1023, 4095, 16383, 65535)  # full scale of 8, 10, 12, 14 and 16 bits
UNKNOWN, NUMBERS, BYTES, SHORTS = -1, 0, 255, 65535  # what files state to be white
DIM = 4096  # 16-bit values that end below may be 12 bits in 16


class Levels(Protocol):
    """What becomes black and white; see `Preprocessing`."""

    @property
    def black(self) -> float: ...
    @property
    def white(self) -> float: ...
    @property
    def full_scale(self) -> float: ...
    @property
    def nodata(self) -> tuple[float, ...]: ...


def stated_white(dtype: np.dtype) -> int:
    """What pixels of this kind state as white: 255, 65535, or 0 where they are plain numbers."""
    return {"bool": BYTES, "uint8": BYTES, "uint16": SHORTS}.get(dtype.name, NUMBERS)


def nominal(black: float, white: float) -> bool:
    """Whether a scale is the full scale of some bits, so that the white of 8 bits is its white too."""
    return black == 0 and white in LADDER


def to_bytes(pixels: np.ndarray, levels: Levels) -> np.ndarray:
    """Pixels of any depth as uint8, by what they state and the levels; no data becomes black.

    Raises DataError where the pixels state nothing that relates to the levels.
    """
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    if pixels.dtype.kind not in "uif":
        raise DataError(f"an image must hold numbers, got {pixels.dtype}")
    stated, full = stated_white(pixels.dtype), levels.full_scale
    black, white = levels.black, levels.white
    if stated == BYTES:
        if full in (UNKNOWN, BYTES) or (full == SHORTS and nominal(black, white)):
            return pixels
        if full == NUMBERS:
            raise DataError(
                f"it is of 8 bits, and the network has learned from numbers from {black:g} to {white:g}, which no file "
                "relates to 8 bits; give the image with the numbers that were measured"
            )
        values = pixels.astype(np.float32) * 257  # white of 8 bits is white of 16
    else:
        if full == BYTES and stated == NUMBERS:
            raise DataError(
                "it holds floating, signed or 32-bit numbers, which state no white, and the network has learned from images "
                "of 8 bits; save it with 8 or 16 bits"
            )
        if full == BYTES:
            black, white = 0.0, 65535.0
        values = pixels.astype(np.float32)
    scaled = (values - np.float32(black)) * np.float32(255 / (white - black))
    empty = np.isnan(values)
    if levels.nodata:
        empty |= np.isin(values, np.array(levels.nodata, dtype=np.float32))
    scaled[empty] = 0
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def there(pixels: np.ndarray, levels: Levels, missing: float = 0.0) -> np.ndarray:
    """(H, W) bool: where an image (H, W, C) deeper than 8 bits holds data in all channels.

    missing: the share of its values that its file states to be no data, which are 0 in 16 bits.
    """
    empty = np.isin(pixels, np.array(levels.nodata)) if levels.nodata else np.zeros(1, dtype=bool)
    if pixels.dtype.kind == "f":
        empty = empty | np.isnan(pixels)
    elif pixels.dtype == np.uint16 and missing > 0:
        empty = empty | (pixels == 0).all(-1, keepdims=True)
    held = ~np.broadcast_to(empty, pixels.shape)
    return np.asarray(held.all(-1))


def refuse_depth(pixels: np.ndarray, levels: Levels) -> None:
    """Raise DataError for pixels of another depth that would silently become something else than what they show.

    Pixels that the levels were made for pass, and all pixels where the levels are of a run that does not state its depth.
    """
    stated, full = stated_white(pixels.dtype), levels.full_scale
    as_it_is = full != SHORTS or nominal(levels.black, levels.white)  # or refused when it is turned
    if full == UNKNOWN or (stated == BYTES and as_it_is):
        return
    values = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels.reshape(-1)
    if levels.nodata:
        values = values[~np.isin(values, levels.nodata)]
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if full == BYTES:
        if stated == SHORTS and 0 < high < DIM:
            raise DataError(
                f"it is of 16 bits, but its values end at {high:,.0f}, as those of 12 bits or fewer do, and the network has "
                "learned from images of 8 bits; save it with 8 bits"
            )
        return
    if stated == BYTES:
        values, low, high = values.astype(np.float32) * 257, low * 257, high * 257
    width = levels.white - levels.black
    beyond = (values < levels.black - width / 2) | (values > levels.white + width / 2)
    flat = stated == NUMBERS and full == SHORTS and 0 < high - low < width / 256
    if beyond.mean() > 0.5 or flat:
        how = "all lie within one grey level of" if flat else "lie mostly far outside"
        as_sixteen = ", as 16 bits," if stated == BYTES else ""
        raise DataError(
            f"its values{as_sixteen} from {low:g} to {high:g} {how} the {levels.black:g} to {levels.white:g} that the "
            "network has learned from; save it with the numbers that were measured"
        )
