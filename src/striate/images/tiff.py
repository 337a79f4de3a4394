"""TIFF, BigTIFF, OME-TIFF, ImageJ, GeoTIFF and slides: 1 to 64 bits, floats, tiles, planes, palettes, any compression."""

from __future__ import annotations

import io
import struct
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from striate.errors import DataError
from striate.files import as_opened, open_regular, refuse_special
from striate.images.picture import Side
from striate.images.pixels import refuse_bomb, stored_box, upright
from striate.images.profiles import icc_name
from striate.images.reasons import reasons
from striate.images.segments import Segments
from striate.images.tiff_colours import Colours
from striate.images.warning_filter import quiet

CHANNELS = (
    "C"  # the axis of a series whose planes are channels of one image; others are further images
)
PAGES = ("generic", "uniform")  # series that say nothing of how their pages belong together
DNG, ICC = 50706, 34675
FEW_PAGES = 64  # among which a mask is looked for


class TiffPicture:
    """One image of a TIFF, of which any region can be read; see `Picture`."""

    format = "TIFF"

    def __init__(self, file: bytes | Path, *, page: int, max_pixels: int, alpha: bool) -> None:
        if isinstance(file, Path):
            refuse_special(file)
        self.tif = tifffile.TiffFile(
            io.BytesIO(file) if isinstance(file, bytes) else as_opened(file)
        )
        try:
            self._open(page, max_pixels, alpha)
        except BaseException:
            self.tif.close()
            raise

    def _open(self, page: int, max_pixels: int, alpha: bool) -> None:
        self._alpha = alpha
        key, planes = planes_of(self.tif)
        self.pages, self.page = len(planes), page
        if not 0 <= page < len(planes):
            raise DataError(f"it has {len(planes)} pages, no page {page + 1}")
        if len(planes[page]) == 1 and isinstance(planes[page][0], tifffile.TiffPage):
            key = planes[page][0]  # pages that do not belong together may differ
        refuse_bomb(key.imagelength, key.imagewidth, max_pixels)
        if key.is_tiled:
            refuse_bomb(key.tilelength, key.tilewidth, max_pixels)
        if not set(key.axes) <= set("YXS"):
            raise DataError(
                f"its first page has the axes {key.axes}, not an image; save it slice by slice"
            )
        self.stored = Segments(self.tif, key, planes[page])
        self.colour = Colours(key, self.stored.channels, pages=len(planes[page]), keep_alpha=alpha)
        mask = mask_of(self.tif, key) if len(planes[page]) == 1 else None
        self.valid = None if mask is None else Segments(self.tif, mask, [mask])
        profile = key.tags.get(ICC)
        self.profile = "" if profile is None else icc_name(bytes(profile.value))
        tag = key.tags.get(274)
        self.orientation = int(tag.value) if tag is not None else 1
        height, width = self.stored.height, self.stored.width
        if self.orientation in (5, 6, 7, 8):
            height, width = width, height
        self.shape = (height, width, self.colour.channels)
        self.colours, self.dtype, self.held = (
            self.colour.colours,
            self.colour.dtype,
            self.stored.limit,
        )

    def read(self, rows: Side, columns: Side) -> np.ndarray:
        """The region (rows, columns, C)."""
        with reasons(), quiet():
            box = stored_box(self.orientation, self.shape[:2], rows, columns)
            valid = None if self.valid is None else self.valid.read(*box)[..., 0] > 0
            return upright(self.colour(self.stored.read(*box), valid), self.orientation)

    @cached_property
    def reduced(self) -> tuple[Reduced, ...]:
        """The same image in fewer pixels, as the file holds it: the overviews of slides and of GDAL, the largest first."""
        key, height, width = self.stored.key, self.stored.height, self.stored.width
        if self.orientation != 1 or len(self.stored.pages) != 1:
            return ()
        with reasons(), quiet():
            pages = [*(key.pages or ()), *(self.tif.pages if self.tif.pages.is_multipage else ())]
        found = {}
        for page in pages:
            # Labels and photographs of the whole glass lie beside the levels: they have another shape.
            if not isinstance(page, tifffile.TiffPage) or page.is_mask or page is key:
                continue
            step = height / max(int(page.imagelength), 1)
            same = page.samplesperpixel == key.samplesperpixel and page.dtype == key.dtype
            near = abs(width / max(int(page.imagewidth), 1) / step - 1) < 0.02
            if same and near and step > 1.5 and page.photometric == key.photometric:
                stored = Segments(self.tif, page, [page])
                colour = Colours(page, stored.channels, pages=1, keep_alpha=self._alpha)
                found[stored.height] = Reduced(stored, colour)
        return tuple(found[h] for h in sorted(found, reverse=True))

    @property
    def missing(self) -> int:
        """Values without data in what was read so far."""
        return self.colour.missing

    def close(self) -> None:
        """Close the file."""
        self.tif.close()

    def __del__(self) -> None:
        if hasattr(self, "tif"):
            self.tif.close()


