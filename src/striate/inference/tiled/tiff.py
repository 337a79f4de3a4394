"""TIFF and OME-TIFF, read tile by tile: only the tiles or strips that a region touches are decoded."""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from striate.errors import GeometryError
from striate.inference.tiled.files import FileImage
from striate.inference.tiled.images import Image
from striate.inference.tiled.raw import RawArray

HELD = 256_000_000  # the most bytes of decoded tiles that are kept
SAMPLES = "S"  # tifffile's letter of the axis of interleaved or separate samples
PLANES = "CSQI"  # axes that may hold channels: channel, sample, and pages that nobody named


def open_tiff(path: Path) -> Image:
    """The first series of a TIFF at full size, as planes (C, H, W).

    Raises GeometryError for a file that is cut short or damaged, and for axes beside rows, columns and channels.
    """
    try:
        file = tifffile.TiffFile(path)
        series = file.series[0]
        axes, shape = series.axes, tuple(int(n) for n in series.shape)
    except (OSError, ValueError, IndexError, tifffile.TiffFileError) as error:
        raise GeometryError(
            f"cannot read {path} as TIFF: {error}; save it again, or as PNG"
        ) from error
    kept = [(a, n) for a, n in zip(axes, shape, strict=True) if n > 1 or a in "YX"]
    names = "".join(a for a, _ in kept)
    channels = [(a, n) for a, n in kept if a not in "YX"]
    page = series.keyframe
    try:
        _linked(path, file)
        _whole(path, file, series.pages)
    except GeometryError:
        file.close()
        raise
    if len(channels) > 1 or any(a not in PLANES for a, _ in channels) or "YX" not in names:
        file.close()
        raise GeometryError(
            f"{path} has the axes {axes} {shape}, not one image; save the plane that is meant"
        )
    height, width = int(page.imagelength), int(page.imagewidth)
    count = channels[0][1] if channels else 1
    if series.dataoffset is not None and page.dtype is not None:
        order = np.dtype(page.dtype).newbyteorder(file.byteorder)
        file.close()
        raw = RawArray(path, int(series.dataoffset), tuple(n for _, n in kept), order)
        return FileImage(path, _Contiguous(raw, names), (count, height, width))
    array = TiffArray(path, file, series.pages, count)
    return FileImage(path, array, (count, height, width), array.limit)


def _linked(path: Path, file: tifffile.TiffFile) -> None:
    """Raise GeometryError if the last page names one behind the end of the file."""
    handle, big = file.filehandle, file.is_bigtiff
    count, entry, place = ("Q", 20, 8) if big else ("H", 12, 4)
    handle.seek(file.pages[-1].offset)
    tags = struct.unpack(file.byteorder + count, handle.read(struct.calcsize(count)))[0]
    handle.seek(tags * entry, 1)
    raw = handle.read(place)
    following = (
        struct.unpack(file.byteorder + ("Q" if big else "I"), raw)[0] if len(raw) == place else 0
    )
    if len(raw) < place or following >= handle.size:
        raise GeometryError(
            f"{path} is cut short: it has {handle.size:,} bytes and names a page at {following:,}; "
            "copy it again from where it came"
        )


def _whole(path: Path, file: tifffile.TiffFile, pages: Sequence[Any]) -> None:
    """Raise GeometryError if part of the pixels lies behind the end of the file."""
    size = file.filehandle.size
    for page in pages:
        if page is None:
            continue
        ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
        if max(ends, default=0) > size:
            raise GeometryError(
                f"{path} is cut short: {size:,} bytes of at least {max(ends):,}; copy it again from where it came"
            )


class _Contiguous:
    """Pixels without compression in one stretch of the file: (H, W), (C, H, W) or (H, W, C)."""

    def __init__(self, raw: RawArray, names: str) -> None:
        self.raw = raw
        self.last = names.endswith("YX") is False
        self.flat = len(names) == 2

    def read(self, box: tuple[tuple[int, int], ...]) -> np.ndarray:
        if self.flat:
            return self.raw.read(box[1:])[None]
        if self.last:
            return np.ascontiguousarray(self.raw.read((*box[1:], box[0])).transpose(2, 0, 1))
        return self.raw.read(box)


