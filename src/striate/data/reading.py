"""Reading an image file into an array, whatever its format, depth, palette and orientation."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    WebPImagePlugin,
)

from striate.data.pixels import MAX_PIXELS, finite, flatten_alpha, refuse_bomb, upright
from striate.data.quiet import quiet
from striate.data.tiff import read_tiff
from striate.errors import DataError

# fmt: off
SUFFIXES = frozenset((
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif",
    ".ppm", ".pgm", ".pbm", ".pnm",
))
UNSUPPORTED = frozenset((
    ".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".psd", ".ico", ".tga", ".eps", ".pdf",
    ".dcm", ".nii", ".exr", ".hdr", ".dng", ".cr2", ".nef", ".arw", ".czi", ".lif",
    ".npy", ".npz", ".mat", ".h5", ".tfrecord",
))
# fmt: on

Shrink = Callable[[int, int], int]  # height, width of the picture -> 1, 2, 4 or 8

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Opened directly: Image.open would warn of a large picture before it can be refused.
_PLUGINS: dict[str, Callable[[io.BytesIO], Any]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "PNM": PpmImagePlugin.PpmImageFile,
}


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """pixels (H, W, C), what the file is, its full size (H, W), whether more pages follow."""

    pixels: np.ndarray
    format: str
    size: tuple[int, int]
    several_pages: bool = False


def read_image(
    path: str | os.PathLike[str],
    *,
    max_pixels: int = MAX_PIXELS,
    alpha: bool = False,
    shrink: Shrink | None = None,
) -> np.ndarray:
    """Read an image file: (H, W, C), C 1 (grey) or 3 (RGB); uint8, or uint16 or float32 if deeper.

    Transparent pixels are laid on white, as on a page; `alpha=True` keeps RGB and alpha instead.
    EXIF orientation is applied, palettes and CMYK become RGB, of several pages the first is read.
    shrink: given height and width, how many times smaller (1, 2, 4 or 8) a JPEG may be decoded:
        all of the file is read, at a fraction of the work.
    Raises DataError with one sentence if the file is missing, cut short, no image, or larger than
    `max_pixels`.
    """
    try:
        return decode(Path(path), max_pixels=max_pixels, alpha=alpha, shrink=shrink).pixels
    except DataError as error:
        raise DataError(f"cannot read {os.fspath(path)}: {error}") from error


def decode(
    file: bytes | Path,
    *,
    max_pixels: int = MAX_PIXELS,
    alpha: bool = False,
    shrink: Shrink | None = None,
) -> Decoded:
    """Decode a file or its bytes as `read_image` does; its DataError holds the bare reason."""
    try:
        if isinstance(file, Path):
            with file.open("rb") as stream:
                head = stream.read(16)
        else:
            head = file[:16]
        kind = identify(head)
        with quiet():
            if kind == "TIFF":
                pixels, orientation, several = read_tiff(file, max_pixels=max_pixels, alpha=alpha)
                size = pixels.shape[:2]
            else:
                data = file.read_bytes() if isinstance(file, Path) else file
                pixels, size, orientation, several = _read_pillow(
                    data, kind, max_pixels=max_pixels, alpha=alpha, shrink=shrink
                )
        if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4) or not pixels.size:
            raise ValueError(f"an array of shape {pixels.shape}")
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError("there is no such file") from None
    except IsADirectoryError:
        raise DataError("it is a folder, not an image") from None
    except PermissionError:
        raise DataError("it may not be read (permission denied)") from None
    except MemoryError:
        raise DataError("it needs more memory than there is; make it smaller") from None
    except (
        Exception
    ) as error:  # decoders raise a dozen kinds on broken files, none of them documented
        raise DataError(_reason(error)) from error
    if orientation > 4:
        size = size[::-1]
    return Decoded(
        pixels=upright(pixels, orientation),
        format=kind,
        size=(size[0], size[1]),
        several_pages=several,
    )


def identify(head: bytes) -> str:
    """The format of a file by its first 16 bytes; DataError with the bare reason if unknown."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith(_TIFF):
        return "TIFF"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"BM"):
        return "BMP"
    if len(head) > 2 and head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "PNM"
    if not head:
        raise DataError("it is empty (0 bytes)")
    if not head.strip(b"\0"):
        raise DataError("it holds only zero bytes; copy it again from where it came")
    if head[4:8] == b"ftyp":
        raise DataError("it is a HEIC, AVIF or video file; save it as JPEG or PNG")
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        raise DataError(f"it holds text, not an image (it begins {head.decode('ascii')!r})")
    raise DataError(
        "it is no PNG, JPEG, WebP, BMP, TIFF, GIF or PNM image; save it as one of these"
    )


def _read_pillow(
    data: bytes, kind: str, *, max_pixels: int, alpha: bool, shrink: Shrink | None
) -> tuple[np.ndarray, tuple[int, int], int, bool]:
    with _PLUGINS[kind](io.BytesIO(data)) as image:
        width, height = image.size
        refuse_bomb(height, width, max_pixels)
        orientation = _orientation(image)
        several = bool(getattr(image, "is_animated", False))
        if kind == "PNG" and data[24] == 16 and image.mode != "I;16":
            # Pillow keeps only the upper 8 of 16 bits in colour.
            return _deep_png(data, alpha), (height, width), orientation, several
        if shrink is not None and kind == "JPEG":
            factor = shrink(width, height) if orientation > 4 else shrink(height, width)
            image.draft(None, (max(1, width // factor), max(1, height // factor)))
        image.load()
        return _pixels(image, alpha), (height, width), orientation, several


def _pixels(image: Image.Image, alpha: bool) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None]
    if mode == "I":
        values = np.asarray(image)
        deep = np.uint16 if values.min() >= 0 and values.max() <= 65535 else np.float32
        return values.astype(deep)[..., None]
    if mode == "F":
        return finite(np.asarray(image))[..., None]
    grey = mode in {"1", "L", "LA", "La"}
    if "transparency" in image.info or mode in {"LA", "La", "PA", "RGBA", "RGBa"}:
        image = image.convert("RGBA")
        if alpha:
            return np.asarray(image)
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image)
        image = page
    image = image.convert("L" if grey else "RGB")
    pixels = np.asarray(image)
    return pixels[..., None] if grey else pixels


def _deep_png(data: bytes, alpha: bool) -> np.ndarray:
    import imagecodecs

    pixels = imagecodecs.png_decode(data)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return flatten_alpha(pixels, keep=alpha)


def _orientation(image: Any) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # a broken EXIF block must not cost the picture
        return 1


def _reason(error: Exception) -> str:
    text = (
        str(error).strip().rstrip(".").splitlines()[0]
        if str(error).strip()
        else type(error).__name__
    )
    low = text.lower()
    if any(
        word in low for word in ("truncated", "too small", "unexpected end", "eof", "not enough")
    ):
        return "it is cut short; copy it again from where it came"
    # A decoder that stumbles (TypeError, KeyError, ...) says nothing that helps.
    spoken = isinstance(error, (OSError, ValueError, SyntaxError, RuntimeError))
    detail = f" ({text})" if spoken else ""
    return f"it is broken{detail}; copy it again from where it came"
