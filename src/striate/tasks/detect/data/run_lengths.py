"""COCO's run lengths: of a whole image, column by column, as numbers or as a compressed text; to regions and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.errors import DataError
from striate.images.pixels import MAX_PIXELS
from striate.tasks.detect.objects import Region

MOST = 2**40  # of one run; longer ones are no numbers of pixels


def counts_of_text(text: str | bytes) -> list[int]:
    """The run lengths of COCO's compressed text: six bits a character, five of the number and one for "more follows".

    From the third on, a number is the difference to the last but one. Raises DataError where it breaks off.
    """
    data = text.encode("latin-1", "replace") if isinstance(text, str) else text
    counts: list[int] = []
    at = 0
    while at < len(data):
        value = place = 0
        more = True
        while more:
            if at >= len(data) or not 48 <= data[at] < 112 or place > 12:
                raise DataError("its compressed run lengths are broken")
            bits = data[at] - 48
            value |= (bits & 31) << (5 * place)
            more = bool(bits & 32)
            at += 1
            place += 1
            if not more and bits & 16:
                value |= -1 << (5 * place)
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return counts


def text_of_counts(counts: Sequence[int]) -> str:
    """Run lengths as COCO's compressed text."""
    characters: list[str] = []
    for i, count in enumerate(counts):
        value = int(count) - (int(counts[i - 2]) if i > 2 else 0)
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            characters.append(chr(48 + bits + 32 * more))
    return "".join(characters)


def region_of(counts: Sequence[int], height: int, width: int) -> Region | None:
    """The region of run lengths over an image (height, width), columns first; None without a pixel.

    Only the columns from its first to its last are held. Raises DataError where they do not fill the image, or it is larger
    than images that are read: a line of text could ask for any memory otherwise.
    """
    if height * width > MAX_PIXELS:
        raise DataError(
            f"its run lengths are for an image of {width:,} x {height:,} pixels, and at most {MAX_PIXELS:,} are read"
        )
    lengths = _whole(counts)
    if len(lengths) and (lengths.min() < 0 or lengths.max() > MOST):
        raise DataError("its run lengths are below 0 or without measure")
    if lengths.sum() != height * width:
        if _pairs(lengths, height * width):
            raise DataError(
                "its run lengths are pairs of first pixel and length, as Kaggle has them; COCO's are lengths alone, of "
                "pixels outside and inside by turns"
            )
        raise DataError(
            f"its run lengths are for {int(lengths.sum()):,} pixels, and {width} x {height} are {height * width:,}"
        )
    ends = np.cumsum(lengths)
    starts, stops = ends[:-1:2], ends[1::2]
    solid = starts < stops
    starts, stops = starts[solid], stops[solid]
    if not len(starts):
        return None
    left, right = int(starts[0] // height), int((stops[-1] - 1) // height) + 1
    change = np.zeros((right - left) * height + 1, dtype=np.int8)
    np.add.at(change, starts - left * height, 1)
    np.add.at(change, stops - left * height, -1)
    flat = np.cumsum(change[:-1], dtype=np.int8).astype(bool)
    return Region.of(flat.reshape(right - left, height).T, left=left)


def _pairs(lengths: np.ndarray, pixels: int) -> bool:
    """Whether numbers (n,) are pairs of a run's first pixel and its length, in an image of so many pixels: runs that follow
    one another."""
    if len(lengths) < 4 or len(lengths) % 2:
        return False
    first, ends = lengths[::2], lengths[::2] + lengths[1::2]
    return bool((first[1:] > ends[:-1]).all() and ends[-1] <= pixels + 1)


def counts_of(region: Region, height: int, width: int) -> list[int]:
    """The run lengths of a region over an image (height, width) that holds it, columns first."""
    tall = np.zeros((region.width, region.height + 2), dtype=np.int8)
    tall[:, 1:-1] = region.mask.T
    change = np.diff(tall, axis=1)
    columns, rows = np.nonzero(change)
    places = (region.left + columns) * height + region.top + rows
    starts, stops = places[::2], places[1::2]
    apart = starts[1:] != stops[:-1]  # a run that reaches the bottom goes on at the top
    starts, stops = starts[np.r_[True, apart]], stops[np.r_[apart, True]]
    edges = np.stack([starts, stops], 1).ravel()
    counts: list[int] = np.diff(np.r_[0, edges, height * width]).tolist()
    return counts[:-1] if counts[-1] == 0 else counts


def _whole(counts: Sequence[int]) -> np.ndarray:
    try:
        lengths = np.array(counts, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataError("its run lengths are no numbers") from None
    if lengths.ndim != 1 or not np.isfinite(lengths).all() or (lengths != np.rint(lengths)).any():
        raise DataError("its run lengths are no whole numbers")
    return lengths.clip(-MOST, 2 * MOST).astype(np.int64)
