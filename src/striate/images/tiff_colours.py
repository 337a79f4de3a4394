"""Colours: from the samples that a TIFF stores to grey or RGB, pixel by pixel, so that a region is as the whole."""

from __future__ import annotations

import numpy as np
import tifffile
from PIL import Image

from striate.errors import DataError
from striate.images.pixels import flatten_alpha, numbers

# TIFF 6.0, tag 262 PhotometricInterpretation and tag 338 ExtraSamples.
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
ALPHA_PREMULTIPLIED, ALPHA = 1, 2
PHOTOMETRIC, FAX = 262, (2, 3, 4)
CAMERA = (32803, 34892)  # the colour filter array of a camera, and its linear form
GDAL_NODATA, COEFFICIENTS, REFERENCE = 42113, 529, 532
DECODED = (6, 7, 34892, 33007, 50001)  # JPEG and WebP: the decoder has turned YCbCr into RGB
APERIO_YCBCR = 33003  # JPEG 2000 whose planes are YCbCr, whatever the page says


def photometric_of(page: tifffile.TiffPage) -> int:
    """How a page's samples are colours; where it does not say, as libtiff takes it: faxes are white at 0, others black."""
    if PHOTOMETRIC in page.tags:
        return int(page.photometric)
    if int(page.samplesperpixel) >= 3:
        return RGB
    return WHITE_IS_ZERO if int(page.compression) in FAX else BLACK_IS_ZERO


