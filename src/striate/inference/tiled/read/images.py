"""Images: where the pixels come from. An image is read box by box and never needs to fit in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from striate.geometry import Box

Preprocess = Callable[[Tensor], Tensor]


class Image(Protocol):
    """What tiled inference reads: `count` images of `shape` (C, *spatial).

    batched: whether results keep the dimension of images. name: who it is, for messages. held: bytes that reading keeps.
    """

    held: int
    count: int
    shape: tuple[int, ...]
    batched: bool
    name: str

    def read(self, number: int, box: Box) -> Tensor:
        """The box of one image, (1, C, *sides), on the CPU or where the tensor lies, in any kind of number."""
        ...

    def identity(self) -> str:
        """Changes when the pixels do, as far as can be seen cheaply."""
        ...


class TensorImage:
    """A tensor (N, C, *size) or (C, *size)."""

    held = 0

    def __init__(self, tensor: Tensor, axes: int) -> None:
        self.batched = tensor.dim() == axes + 2
        self.tensor = tensor if self.batched else tensor[None]
        self.count = self.tensor.shape[0]
        self.shape = tuple(self.tensor.shape[1:])
        self.name = "tensor"

    def read(self, number: int, box: Box) -> Tensor:
        part = self.tensor[number : number + 1]
        for k, side in enumerate(box):
            assert side is not None
            part = part.narrow(2 + k, side[0], side[1] - side[0])
        return part

    def identity(self) -> str:
        return f"tensor {tuple(self.tensor.shape)} {self.tensor.dtype} {_sampled(self)}"


class ArrayImage:
    """Anything with `shape`, `dtype` and slicing, (N, C, *spatial) or (C, *spatial): NumPy, a memory map, Zarr."""

    held = 0

    def __init__(self, array: Any, axes: int, path: Path | None = None) -> None:
        self.array, self.path = array, path
        self.batched = len(array.shape) == axes + 2
        self.count = int(array.shape[0]) if self.batched else 1
        self.shape = tuple(int(n) for n in array.shape[1 if self.batched else 0 :])
        self.name = str(path or getattr(array, "filename", None) or type(array).__name__)

    def read(self, number: int, box: Box) -> Tensor:
        places: list[Any] = [slice(None)]
        for side in box:
            assert side is not None
            places.append(slice(*side))
        if self.batched:
            places.insert(0, number)
        part = np.asarray(self.array[tuple(places)])
        return tensor_of(part)[None]

    def identity(self) -> str:
        return f"{self.name} {tuple(self.array.shape)} {self.array.dtype} {_sampled(self)}"


def tensor_of(part: np.ndarray) -> Tensor:
    """A tensor of the same shape and numbers; kinds of number that torch lacks become the next larger one."""
    wider = {"uint16": np.int32, "uint32": np.int64, "uint64": np.float64}.get(part.dtype.name)
    part = np.ascontiguousarray(part) if wider is None else part.astype(wider)
    if not part.dtype.isnative:
        part = part.astype(part.dtype.newbyteorder("="))
    # A side of one pixel may run backwards and count as contiguous all the same; torch takes no such array.
    if not part.flags.writeable or min(part.strides, default=1) < 0:
        part = part.copy()
    return torch.from_numpy(part)


def _sampled(image: Image) -> str:
    """A digest of a few rows of pixels, first, middle and last."""
    from hashlib import blake2b

    digest = blake2b(digest_size=16)
    n = image.shape[1]
    for row in sorted({0, n // 3, n // 2, n - 1}):
        box: Box = ((row, row + 1), *((0, s) for s in image.shape[2:]))
        digest.update(image.read(0, box).contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()
