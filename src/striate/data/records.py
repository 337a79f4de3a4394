"""Records: what is known of each image of a source before it is split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.data.depth import stated_white
from striate.errors import DataError
from striate.files import SpecialFileError, length, open_regular
from striate.images import Decoded, decode

Progress = Callable[[int, int], None]
READ_WHOLE = 256 * 2**20  # bytes; a larger file is hashed in pieces and decoded from the disk
LOSSLESS = frozenset({"PNG", "BMP", "GIF", "PNM", "TIFF"})


@dataclass(frozen=True, kw_only=True)
class Record:
    """One readable image file.

    content: 16 bytes that are equal for equal images. Files without loss are hashed by their
    pixels, so that a copy saved again as PNG, BMP or TIFF is found; JPEG and WebP by their bytes,
    because their pixels may differ by a value from one decoder's version to the next and a split
    must not.
    low, high: extremes of a deep image, or 0, 255. stated: what it states as white, 255, 65535 or 0 for nothing.
    missing: share of its values that are no data. left_out: channels beside its colours. profile: colours other than sRGB.
    """

    content: bytes
    height: int
    width: int
    channels: int
    deep: bool
    low: float
    high: float
    format: str
    several_pages: bool
    blank: bool
    stated: int = 255
    missing: float = 0.0
    left_out: int = 0
    profile: str = ""


def digest(data: bytes | np.ndarray, *more: bytes) -> bytes:
    """BLAKE2b of 16 bytes over some data."""
    state = hashlib.blake2b(data, digest_size=16)  # type: ignore[arg-type]
    for part in more:
        state.update(part)
    return state.digest()


def inspect(path: Path) -> Record | str:
    """Read and decode one file: its record, or in words why it cannot be used."""
    try:
        file = _bytes(path) or path
        image = decode(file, shrink=lambda height, width: 8)
        pixels = image.pixels
        if image.format in LOSSLESS:
            content = digest(pixels, repr((pixels.shape, pixels.dtype.str)).encode())
        else:
            content = digest(file) if isinstance(file, bytes) else _digest_file(file)
    except DataError as error:
        return str(error).split("; ")[0]  # what to do with it is reported once, by the check
    except SpecialFileError as error:
        return str(error.strerror).split("; ")[0]
    except (OSError, ValueError, MemoryError) as error:
        return f"it cannot be read ({getattr(error, 'strerror', None) or error})"
    return record_of(image, content)


def _bytes(path: Path) -> bytes | None:
    """What a regular file holds; None for one that is too large to be read whole."""
    with open_regular(path) as stream:
        small = length(stream) <= READ_WHOLE
        return stream.read() if small else None


def record_of(image: Decoded, content: bytes) -> Record:
    """What is known of a decoded image."""
    pixels = image.pixels
    deep = pixels.dtype != np.uint8
    return Record(
        content=content,
        height=image.size[0],
        width=image.size[1],
        channels=pixels.shape[-1],
        deep=deep,
        low=float(np.nanmin(pixels)) if deep else 0.0,
        high=float(np.nanmax(pixels)) if deep else 255.0,
        format=image.format,
        several_pages=image.several_pages,
        blank=_blank(pixels),
        stated=stated_white(pixels.dtype),
        missing=image.missing / pixels.size,
        left_out=image.left_out,
        profile=image.profile,
    )


def depths_of(records: Sequence[Record]) -> dict[str, np.ndarray]:
    """`stated` and `missing` of a split of these images."""
    return {
        "stated": np.array([r.stated for r in records], dtype=np.int64),
        "missing": np.array([r.missing for r in records], dtype=np.float64),
    }


def left_out_channels(keys: Sequence[str], records: Sequence[Record]) -> tuple[str, ...]:
    """In a sentence, the channels that are not read, if there are any."""
    named = [key for key, record in zip(keys, records, strict=True) if record.left_out]
    if not named:
        return ()
    more = f" and {len(named) - 1:,} more" if len(named) > 1 else ""
    return (
        f"the files hold further channels beside their colours, which are not read ({named[0]}{more})",
    )


def profiles(keys: Sequence[str], records: Sequence[Record]) -> tuple[str, ...]:
    """In a sentence, the colour profiles other than sRGB, which are not converted, if there are any."""
    kinds: dict[str, list[str]] = {}
    for key, record in zip(keys, records, strict=True):
        if record.profile:
            kinds.setdefault(record.profile, []).append(key)
    if not kinds:
        return ()
    n = sum(map(len, kinds.values()))
    which = ", ".join(f"{name}: {len(own):,}, such as {own[0]}" for name, own in kinds.items())
    who = "all images state" if n == len(records) else f"{n:,} of {len(records):,} images state"
    return (
        f"{who} colours other than sRGB ({which}); the numbers are read as they are stored, so convert the files to sRGB if "
        "their colours are to mean the same as those of other images",
    )


def _blank(pixels: np.ndarray) -> bool:
    # Nearly every image is settled by its first row.
    first = pixels[0, 0]
    return bool((pixels[0] == first).all()) and bool((pixels == first).all())


def _digest_file(path: Path) -> bytes:
    state = hashlib.blake2b(digest_size=16)
    with open_regular(path) as stream:
        while piece := stream.read(2**22):
            state.update(piece)
    return state.digest()
