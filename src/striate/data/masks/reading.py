"""Reading a mask: the numbers that a file holds, never their colours, and never an interpolation of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from striate.data.pixels import MAX_PIXELS, refuse_bomb
from striate.data.quiet import quiet
from striate.data.reading import _reason, identify
from striate.errors import DataError

LOSSY = {"JPEG": "JPEG", "WebP": "WebP"}


def read_mask(path: Path, page: int = 0) -> tuple[np.ndarray, bool]:
    """A mask file's raw values (H, W) int32, and whether they are colours, 0xRRGGBB.

    One channel of up to 16 bits and palettes give their numbers; three channels give colours, or numbers if all are grey.
    page: of a TIFF of several. Raises DataError with one sentence if the file is missing, broken, or smeared by a lossy
    format.
    """
    try:
        with quiet():
            values = _values(path, page)
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
    if values.ndim == 2:
        return values.astype(np.int32), False
    rgb = values[..., :3].astype(np.int32)
    if (rgb == rgb[..., :1]).all():
        return rgb[..., 0], False
    return rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2], True


def pages_of(path: Path) -> int:
    """How many pages a file has; 1 for anything but TIFF. Raises DataError."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return 1
    try:
        with quiet(), tifffile.TiffFile(path) as tif:
            return max(1, len(tif.pages))
    except Exception as error:
        raise DataError(f"cannot read {path}: {_reason(error)}") from error


def _values(path: Path, page: int) -> np.ndarray:
    with path.open("rb") as stream:
        kind = identify(stream.read(16))
    if kind == "TIFF":
        with tifffile.TiffFile(path) as tif:
            if page >= len(tif.pages):
                raise DataError(f"it has {len(tif.pages)} pages, fewer than its image")
            values = tif.pages[page].asarray()
        if values.ndim == 3 and values.shape[0] in (3, 4) and values.shape[-1] not in (3, 4):
            values = np.moveaxis(values, 0, -1)
        if values.ndim == 3 and values.shape[-1] == 1:
            values = values[..., 0]
    else:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            refuse_bomb(image.height, image.width, MAX_PIXELS)
            lossy = kind == "JPEG" or (kind == "WebP" and b"VP8L" not in data[:64])
            if lossy:
                raise DataError(
                    f"{LOSSY[kind]} smears the values at every edge, so classes cannot be told; save masks as PNG or TIFF"
                )
            if image.mode == "1":
                values = np.asarray(image).astype(np.uint8)
            elif image.mode in ("L", "P", "I", "I;16", "I;16B", "I;16L"):
                values = np.asarray(image)
            elif image.mode in ("LA", "PA"):
                values = np.asarray(image)[..., 0]
            else:
                values = np.asarray(image.convert("RGB"))
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[-1] not in (3, 4)):
        raise DataError(
            f"a mask has one number or one colour a pixel, got an array of {values.shape}"
        )
    if values.dtype.kind == "f":
        if not (values == np.rint(values)).all():
            raise DataError("it holds fractions; save whole class numbers")
    elif values.dtype.kind not in "ui":
        raise DataError(f"it holds {values.dtype}, not whole numbers")
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise DataError(
            f"its values run from {values.min()} to {values.max()}; class numbers are 0 to 65535"
        )
    return values