class Reduced:
    """An image of a file in fewer pixels. shape: (H, W, C), with the colours and the kind of number of the whole one."""

    def __init__(self, stored: Segments, colour: Colours) -> None:
        self._stored, self._colour = stored, colour
        self.shape = (stored.height, stored.width, colour.channels)

    def read(self, rows: Side, columns: Side) -> np.ndarray:
        """The region (rows, columns, C)."""
        with reasons(), quiet():
            return self._colour(self._stored.read(rows, columns), None)


def planes_of(tif: tifffile.TiffFile) -> tuple[tifffile.TiffPage, list[list[Any]]]:
    """The images that a TIFF holds at full size, each as the pages of its channels; and the page that describes them.

    Thumbnails, overviews and masks are not counted. Planes along an axis that the file names as channels (OME, ImageJ)
    belong to one image; planes along any other axis, or pages that no tag describes, are images of their own.
    """
    first = tif.pages.first
    if DNG in first.tags or (first.is_reduced and first.subifds and 271 in first.tags):
        raise DataError("it is a camera's raw file; develop it, and save it as TIFF, PNG or JPEG")
    if not tif.pages.is_multipage:
        return first, [[first]]
    _linked(tif)
    try:
        series = tif.series[0]
    except Exception:  # a description that is wrong must not cost the pages
        series = None
    if series is None or series.kind in PAGES:
        pages = [page for page in tif.pages if isinstance(page, tifffile.TiffPage)]
        pages = [page for page in pages if not (page.is_reduced or page.is_mask)] or [first]
        return pages[0], [[page] for page in pages]
    key = series.keyframe
    axes, shape = series.axes, tuple(int(n) for n in series.shape)
    leading = len(axes) - len(key.axes)
    order = np.arange(prod(shape[:leading])).reshape(shape[:leading])
    if not axes.endswith(key.axes) or order.size != len(series.pages):  # a wrong description
        return first, [[page] for page in tif.pages]
    if CHANNELS in axes[:leading]:
        order = np.moveaxis(order, axes.index(CHANNELS), -1).reshape(
            -1, shape[axes.index(CHANNELS)]
        )
    else:
        order = order.reshape(-1, 1)
    return key, [[series.pages[int(i)] for i in row] for row in order]


def mask_of(tif: tifffile.TiffFile, key: tifffile.TiffPage) -> tifffile.TiffPage | None:
    """The page that says which pixels of the page `key` are data, as GDAL writes it (TIFF 6.0, tag 254, bit 2)."""
    if not tif.pages.is_multipage or len(tif.pages) > FEW_PAGES:
        return None
    size = key.imagelength, key.imagewidth
    for page in tif.pages:
        if not isinstance(page, tifffile.TiffPage) or not page.is_mask or page.is_reduced:
            continue
        if (page.imagelength, page.imagewidth) == size and page.samplesperpixel == 1:
            return page
    return None


def pages_of(file: bytes | Path) -> int:
    """How many images a TIFF holds; 1 for anything else. Raises DataError with the bare reason."""
    with reasons(), quiet():
        if isinstance(file, Path):
            with open_regular(file) as stream:
                head = stream.read(4)
        else:
            head = file[:4]
        if head not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return 1
        with tifffile.TiffFile(
            io.BytesIO(file) if isinstance(file, bytes) else as_opened(file)
        ) as tif:
            return len(planes_of(tif)[1])


def _linked(tif: tifffile.TiffFile) -> None:
    """Raise DataError if the last page names one behind the end of the file."""
    handle, big = tif.filehandle, tif.is_bigtiff
    count, entry, place = ("Q", 20, 8) if big else ("H", 12, 4)
    handle.seek(tif.pages[-1].offset)
    tags = struct.unpack(tif.byteorder + count, handle.read(struct.calcsize(count)))[0]
    handle.seek(tags * entry, 1)
    raw = handle.read(place)
    following = (
        struct.unpack(tif.byteorder + ("Q" if big else "I"), raw)[0] if len(raw) == place else 0
    )
    if len(raw) < place or following >= handle.size:
        raise DataError(
            f"it is cut short ({handle.size:,} bytes, and it names a page at {following:,}); "
            "copy it again from where it came"
        )
