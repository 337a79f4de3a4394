"""Reading TIFF: 1 to 64 bits, floats, tiles, planes, palettes, and the usual compressions."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from striate.data.pixels import MAX_PIXELS, finite, flatten_alpha, refuse_bomb, upright
from striate.errors import DataError

# TIFF 6.0, tag 262 PhotometricInterpretation and tag 338 ExtraSamples.
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
ALPHA_PREMULTIPLIED, ALPHA = 1, 2
MOST_CHANNELS = 5  # CMYK and alpha


def read_tiff(file: bytes | Path, *, max_pixels: int, alpha: bool) -> tuple[np.ndarray, int, bool]:
    """The first page: pixels (H, W, C), its orientation (1 to 8), and whether others follow.

    Pixels are uint8 up to 8 bits, uint16 up to 16, float32 for signed, longer and float samples.
    Raises DataError with the bare reason; other exceptions mean a broken file.
    """
    with tifffile.TiffFile(io.BytesIO(file) if isinstance(file, bytes) else file) as tif:
        return _read_page(tif, 0, max_pixels=max_pixels, alpha=alpha)


def read_tiff_page(path: Path, page: int, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Page `page` of a TIFF of several: pixels (H, W, C). Raises DataError with the file's name."""
    try:
        with tifffile.TiffFile(path) as tif:
            pixels, orientation, _ = _read_page(tif, page, max_pixels=max_pixels, alpha=False)
    except DataError as error:
        raise DataError(f"cannot read page {page + 1} of {path}: {error}") from error
    except Exception as error:  # decoders raise a dozen kinds on broken files
        raise DataError(f"cannot read page {page + 1} of {path}: it is broken ({error})") from error
    return upright(pixels, orientation)


def _read_page(
    tif: tifffile.TiffFile, number: int, *, max_pixels: int, alpha: bool
) -> tuple[np.ndarray, int, bool]:
    if number >= len(tif.pages):
        raise DataError(f"it has only {len(tif.pages)} pages")
    page = tif.pages[number] if number else tif.pages.first
    assert isinstance(page, tifffile.TiffPage)  # frames are read only when asked for
    refuse_bomb(page.imagelength, page.imagewidth, max_pixels)
    if page.is_tiled:
        refuse_bomb(page.tilelength, page.tilewidth, max_pixels)
    if page.samplesperpixel > MOST_CHANNELS:
        raise DataError(_channels(page.samplesperpixel))
    ends = (o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False))
    if max(ends, default=0) > tif.filehandle.size:
        raise DataError(
            "it is cut short (part of it lies behind its end); copy it again from where it came"
        )
    if not set(page.axes) <= set("YXS"):
        raise DataError(
            f"its first page has the axes {page.axes}, not an image; save it slice by slice"
        )
    values = page.asarray()
    if values.ndim == 2:
        values = values[..., None]
    elif page.axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    tag = page.tags.get(274)
    orientation = int(tag.value) if tag is not None else 1
    return _colours(page, values, alpha), orientation, bool(tif.pages.is_multipage)


def _colours(page: tifffile.TiffPage, values: np.ndarray, alpha: bool) -> np.ndarray:
    kind, bits = int(page.photometric), int(page.bitspersample)
    if kind == PALETTE:
        return _palette(page, values)
    values = _depth(values, bits)
    integers = values.dtype != np.float32
    channels = values.shape[-1]
    extra = tuple(int(e) for e in page.extrasamples)
    if kind == CMYK and channels >= 4 and integers:
        return _cmyk(values[..., :4])
    if kind not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, YCBCR):
        raise DataError(
            f"its colours are stored as {tifffile.PHOTOMETRIC(kind).name}; save it as RGB or grey"
        )
    colours = 1 if kind in (WHITE_IS_ZERO, BLACK_IS_ZERO) and channels < 3 else 3
    if channels not in (colours, colours + 1) or (channels == 4 and not extra):
        raise DataError(_channels(channels))
    if kind == WHITE_IS_ZERO and integers:
        top = np.iinfo(values.dtype).max if bits in (1, 2, 4, 8, 16) else (1 << bits) - 1
        values[..., :colours] = top - values[..., :colours]
    if channels == colours:
        return values
    if extra and extra[0] in (ALPHA, ALPHA_PREMULTIPLIED) and integers:
        return flatten_alpha(values, keep=alpha, premultiplied=extra[0] == ALPHA_PREMULTIPLIED)
    return values[..., :colours]


def _channels(number: int) -> str:
    return f"it has {number} channels; 1 (grey), 3 (RGB) or 4 (RGB and alpha) are read"


def _depth(values: np.ndarray, bits: int) -> np.ndarray:
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    if values.dtype == np.uint8 and bits < 8:
        return (values.astype(np.uint16) * 255 // ((1 << bits) - 1)).astype(np.uint8)
    if values.dtype in (np.uint8, np.uint16):
        return values.astype(values.dtype.newbyteorder("="))
    return finite(values)


def _palette(page: tifffile.TiffPage, values: np.ndarray) -> np.ndarray:
    table = page.colormap
    if table is None:
        raise DataError("its palette is missing; save it as RGB")
    # 16 bits a colour; some writers store 8, which libtiff recognises in the same way.
    eight = (table if table.max() < 256 else table >> 8).astype(np.uint8)
    return np.ascontiguousarray(eight.T[values[..., 0].astype(np.intp)])


def _cmyk(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(values), "CMYK").convert("RGB"))
    top = np.iinfo(values.dtype).max
    inkless = top - values.astype(np.uint64)
    return (inkless[..., :3] * inkless[..., 3:] // top).astype(values.dtype)
