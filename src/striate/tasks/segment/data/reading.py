"""Reading a mask: the numbers or colours that a file holds, never an interpolation of them."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from PIL import Image

from striate.errors import DataError
from striate.files import as_opened, open_regular, read_regular, refuse_special
from striate.images import MAX_PIXELS, MOST_BYTES, quiet, refuse_bomb
from striate.images import reason as _reason
from striate.images.kinds import identify
from striate.images.pixels import upright
from striate.images.segments import Segments
from striate.images.tiff import planes_of
from striate.images.tiff_colours import WHITE_IS_ZERO, nodata_of, photometric_of

Kind = Literal["bit", "number", "palette", "grey", "colour"]
TRANSPARENT = 1 << 24  # the colour of a pixel that cannot be seen; no 0xRRGGBB reaches it
MOVING = ("GIF", "PNG", "WEBP")  # formats of which a file may hold several pictures


@dataclass(frozen=True, kw_only=True)
class RawMask:
    """A mask as its file holds it, in the order of the file's rows (EXIF orientation not applied).

    values: (H, W) int32. kind: "bit" (0 and 1), "number", "palette" (indices into `table`), "grey" (three equal channels) or
    "colour"; the last two hold 0xRRGGBB, or TRANSPARENT. table: index -> 0xRRGGBB of a palette. lossy: saved by a format
    that smears edges. orientation: of EXIF or TIFF, 1 to 8. nodata: the value that a GeoTIFF states to be no data.
    """

    values: np.ndarray
    kind: Kind
    table: dict[int, int] = field(default_factory=dict)
    lossy: bool = False
    orientation: int = 1
    nodata: int | None = None

    def numbers(self) -> np.ndarray:
        """(H, W) int32: the number of each pixel; a grey is its level."""
        return self.values & 0xFF if self.kind in ("grey", "colour") else self.values

    def colours(self) -> np.ndarray:
        """(H, W) int32: the colour of each pixel, 0xRRGGBB."""
        if self.kind in ("grey", "colour"):
            return self.values
        if self.kind == "palette":
            known = np.zeros(max(256, int(self.values.max()) + 1), dtype=np.int32)
            for index, colour in self.table.items():
                known[index] = colour
            return known[self.values]
        return as_colour(self.values, self.kind)

    def turned(self, orientation: int) -> np.ndarray:
        """`values` turned as an EXIF orientation asks."""
        return upright(self.values[..., None], orientation)[..., 0]


def as_colour(numbers: Any, kind: str) -> Any:
    """Numbers of one channel as the greys 0xVVVVVV that a viewer shows; 1 of a single bit is white."""
    return numbers * (0xFFFFFF if kind == "bit" else 0x010101)


def read_mask(path: Path, page: int = 0) -> RawMask:
    """What a mask file holds.

    page: of a TIFF of several. Raises DataError with one sentence if the file is missing or broken, or holds no mask.
    """
    try:
        with quiet():
            return _read(path, page)
    except DataError as error:
        raise DataError(f"cannot read the mask {path}: {error}") from error
    except FileNotFoundError:
        raise DataError(f"cannot read the mask {path}: there is no such file") from None
    except MemoryError:
        raise DataError(
            f"cannot read the mask {path}: it needs more memory than there is"
        ) from None
    except (
        Exception
    ) as error:  # decoders raise a dozen kinds on broken files, none of them documented
        raise DataError(f"cannot read the mask {path}: {_reason(error)}") from error


def pages_of(path: Path) -> int:
    """How many images a TIFF holds (channels, thumbnails and overviews are none), or pictures a GIF, PNG or WebP that moves.

    Raises DataError.
    """
    try:
        with quiet():
            refuse_special(path)
            if is_tiff(path):
                with tifffile.TiffFile(as_opened(path)) as tif:
                    return len(planes_of(tif)[1])
            with Image.open(as_opened(path)) as image:
                return int(getattr(image, "n_frames", 1)) if image.format in MOVING else 1
    except Exception as error:
        raise DataError(f"cannot read {path}: {_reason(error)}") from error


def is_tiff(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff")


def header_of(path: Path, page: int = 0) -> tuple[int, int, int] | None:
    """Height and width as stored, and the orientation (1 to 8) of EXIF or a TIFF tag; None where it cannot be read."""
    try:
        with quiet():
            refuse_special(path)
            if is_tiff(path):
                with tifffile.TiffFile(as_opened(path)) as tif:
                    first: Any = planes_of(tif)[1][page][0] if page else tif.pages.first
                    return first.imagelength, first.imagewidth, _tag(first)
            with Image.open(as_opened(path)) as image:
                return image.height, image.width, _known(image.getexif().get(0x0112, 1))
    except Exception:  # a broken file is named by the decoder
        return None


def _known(orientation: Any) -> int:
    return int(orientation) if orientation in range(1, 9) else 1


def _tag(page: Any) -> int:
    tag = page.tags.get(274)
    return _known(tag.value) if tag is not None else 1


def _read(path: Path, page: int) -> RawMask:
    with open_regular(path) as stream:
        kind = identify(stream.read(16))
    if kind == "TIFF":
        return _tiff(path, page)
    data = read_regular(path, limit=MOST_BYTES)
    with Image.open(io.BytesIO(data)) as image:
        refuse_bomb(image.height, image.width, MAX_PIXELS)
        orientation = 1
        try:
            orientation = _known(image.getexif().get(0x0112, 1))
        except Exception:  # a broken EXIF block must not cost the mask
            orientation = 1
        lossy = kind == "JPEG" or (kind == "WebP" and b"VP8L" not in data[:64])
        facts: dict[str, Any] = {"lossy": lossy, "orientation": orientation}
        if kind == "PNG" and data[24] == 16 and image.mode not in ("I;16", "I;16B", "I"):
            return _array(_deep_png(data), **facts)
        if image.mode == "1":
            bits = np.asarray(image).astype(np.int32)
            return RawMask(values=bits, kind="bit", **facts)
        if image.mode in ("P", "PA"):
            pixels = np.asarray(image)
            colours = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
            return RawMask(
                values=(pixels if pixels.ndim == 2 else pixels[..., 0]).astype(np.int32),
                kind="palette",
                table=dict(enumerate(_pack(colours).tolist())),
                **facts,
            )
        if image.mode in ("L", "I", "I;16", "I;16B", "I;16L", "F"):
            return _array(np.asarray(image), **facts)
        if image.mode in ("LA", "La", "RGBA", "RGBa"):
            return _array(np.asarray(image.convert("RGBA")), **facts)
        return _array(np.asarray(image.convert("RGB")), **facts)


def _deep_png(data: bytes) -> np.ndarray:
    import imagecodecs

    values = imagecodecs.png_decode(data)
    if values.ndim == 3 and values.shape[-1] == 2:
        values = np.concatenate([np.repeat(values[..., :1], 3, -1), values[..., 1:]], -1)
    return values


def _tiff(path: Path, number: int) -> RawMask:
    with tifffile.TiffFile(as_opened(path)) as tif:
        page, images = planes_of(tif)
        if number >= len(images):
            raise DataError(f"it has {len(images)} pages, fewer than its image")
        planes = images[number]
        if len(planes) == 1 and isinstance(planes[0], tifffile.TiffPage):
            page = planes[0]  # pages that do not belong together may differ
        refuse_bomb(page.imagelength, page.imagewidth, MAX_PIXELS)
        stored = Segments(tif, page, planes)
        values = stored.read((0, stored.height), (0, stored.width))
        empty = nodata_of(page, np.dtype(page.dtype)) if values.dtype.kind in "ui" else None
        facts: dict[str, Any] = {
            "lossy": int(page.compression) in (6, 7),
            "orientation": _tag(page),
            "nodata": None if empty is None else int(empty),
        }
        bits, table = int(page.bitspersample), page.colormap
        # tifffile calls True black, and its users mean the object.
        seen = "tifffile" not in str(page.software) or bits > 1
        if seen and photometric_of(page) == WHITE_IS_ZERO and values.dtype.kind in "bu":
            values = ~values if values.dtype == np.bool_ else ((1 << bits) - 1) - values
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if table is not None and values.ndim == 2:
        eight = (table if table.max() < 256 else table >> 8).astype(np.uint8).T
        return RawMask(
            values=values.astype(np.int32),
            kind="palette",
            table=dict(enumerate(_pack(eight).tolist())),
            **facts,
        )
    if values.dtype == np.bool_ or (bits == 1 and values.ndim == 2):
        return RawMask(values=(values != 0).astype(np.int32), kind="bit", **facts)
    return _array(values, **facts)


def _array(values: np.ndarray, **facts: Any) -> RawMask:
    """Pixels of one channel, RGB or RGBA."""
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[-1] not in (3, 4)):
        raise DataError(
            f"a mask has one number or one colour a pixel, got an array of {values.shape}"
        )
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            wrong = int(values.size - np.isfinite(values).sum())
            raise DataError(
                f"{wrong:,} of its {values.size:,} values are NaN or infinite; write -1 where there is no label"
            )
        if not (values == np.rint(values)).all():
            raise DataError("it holds fractions; save whole class numbers")
    elif values.dtype.kind not in "ui":
        raise DataError(f"it holds {values.dtype}, not whole numbers")
    if values.ndim == 2:
        if values.size and (values.min() < -65535 or values.max() > 65535):
            raise DataError(
                f"its values run from {values.min():g} to {values.max():g}; class numbers are 0 to 65535"
            )
        return RawMask(values=values.astype(np.int32), kind="number", **facts)
    if values.dtype != np.uint8:
        if values.min() < 0 or values.max() > 255:
            if values.dtype != np.uint16:
                raise DataError(
                    f"its colours run from {values.min():g} to {values.max():g}; save them with 8 bits"
                )
            values = values >> 8  # as a viewer shows them
        values = values.astype(np.uint8)
    colours = _pack(values[..., :3])
    if values.shape[-1] == 4:
        clear = values[..., 3] < 128
        # Wholly opaque and wholly clear are alike: the writer did not use its alpha.
        if clear.any() and not clear.all():
            return RawMask(values=np.where(clear, TRANSPARENT, colours), kind="colour", **facts)
    grey = bool((values[..., :3] == values[..., :1]).all())
    return RawMask(values=colours, kind="grey" if grey else "colour", **facts)


def _pack(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 to 0xRRGGBB int32."""
    wide = rgb.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
