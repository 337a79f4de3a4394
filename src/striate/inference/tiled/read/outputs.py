"""Outputs: files that take a result box by box as it is made. TIFF (BigTIFF above 4 GB), NumPy and Zarr."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from striate.errors import UsageError
from striate.geometry import Box
from striate.inference.tiled.read.raw import RawArray
from striate.writing import cannot_write

SUFFIXES = (".tif", ".tiff", ".npy", ".zarr")


class Output(Protocol):
    """A file of planes (C, H, W)."""

    def write(self, box: Box, tensor: Tensor) -> None:
        """Write a box, (1, C, *sides)."""
        ...

    def close(self) -> None:
        """Nothing more will be written."""
        ...


def kind_of_number(dtype: torch.dtype) -> np.dtype:
    """How a tensor's numbers are written: bool as bytes, bfloat16 as float32, others as they are."""
    known = {torch.bool: np.uint8, torch.bfloat16: np.float32}
    return np.dtype(known.get(dtype) or str(dtype).removeprefix("torch."))


def check_output(path: Path) -> None:
    """Raise UsageError for a name that says no known format, or a folder that does not exist."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"an output ends in {', '.join(SUFFIXES)}; got {path}, so choose one of these endings"
        )
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"there is no folder {path.absolute().parent} to write {path.name} in; make it first"
        )


def remove(path: Path) -> None:
    """Delete an output, a file or a Zarr folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """Where an output lies until it is complete: beside it, `map.unfinished.tif` of `map.tif`."""
    return path.with_name(f"{path.stem}.unfinished{path.suffix}")


def complete(path: Path) -> None:
    """Give a complete output its name, in one step but for a Zarr folder that is written over. Raises WriteError."""
    try:
        if path.is_dir() or unfinished(path).is_dir():
            remove(path)
        os.replace(unfinished(path), path)
    except OSError as error:
        raise cannot_write(path, error) from error


def open_output(
    path: Path, shape: tuple[int, ...], dtype: torch.dtype, step: tuple[int, ...], *, again: bool
) -> Output:
    """A new output, or one that is written on (`again`).

    shape: (C, H, W); step: positions that one cell writes, for the chunks of Zarr.
    """
    numbers = kind_of_number(dtype)
    suffix = path.suffix.lower()
    if suffix == ".zarr":
        return ZarrOutput(path, shape, numbers, step, again=again)
    if not again:
        if suffix == ".npy":
            _new_numpy(path, shape, numbers)
        else:
            _new_tiff(path, shape, numbers)
    return RawOutput(RawArray(path, _offset(path), shape, numbers, write=True))


def _new_numpy(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)  # type: ignore[no-untyped-call]


def _new_tiff(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    import tifffile

    planes = shape[0] > 1
    tifffile.memmap(
        path,
        shape=shape if planes else shape[1:],
        dtype=dtype,
        photometric="minisblack",
        planarconfig="separate" if planes else None,
        metadata={"axes": "CYX" if planes else "YX"},
    )


def _offset(path: Path) -> int:
    if path.suffix.lower() == ".npy":
        return int(np.load(path, mmap_mode="r").offset)
    import tifffile

    with tifffile.TiffFile(path) as file:
        offset = file.series[0].dataoffset
    assert offset is not None
    return int(offset)


class RawOutput:
    """An uncompressed file."""

    def __init__(self, array: RawArray) -> None:
        self.array = array

    def write(self, box: Box, tensor: Tensor) -> None:
        sides = [s for s in box if s is not None]
        self.array.write(((0, self.array.shape[0]), *sides), numbers_of(tensor, self.array.dtype))

    def close(self) -> None:
        self.array.close()


class ZarrOutput:
    """A Zarr array whose chunks are the cells of the walk where that makes sensible chunks."""

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        dtype: np.dtype,
        step: tuple[int, ...],
        *,
        again: bool,
    ) -> None:
        try:
            import zarr
        except ImportError as error:
            raise UsageError(
                f"`pip install zarr` to write {path}, or write .tif or .npy"
            ) from error
        if again:
            self.array: Any = zarr.open(str(path), mode="r+")
            return
        sides = [
            min(n, s if s >= 64 else s * -(-64 // s)) for n, s in zip(shape[1:], step, strict=True)
        ]
        self.array = zarr.open(
            str(path), mode="w", shape=shape, dtype=dtype, chunks=(min(shape[0], 16), *sides)
        )

    def write(self, box: Box, tensor: Tensor) -> None:
        places = [slice(*s) for s in box if s is not None]
        self.array[(slice(None), *places)] = numbers_of(tensor, np.dtype(self.array.dtype))

    def close(self) -> None:
        pass


def numbers_of(tensor: Tensor, dtype: np.dtype) -> np.ndarray:
    """A tensor (1, C, ...) as an array (C, ...)."""
    tensor = tensor[0].detach().cpu()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    return tensor.numpy().astype(dtype, copy=False)