class TiffArray:
    """Planes (C, H, W) of tiles or strips. Decoded ones are kept while they are likely to be read again.

    limit: bytes of decoded tiles that are kept, a row of them if that is not too much.
    """

    def __init__(
        self, path: Path, file: tifffile.TiffFile, pages: Sequence[Any], count: int
    ) -> None:
        self.path, self.file, self.pages, self.count = path, file, pages, count
        page = pages[0]
        self.page = page
        self.samples = int(page.samplesperpixel)
        self.separate = self.samples > 1 and int(page.planarconfig) == 2
        self.height, self.width = int(page.imagelength), int(page.imagewidth)
        if page.is_tiled:
            self.tall, self.wide = int(page.tilelength), int(page.tilewidth)
        else:
            self.tall, self.wide = min(int(page.rowsperstrip), self.height), self.width
        self.down = -(-self.height // self.tall)
        self.across = -(-self.width // self.wide)
        row = self.tall * self.across * self.wide * count * np.dtype(page.dtype).itemsize
        self.limit = int(min(row * (1 + 1 / self.across), HELD))
        self.kept: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self.bytes = 0

    def __del__(self) -> None:
        self.file.close()

    def read(self, box: tuple[tuple[int, int], ...]) -> np.ndarray:
        _, (top, bottom), (left, right) = box
        out = np.zeros((self.count, bottom - top, right - left), self.page.dtype)
        for row in range(top // self.tall, -(-bottom // self.tall)):
            for column in range(left // self.wide, -(-right // self.wide)):
                r0, c0 = row * self.tall, column * self.wide
                rows = slice(max(top, r0), min(bottom, r0 + self.tall, self.height))
                columns = slice(max(left, c0), min(right, c0 + self.wide, self.width))
                for first, index, number in self._segments(row, column):
                    tile = self._tile(number, index)
                    if tile is None:
                        continue
                    part = tile[
                        rows.start - r0 : rows.stop - r0, columns.start - c0 : columns.stop - c0
                    ]
                    out[
                        first : first + part.shape[2],
                        rows.start - top : rows.stop - top,
                        columns.start - left : columns.stop - left,
                    ] = part.transpose(2, 0, 1)
        return out

    def _segments(self, row: int, column: int) -> list[tuple[int, int, int]]:
        """First channel, index and page of the segments that lie at one place of the grid."""
        index = row * self.across + column
        if self.separate:
            return [(s, s * self.down * self.across + index, 0) for s in range(self.samples)]
        return [(p * self.samples, index, p) for p in range(self.count // self.samples)]

    def _tile(self, number: int, index: int) -> np.ndarray | None:
        """One decoded segment (rows, columns, samples), None where the file has none (zeros)."""
        key = (number, index)
        found = self.kept.get(key)
        if found is not None:
            self.kept.move_to_end(key)
            return found
        page = self.pages[number]
        try:
            offset, count = page.dataoffsets[index], page.databytecounts[index]
            if not count:
                return None
            handle = self.file.filehandle
            handle.seek(offset)
            extra: dict[str, Any] = {}
            if int(self.page.compression) in (6, 7, 34892, 33007):
                extra = {"jpegtables": page.jpegtables, "jpegheader": self.page.jpegheader}
            tile, _, _ = self.page.decode(handle.read(count), index, **extra)
        except Exception as error:  # each codec has errors of its own
            raise GeometryError(
                f"{self.path}: tile {index} of page {number} cannot be decoded ({error}); "
                "copy the file again from where it came"
            ) from error
        if tile is None:
            return None
        found = np.asarray(tile)[0]
        self.kept[key] = found
        self.bytes += found.nbytes
        while self.bytes > self.limit and len(self.kept) > 1:
            _, old = self.kept.popitem(last=False)
            self.bytes -= old.nbytes
        return found
