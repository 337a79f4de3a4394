"""Image files that are read region by region: whatever `striate.images` reads, NumPy, and Zarr."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.errors import DataError, GeometryError, UsageError
from striate.files import SpecialFileError, refuse_special
from striate.geometry import Box
from striate.images import Picture, open_picture
from striate.inference.tiled.read.images import ArrayImage, Image, tensor_of
from striate.inference.tiled.read.raw import RawArray

ANY_SIZE = 2**62  # pixels: large images are what this is for


def open_file(path: str | Path, *, page: int | None = None, memory: int | None = None) -> Image:
    """The image in a file. Integers become numbers from 0 to 1 unless a `preprocess` of the caller's takes them as they are.

    page: of a file that holds several images, from 0. memory: bytes that decoding may take; None for no limit.
    Raises UsageError if there is none, or several and no `page`;
    GeometryError if it cannot be read.

    >>> image = open_file("stack.tif", page=3)  # doctest: +SKIP
    >>> tiled(module, image)  # doctest: +SKIP
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"there is no image {path}; check the path")
    suffix = path.suffix.lower()
    if page and (suffix in (".npy", ".zarr") or path.is_dir()):
        raise UsageError(f"{path} has no pages; leave the page out")
    if suffix == ".npy":
        return _numpy(path)
    if suffix == ".zarr" or path.is_dir():
        return _zarr(path)
    try:
        picture = open_picture(path, page=page or 0, max_pixels=ANY_SIZE, max_bytes=memory)
    except DataError as error:
        raise GeometryError(str(error)) from error
    if picture.pages > 1 and page is None:
        many = f"{picture.pages:,} pages" if picture.format == "TIFF" else "several pictures"
        picture.close()
        raise UsageError(
            f"{path} holds {many}, not one image; give the one that is meant, such as "
            "striate.inference.tiled.open_file(path, page=0), or channels as an array (C, H, W)"
        )
    return FileImage(path, _Planes(picture))


class FileImage:
    """One image of a file, as planes (C, H, W) of whatever kind of number the file holds.

    pages: how many images the file holds; page: the one that is read, from 0; pictures: its format; colours: as `Picture`
        has them.
    """

    count = 1
    batched = True
    pages, page, held, colours, pictures = 1, 0, 0, 0, ""

    def __init__(self, path: Path, array: RawArray | _Planes | _Fewer) -> None:
        self.path, self.array, self.shape = path, array, array.shape
        self.name = str(path)
        if isinstance(array, _Planes):
            picture = array.picture
            self.pages, self.page, self.held = picture.pages, picture.page, picture.held
            self.colours, self.pictures = picture.colours, picture.format

    def read(self, number: int, box: Box) -> Tensor:
        sides = [s for s in box if s is not None]
        try:
            part = self.array.read(((0, self.shape[0]), *sides))
        except DataError as error:
            raise GeometryError(f"cannot read {self.path}: {error}") from error
        return tensor_of(_counted(part))[None]

    def levels(self) -> tuple[FileImage, ...]:
        """The same image in fewer pixels, where the file holds it, the largest first."""
        if not isinstance(self.array, _Planes):
            return ()
        reduced = getattr(self.array.picture, "reduced", ())
        return tuple(FileImage(self.path, _Fewer(one)) for one in reduced)

    def identity(self) -> str:
        state = self.path.stat()
        which = f" page {self.page}" if self.page else ""
        return f"{self.path.resolve()} {state.st_size} {state.st_mtime_ns} {self.shape}{which}"


class _Planes:
    """A picture as planes (C, H, W)."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        height, width, channels = picture.shape
        self.shape = (channels, height, width)

    def read(self, box: tuple[tuple[int, int], ...]) -> np.ndarray:
        _, rows, columns = box
        return np.ascontiguousarray(self.picture.read(rows, columns).transpose(2, 0, 1))


class _Fewer:
    """An overview that a file holds of its image, as planes (C, H, W)."""

    def __init__(self, reduced: Any) -> None:
        height, width, channels = reduced.shape
        self._reduced, self.shape = reduced, (channels, height, width)

    def read(self, box: tuple[tuple[int, int], ...]) -> np.ndarray:
        _, rows, columns = box
        return np.ascontiguousarray(self._reduced.read(rows, columns).transpose(2, 0, 1))


def _counted(part: np.ndarray) -> np.ndarray:
    """int32 as int64: int32 tensors are what 16-bit images become, which reach from 0 to 65535."""
    return part.astype(np.int64) if part.dtype == np.int32 else part


def _numpy(path: Path) -> Image:
    try:
        refuse_special(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except SpecialFileError as error:
        raise GeometryError(f"cannot read {path}: {error.strerror}") from error
    except (OSError, ValueError, EOFError) as error:
        raise GeometryError(
            f"cannot read {path}: {error}; write it again with numpy.save"
        ) from error
    except Exception as error:  # NumPy reads a header as Python, with whatever that raises
        raise GeometryError(
            f"cannot read {path}: its header is damaged; write it again with numpy.save"
        ) from error
    if mapped.ndim == 2:
        mapped = mapped[None]
    if mapped.ndim != 3 or not mapped.flags.c_contiguous or 0 in mapped.shape:
        raise GeometryError(
            f"{path} holds an array of shape {mapped.shape}; an image is (C, H, W) or (H, W) in row-major order"
        )
    offset = mapped.offset if hasattr(mapped, "offset") else 0
    return FileImage(path, RawArray(path, offset, mapped.shape, mapped.dtype))


def _zarr(path: Path) -> Image:
    try:
        import zarr
    except ImportError as error:
        raise UsageError(f"{path} is a Zarr store; `pip install zarr` to read it") from error
    try:
        array: Any = zarr.open(str(path), mode="r")
    except Exception as error:  # zarr has a kind of its own for each thing that can be wrong
        raise GeometryError(f"cannot read {path} as a Zarr store: {error}") from error
    while not hasattr(array, "dtype"):  # an OME-Zarr group: its largest level is called 0
        keys = sorted(array.keys())
        if not keys:
            raise GeometryError(f"{path} is a Zarr group without an array")
        array = array["0" if "0" in keys else keys[0]]
    extra = array.ndim - 3
    if array.ndim < 2 or any(n != 1 for n in array.shape[: max(extra, 0)]):
        raise GeometryError(
            f"{path} holds an array of shape {array.shape}; an image is (C, H, W) or (H, W), other axes of length 1"
        )
    return ArrayImage(_Stack(array), 2, path)


class _Stack:
    """The last three axes of an array-like, (C, H, W)."""

    def __init__(self, array: Any) -> None:
        self.array = array
        shape = tuple(array.shape)
        self.shape = shape[-3:] if len(shape) > 2 else (1, *shape)
        self.dtype = array.dtype

    def __getitem__(self, places: tuple[Any, ...]) -> np.ndarray:
        ndim = len(self.array.shape)
        if ndim == 2:
            return _counted(np.asarray(self.array[places[1:]])[None])
        return _counted(np.asarray(self.array[(0,) * (ndim - 3) + places]))


def to_unit(part: Tensor) -> Tensor:
    """Pixels (N, C, *axes) of 8-bit and 16-bit integers as float32 from 0 to 1; other numbers as they are, in any shape."""
    if part.dtype == torch.uint8:
        return part.float().div_(255)
    if part.dtype == torch.int32:  # uint16 comes as int32
        return part.float().div_(65535)
    return part
