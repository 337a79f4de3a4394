"""Image files that are read region by region: TIFF and OME-TIFF, NumPy, Zarr; PNG, JPEG and others are decoded once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.errors import GeometryError, UsageError
from striate.geometry import Box
from striate.inference.tiled.images import ArrayImage, Image, tensor_of
from striate.inference.tiled.raw import RawArray

TIFF = frozenset((".tif", ".tiff", ".btf", ".tf8", ".svs", ".ndpi", ".qptiff"))


def open_file(path: Path) -> Image:
    """The image in a file. Integers become numbers from 0 to 1 unless a `prepare` of the caller's takes them as they are.

    Raises UsageError if there is none, GeometryError if it cannot be read.
    """
    if not path.exists():
        raise UsageError(f"there is no image {path}; check the path")
    suffix = path.suffix.lower()
    if suffix in TIFF:
        from striate.inference.tiled.tiff import open_tiff

        return open_tiff(path)
    if suffix == ".npy":
        return _numpy(path)
    if suffix == ".zarr" or path.is_dir():
        return _zarr(path)
    return _decoded(path)


class FileImage:
    """One image of a file, as planes (C, H, W) of whatever kind of number the file holds."""

    count = 1
    batched = True

    def __init__(self, path: Path, array: Any, shape: tuple[int, ...], bytes_held: int = 0) -> None:
        self.path, self.array, self.shape = path, array, shape
        self.name = str(path)
        self.held = bytes_held

    def read(self, number: int, box: Box) -> Tensor:
        sides = [s for s in box if s is not None]
        return tensor_of(self.array.read(((0, self.shape[0]), *sides)))[None]

    def identity(self) -> str:
        state = self.path.stat()
        return f"{self.path.resolve()} {state.st_size} {state.st_mtime_ns} {self.shape}"


def _numpy(path: Path) -> Image:
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise GeometryError(
            f"cannot read {path}: {error}; write it again with numpy.save"
        ) from error
    if mapped.ndim == 2:
        mapped = mapped[None]
    if mapped.ndim != 3 or not mapped.flags.c_contiguous or 0 in mapped.shape:
        raise GeometryError(
            f"{path} holds an array of shape {mapped.shape}; an image is (C, H, W) or (H, W) in row-major order"
        )
    offset = mapped.offset if hasattr(mapped, "offset") else 0
    return FileImage(path, RawArray(path, offset, mapped.shape, mapped.dtype), mapped.shape)


def _zarr(path: Path) -> Image:
    try:
        import zarr
    except ImportError as error:
        raise UsageError(f"{path} is a Zarr store; `pip install zarr` to read it") from error
    try:
        found: Any = zarr.open(str(path), mode="r")
    except Exception as error:  # zarr has a kind of its own for each thing that can be wrong
        raise GeometryError(f"cannot read {path} as a Zarr store: {error}") from error
    while not hasattr(found, "dtype"):  # an OME-Zarr group: its largest level is called 0
        keys = sorted(found.keys())
        if not keys:
            raise GeometryError(f"{path} is a Zarr group without an array")
        found = found["0" if "0" in keys else keys[0]]
    extra = found.ndim - 3
    if found.ndim < 2 or any(n != 1 for n in found.shape[: max(extra, 0)]):
        raise GeometryError(
            f"{path} holds an array of shape {found.shape}; an image is (C, H, W) or (H, W), other axes of length 1"
        )
    return ArrayImage(_Planes(found), 2, path)


class _Planes:
    """The last three axes of an array-like, (C, H, W)."""

    def __init__(self, array: Any) -> None:
        self.array = array
        shape = tuple(array.shape)
        self.shape = shape[-3:] if len(shape) > 2 else (1, *shape)
        self.dtype = array.dtype

    def __getitem__(self, places: tuple[Any, ...]) -> np.ndarray:
        ndim = len(self.array.shape)
        if ndim == 2:
            return np.asarray(self.array[places[1:]])[None]
        return np.asarray(self.array[(0,) * (ndim - 3) + places])


class _Decoded:
    """Pixels (H, W, C) that were decoded at once."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels

    def read(self, box: tuple[tuple[int, int], ...]) -> np.ndarray:
        _, (top, bottom), (left, right) = box
        return np.ascontiguousarray(self.pixels[top:bottom, left:right].transpose(2, 0, 1))


def _decoded(path: Path) -> Image:
    from PIL import Image as Pillow
    from PIL import ImageOps, UnidentifiedImageError

    limit = Pillow.MAX_IMAGE_PIXELS
    Pillow.MAX_IMAGE_PIXELS = None  # large images are what this is for
    try:
        with Pillow.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode not in ("L", "RGB", "I;16", "F", "I"):
                grey = picture.mode in ("1", "LA")
                picture = picture.convert("L" if grey else "RGB")
            pixels = np.asarray(picture)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise GeometryError(
            f"cannot read {path}: {' '.join(str(error).split())}; give a TIFF, PNG, JPEG, .npy or Zarr image"
        ) from error
    finally:
        Pillow.MAX_IMAGE_PIXELS = limit
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    height, width, channels = pixels.shape
    return FileImage(path, _Decoded(pixels), (channels, height, width), pixels.nbytes)


def to_unit(part: Tensor) -> Tensor:
    """Numbers from 0 to 1 from 8-bit and 16-bit integers; others as they are."""
    if part.dtype == torch.uint8:
        return part.float().div_(255)
    if part.dtype == torch.int32:  # uint16 comes as int32
        return part.float().div_(65535)
    return part
