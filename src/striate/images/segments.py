"""Segments: the stored samples of a TIFF, of which only the strips or tiles that a region touches are decoded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import tifffile

from striate.errors import DataError
from striate.images.picture import Side

HELD = 256_000_000  # the most bytes of decoded segments that are kept
JPEG = (6, 7, 34892, 33007)  # compressions whose segments share tables
_COPY = "copy the file again from where it came"


class Segments:
    """Samples (H, W, C) of one image of a TIFF: a page, or pages that each hold one or more of its channels.

    dtype: as stored, in the machine's byte order. limit: bytes of decoded segments that are kept: a row of them if that
    is not too much, since the next region is likely to touch them again.
    """

    def __init__(
        self, tif: tifffile.TiffFile, key: tifffile.TiffPage, pages: Sequence[Any]
    ) -> None:
        self.tif, self.key, self.pages = tif, key, pages
        self.samples = int(key.samplesperpixel)
        self.separate = self.samples > 1 and int(key.planarconfig) == 2
        self.height, self.width = int(key.imagelength), int(key.imagewidth)
        self.channels = self.samples * len(pages)
        if key.dtype is None:
            raise DataError(
                f"its samples of {key.bitspersample} bits are of a kind that is not read; save it as 8 or 16 bit"
            )
        self.dtype = np.dtype(key.dtype).newbyteorder("=")
        if key.is_tiled:
            self.tall, self.wide = int(key.tilelength), int(key.tilewidth)
        else:
            self.tall, self.wide = min(int(key.rowsperstrip), self.height), self.width
        self.down = -(-self.height // self.tall)
        self.across = -(-self.width // self.wide)
        self.plain = _plain(key)
        row = self.tall * self.across * self.wide * self.channels * self.dtype.itemsize
        self.limit = 0 if self.plain else int(min(row * (1 + 1 / self.across), HELD))
        # Most that one read decodes at once: a segment of what is compressed, and its copy.
        pixel = self.dtype.itemsize * (1 if self.separate else self.samples)
        self.at_once = 0 if self.plain else 2 * self.tall * self.wide * pixel
        self._kept: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._bytes = 0
        self._lock = threading.RLock()
        self._whole()

    def _whole(self) -> None:
        """Raise DataError if part of the samples lies behind the end of the file."""
        size = self.tif.filehandle.size
        for page in self.pages:
            if page is None:
                continue
            ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
            if max(ends, default=0) > size:
                raise DataError(
                    f"it is cut short ({size:,} bytes of at least {max(ends):,}); {_COPY}"
                )

    def read(self, rows: Side, columns: Side) -> np.ndarray:
        """The region (rows, columns, C)."""
        (top, bottom), (left, right) = rows, columns
        out = np.full((bottom - top, right - left, self.channels), self._sparse(), self.dtype)
        for row in range(top // self.tall, -(-bottom // self.tall)):
            for column in range(left // self.wide, -(-right // self.wide)):
                r0, c0 = row * self.tall, column * self.wide
                inner = (
                    (max(top, r0) - r0, min(bottom, r0 + self.tall, self.height) - r0),
                    (max(left, c0) - c0, min(right, c0 + self.wide, self.width) - c0),
                )
                place = (
                    slice(inner[0][0] + r0 - top, inner[0][1] + r0 - top),
                    slice(inner[1][0] + c0 - left, inner[1][1] + c0 - left),
                )
                for first, index, number in self._at(row, column):
                    part = self._part(number, index, inner)
                    if part is not None:
                        out[(*place, slice(first, first + part.shape[2]))] = part
        return out

    def _at(self, row: int, column: int) -> list[tuple[int, int, int]]:
        """First channel, index and page of the segments that lie at one place of the grid."""
        index, per_plane = row * self.across + column, self.down * self.across
        if not self.separate:
            return [(p * self.samples, index, p) for p in range(len(self.pages))]
        return [
            (p * self.samples + s, s * per_plane + index, p)
            for p in range(len(self.pages))
            for s in range(self.samples)
        ]

    def _sparse(self) -> Any:
        """What a segment that the file leaves out is filled with: what it calls no data, or 0."""
        with np.errstate(all="ignore"):
            try:
                return np.array(self.key.nodata).astype(self.dtype)
            except (TypeError, ValueError, OverflowError):
                return 0

    def _part(self, number: int, index: int, inner: tuple[Side, Side]) -> np.ndarray | None:
        """A region of one segment (rows, columns, samples), None where the file has none."""
        page = self.pages[number]
        if page is None or index >= len(page.databytecounts) or not page.databytecounts[index]:
            return None
        if self.plain:
            return self._raw(page.dataoffsets[index], inner)
        segment = self._segment(page, number, index)
        if segment is None:
            return None
        (top, bottom), (left, right) = inner
        return segment[top:bottom, left:right]

    def _raw(self, offset: int, inner: tuple[Side, Side]) -> np.ndarray:
        """A region of a segment without compression, row by row, so that a strip of any size is cheap."""
        (top, bottom), (left, right) = inner
        samples = 1 if self.separate else self.samples
        pixel = samples * self.dtype.itemsize
        stored = np.dtype(self.key.dtype).newbyteorder(self.tif.byteorder)  # type: ignore[arg-type]
        if left == 0 and right == self.wide:
            data = self._bytes_at(
                offset + top * self.wide * pixel, (bottom - top) * self.wide * pixel
            )
        else:
            data = b"".join(
                self._bytes_at(offset + (r * self.wide + left) * pixel, (right - left) * pixel)
                for r in range(top, bottom)
            )
        return np.frombuffer(data, stored).reshape(bottom - top, right - left, samples)

    def _segment(self, page: Any, number: int, index: int) -> np.ndarray | None:
        """One decoded segment (rows, columns, samples)."""
        with self._lock:
            pixels = self._kept.get((number, index))
            if pixels is not None:
                self._kept.move_to_end((number, index))
                return pixels
        extra: dict[str, Any] = {}
        try:
            with self._lock:  # reading the tables moves the file's position too
                if int(self.key.compression) in JPEG:
                    extra = {"jpegtables": page.jpegtables, "jpegheader": self.key.jpegheader}
                data = self._bytes_at(page.dataoffsets[index], page.databytecounts[index])
            segment, _, _ = self.key.decode(data, index, **extra)
        except (DataError, MemoryError):
            raise
        except NotImplementedError as error:  # such as thinned colours without JPEG
            raise DataError(f"its samples cannot be decoded ({error}); save it as RGB") from error
        except Exception as error:  # each codec has errors of its own
            text = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{'tile' if self.key.is_tiled else 'strip'} {index} of page {page.index} cannot be decoded ({text}); "
                f"{_COPY}, or save it without compression"
            ) from error
        if segment is None:
            return None
        pixels = np.asarray(segment)[0]
        with self._lock:
            self._kept[number, index] = pixels
            self._bytes += pixels.nbytes
            while self._bytes > self.limit and len(self._kept) > 1:
                _, old = self._kept.popitem(last=False)
                self._bytes -= old.nbytes
        return pixels

    def _bytes_at(self, offset: int, count: int) -> bytes:
        with self._lock:
            handle = self.tif.filehandle
            handle.seek(offset)
            data: bytes = handle.read(count)
        if len(data) < count:
            raise DataError(f"it is cut short; {_COPY}")
        return data


def _plain(key: tifffile.TiffPage) -> bool:
    """Whether samples lie in the file as they are in memory."""
    dtype = np.dtype(key.dtype)
    bits = key.bitspersample
    return (
        int(key.compression) == 1
        and int(key.predictor) == 1
        and int(key.fillorder) == 1
        and isinstance(bits, int)
        and bits == 8 * dtype.itemsize
        and dtype.kind in "uif"
        and (key.subsampling is None or tuple(key.subsampling) == (1, 1))
    )