class Colours:
    """What the samples (h, w, n) of one TIFF become, in any region of it.

    channels: of the result. colours: how many of these are colours, 1 or 3, or 0 where the file holds bands. dtype: uint8,
    uint16 or float32. missing: values without data among those that were turned so far.
    """

    def __init__(
        self, page: tifffile.TiffPage, samples: int, *, pages: int = 1, keep_alpha: bool = False
    ) -> None:
        self.kind, stored = photometric_of(page), np.dtype(page.dtype)
        if not isinstance(page.bitspersample, int):
            raise DataError(
                f"its channels are of {page.bitspersample} bits; save all with the same"
            )
        if self.kind in CAMERA:
            raise DataError(
                "it is a camera's raw file; develop it, and save it as TIFF, PNG or JPEG"
            )
        if stored.kind not in "buif":
            raise DataError(f"it holds {stored.name} numbers, not an image; save it as float32")
        self.bits, self.keep, self.missing = page.bitspersample, keep_alpha, 0
        self.dtype = np.dtype(_KINDS.get(stored.name, np.float32))
        self.nodata = nodata_of(page, stored)
        extra = [int(e) for e in page.extrasamples]
        self.premultiplied = extra[:1] == [ALPHA_PREMULTIPLIED]
        has_alpha = pages == 1 and bool(extra) and extra[0] in (ALPHA, ALPHA_PREMULTIPLIED)
        self.convert = int(page.compression) not in DECODED
        if int(page.compression) == APERIO_YCBCR:
            self.kind = YCBCR
        if self.kind == PALETTE:
            self.table, self.dtype = _table(page), np.dtype(np.uint8)
            self.colours = self.channels = 3
            self.alpha = False
            return
        if self.kind not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK, YCBCR):
            name = tifffile.PHOTOMETRIC(self.kind).name
            raise DataError(f"its colours are stored as {name}; save it as RGB or grey")
        stored_colours = _colours_of(self.kind, samples, extra, pages)
        if self.kind in (CMYK, YCBCR):
            self._check(stored_colours, page)
        self.ink = stored_colours
        self.alpha = has_alpha and stored_colours > 0 and samples == stored_colours + 1
        self.colours = min(stored_colours, 3)
        further = 0 if self.alpha else samples - stored_colours
        self.channels = self.colours + further
        if self.alpha and keep_alpha:
            self.channels = 4

    def _check(self, stored_colours: int, page: tifffile.TiffPage) -> None:
        name = tifffile.PHOTOMETRIC(self.kind).name
        needed = 4 if self.kind == CMYK else 3
        deep = self.dtype == np.float32 or (self.kind == YCBCR and self.dtype != np.uint8)
        if stored_colours != needed or deep:
            raise DataError(f"its colours are stored as {name} in an unusual form; save it as RGB")
        if self.kind == YCBCR and self.convert:
            self.luma = _rationals(page, COEFFICIENTS, (0.299, 0.587, 0.114))
            self.reference = _rationals(page, REFERENCE, (0, 255, 128, 255, 128, 255))

    def __call__(self, values: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
        """Samples (h, w, n) as channels (h, w, C). valid: (h, w) bool, False where a mask in the file says no data."""
        if self.kind == PALETTE:
            place = np.minimum(values[..., 0].astype(np.intp), len(self.table) - 1)
            self.missing += 0 if valid is None else 3 * int((~valid).sum())
            return self.table[place]
        empty = None if self.nodata is None else values == self.nodata
        pixels = self._depth(self._mirrored(values))
        colours, further = pixels[..., : self.ink], pixels[..., self.ink :]
        if self.kind == CMYK:
            colours = _cmyk(colours)
        elif self.kind == YCBCR and self.convert:
            colours = _rgb(colours, self.luma, self.reference)
        if further.shape[-1] or colours is not pixels:
            pixels = np.concatenate([colours, further], -1) if further.shape[-1] else colours
        if empty is not None and pixels.shape != empty.shape:
            empty = None
        if valid is not None:
            out = np.broadcast_to(~valid[..., None], pixels.shape)
            empty = out if empty is None else empty | out
        if empty is not None:
            pixels = self._without(pixels, empty)
        if pixels.dtype == np.float32:
            self.missing += int(np.isnan(pixels).sum())
        if self.alpha:
            pixels = flatten_alpha(pixels, keep=self.keep, premultiplied=self.premultiplied)
        return pixels

    def _mirrored(self, values: np.ndarray) -> np.ndarray:
        """Samples whose least value is white, as samples whose least value is black: integers keep their range."""
        if self.kind != WHITE_IS_ZERO:
            return values
        mirrored = values.copy()
        colours = mirrored[..., : self.ink]
        if values.dtype.kind == "f":
            colours *= -1
        elif values.dtype.kind == "u" and self.bits < 8 * values.dtype.itemsize:
            colours[...] = (1 << self.bits) - 1 - colours
        else:
            np.invert(colours, out=colours)  # of bools too; -1 - x of signed ones
        return mirrored

    def _without(self, pixels: np.ndarray, empty: np.ndarray) -> np.ndarray:
        """Pixels whose values the file states to be no data: NaN where there is one, else 0; bytes stay as they are."""
        if pixels.dtype == np.float32:
            return np.where(empty, np.float32(np.nan), pixels)
        self.missing += int(empty.sum())
        return pixels if pixels.dtype == np.uint8 else np.where(empty, np.uint16(0), pixels)

    def _depth(self, values: np.ndarray) -> np.ndarray:
        """uint8 and uint16 that reach from black to white, whatever the bits; float32 of all other numbers."""
        if values.dtype == np.bool_:
            return values.astype(np.uint8) * 255
        top = (1 << self.bits) - 1
        if values.dtype == np.uint8 and self.bits < 8:
            return (values.astype(np.uint16) * 255 // top).astype(np.uint8)
        if values.dtype == np.uint16 and self.bits < 16:
            return ((values.astype(np.uint32) * 65535 + top // 2) // top).astype(np.uint16)
        return values if values.dtype in (np.uint8, np.uint16) else numbers(values)


_KINDS = {"bool": np.uint8, "uint8": np.uint8, "uint16": np.uint16}


def _colours_of(kind: int, samples: int, extra: list[int], pages: int) -> int:
    """How many of the samples are colours; 0 where they are bands of something else."""
    if pages > 1:  # planes that the file calls channels: three are taken as colours
        return samples if samples in (1, 3) else 0
    if kind == CMYK:
        return 4
    if kind in (RGB, YCBCR):
        return 3 if samples == 3 or (samples == 4 and extra) else 0
    if samples <= 2:
        return 1
    return 3 if samples == 3 or (samples == 4 and extra) else 0


def nodata_of(page: tifffile.TiffPage, stored: np.dtype) -> float | None:
    """The value that the file states to be no data (GDAL's tag), where its samples can hold it."""
    tag = page.tags.get(GDAL_NODATA)
    if tag is None or stored.kind == "b":
        return None
    try:
        value = float(str(tag.value).strip(" \0").replace(",", "."))
    except ValueError:
        return None
    if stored.kind == "f":
        with np.errstate(over="ignore"):
            return float(np.array(value).astype(stored))
    limits = np.iinfo(stored)
    return value if value == value // 1 and limits.min <= value <= limits.max else None


def _table(page: tifffile.TiffPage) -> np.ndarray:
    table = page.colormap
    if table is None:
        raise DataError("its palette is missing; save it as RGB")
    # 16 bits a colour; some writers store 8, which libtiff recognises in the same way.
    return np.ascontiguousarray((table if table.max() < 256 else table >> 8).astype(np.uint8).T)


def _rationals(page: tifffile.TiffPage, code: int, default: tuple[float, ...]) -> tuple[float, ...]:
    tag = page.tags.get(code)
    if tag is None:
        return default
    flat = np.asarray(tag.value, dtype=np.float64).reshape(-1, 2)
    if len(flat) != len(default) or (flat[:, 1] == 0).any():
        return default
    return tuple((flat[:, 0] / flat[:, 1]).tolist())


def _cmyk(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(values), "CMYK").convert("RGB"))
    top = np.iinfo(values.dtype).max
    inkless = top - values.astype(np.uint64)
    return (inkless[..., :3] * inkless[..., 3:] // top).astype(values.dtype)


def _rgb(values: np.ndarray, luma: tuple[float, ...], reference: tuple[float, ...]) -> np.ndarray:
    """YCbCr of 8 bits as RGB, with the page's coefficients (TIFF 6.0, section 21)."""
    lows, highs = np.array(reference[::2]), np.array(reference[1::2])
    y, cb, cr = np.moveaxis((values - lows) * (np.array([255, 127, 127]) / (highs - lows)), -1, 0)
    red, green, blue = luma
    r = y + cr * (2 - 2 * red)
    b = y + cb * (2 - 2 * blue)
    g = (y - blue * b - red * r) / green
    return np.rint(np.stack([r, g, b], -1).clip(0, 255)).astype(np.uint8)
