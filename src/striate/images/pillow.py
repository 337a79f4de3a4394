"""PNG, JPEG, WebP, BMP, GIF, PNM, JPEG 2000 and AVIF: decoded at once, with the depth that they hold."""

from __future__ import annotations

import importlib
import io
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from striate.errors import DataError
from striate.files import open_regular
from striate.images.pixels import flatten_alpha, numbers, refuse_bomb, refuse_bytes, upright
from striate.images.profiles import profile_of
from striate.images.warning_filter import quiet

Shrink = Callable[[int, int], int]  # height, width of the picture -> 1, 2, 4 or 8

# Opened directly: Image.open would warn of a large picture before it can be refused.
_PLUGINS = {
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "JPEG": ("JpegImagePlugin", "JpegImageFile"),
    "WebP": ("WebPImagePlugin", "WebPImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
    "GIF": ("GifImagePlugin", "GifImageFile"),
    "PNM": ("PpmImagePlugin", "PpmImageFile"),
    "JP2": ("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "AVIF": ("AvifImagePlugin", "AvifImageFile"),
}
_GAP = rb"(?:\s+|#[^\n]*\n)+"
_PNM = re.compile(rb"P([56])" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)\s")
_SOF = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]\x00[\x0b\x11]\x0c(....)", re.DOTALL)


def decode_pillow(
    data: bytes,
    kind: str,
    *,
    max_pixels: int,
    alpha: bool,
    shrink: Shrink | None,
    max_bytes: int | None = None,
) -> tuple[np.ndarray, tuple[int, int], bool, str]:
    """The first picture of a file: pixels (H, W, C) upright, its full size (H, W) upright, whether others follow, and the
    profile of its colours."""
    with _open(data, kind) as image:
        width, height = image.size
        refuse_bomb(height, width, max_pixels)
        refuse_bytes(height * width * _bytes_a_pixel(image, data, kind) + len(data), max_bytes)
        orientation = _orientation(image)
        several = bool(getattr(image, "is_animated", False)) and kind != "JPEG"
        pixels = _deep(data, kind, image)
        if pixels is not None:
            pixels = flatten_alpha(pixels, keep=alpha)
        else:
            if shrink is not None and kind == "JPEG":
                factor = shrink(width, height) if orientation > 4 else shrink(height, width)
                image.draft(None, (max(1, width // factor), max(1, height // factor)))
            image.load()
            pixels = _pixels(image, alpha)
        profile = profile_of(image.info)
    size = (width, height) if 4 < orientation < 9 else (height, width)
    return upright(pixels, orientation), size, several, profile


def moves(path: Path) -> bool:
    """Whether a file holds several pictures, as a GIF or WebP that moves; False where that cannot be told."""
    try:
        with quiet(), open_regular(path) as stream, Image.open(stream) as picture:
            return bool(getattr(picture, "is_animated", False))
    except (
        Exception
    ):  # decoders raise a dozen kinds on broken files, and Pillow one of its own on large ones
        return False


def _open(data: bytes, kind: str) -> Any:
    module, name = _PLUGINS[kind]
    try:
        plugin: Any = importlib.import_module(f"PIL.{module}")
    except ImportError as error:
        raise DataError(f"it is {kind}, which this Pillow cannot read; save it as PNG") from error
    if kind == "AVIF" and not getattr(plugin, "SUPPORTED", False):
        raise DataError("it is AVIF, which this Pillow cannot read; save it as PNG")
    return getattr(plugin, name)(io.BytesIO(data))


def _bytes_a_pixel(image: Any, data: bytes, kind: str) -> int:
    """Bytes a pixel of the image when most copies of it exist: as stored, converted, joined from pieces, and as an array."""
    if "transparency" in image.info or image.mode in {"LA", "La", "PA", "RGBA", "RGBa"}:
        return 24  # stored, RGBA, the white page, both together, RGB twice
    deep = (kind == "PNG" and data[24] == 16) or kind in ("JP2", "PNM")
    stored = {"1": 1, "L": 1, "P": 1}.get(image.mode, 2 if image.mode.startswith("I;16") else 4)
    channels = 1 if image.mode in {"1", "L"} or image.mode.startswith(("I", "F")) else 3
    converted = 4 if channels == 3 else 1
    return max(stored + converted + 2 * channels, 16 if deep or image.mode in ("I", "F") else 0)


def _deep(data: bytes, kind: str, image: Any) -> np.ndarray | None:
    """What Pillow would cut down to the upper 8 of its bits, (H, W, 1 to 4) uint16; None for all else."""
    if kind == "PNG" and data[24] == 16 and (image.mode != "I;16" or "transparency" in image.info):
        pixels = _codec("png", data)
        return pixels.reshape(*pixels.shape[:2], -1)
    if kind == "PNM" and (header := _PNM.match(data)) and int(header[4]) > 255:
        top, channels = min(int(header[4]), 65535), 1 if header[1] == b"5" else 3
        width, height = image.size
        values = np.frombuffer(data, ">u2", width * height * channels, header.end())
        return _sixteen(values.reshape(height, width, channels), top)
    if kind == "JP2":
        place = data.find(
            b"\xff\x4f\xff\x51"
        )  # the code stream's SIZ marker, with the bits of the first component
        bits = (data[place + 42] & 0x7F) + 1 if 0 <= place < len(data) - 42 else 8
        if bits > 8:
            pixels = _codec("jpeg2k", data)
            pixels = pixels.reshape(*pixels.shape[:2], -1)
            return (
                _sixteen(pixels, (1 << bits) - 1) if pixels.dtype == np.uint16 else numbers(pixels)
            )
    return None


def decode_deep_jpeg(data: bytes, max_pixels: int) -> np.ndarray | None:
    """A JPEG of 12 bits, which Pillow does not know: (H, W, C) uint16; None if it has 8."""
    frame = (
        _SOF.search(data[: 2**20]) if b"\x00\x0b\x0c" in data or b"\x00\x11\x0c" in data else None
    )
    if frame is None:
        return None
    height, width = struct.unpack(">HH", frame[1])
    refuse_bomb(height, width, max_pixels)
    pixels = _codec("jpeg", data)
    return _sixteen(pixels.reshape(*pixels.shape[:2], -1), 4095)


def _sixteen(values: np.ndarray, top: int) -> np.ndarray:
    """Values from 0 to `top` as uint16 from 0 to 65535."""
    if top == 65535:
        return values.astype(np.uint16)
    return ((values.astype(np.uint32) * 65535 + top // 2) // top).clip(0, 65535).astype(np.uint16)


def _pixels(image: Image.Image, alpha: bool) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None]
    if mode == "I":
        values = np.asarray(image)
        deep = values.min() >= 0 and values.max() <= 65535
        return (values.astype(np.uint16) if deep else numbers(values))[..., None]
    if mode == "F":
        return numbers(np.asarray(image))[..., None]
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


def _orientation(image: Any) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # a broken EXIF block must not cost the picture
        return 1


def _codec(name: str, data: bytes) -> np.ndarray:
    import imagecodecs

    return np.asarray(getattr(imagecodecs, f"{name}_decode")(data))
