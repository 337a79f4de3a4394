"""Decoded images with their targets, and the order in which crops are cut from them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from striate.data.pool import ordered
from striate.memory import available_memory
from striate.training.world import here

KEPT = 8  # decoded images that are kept, where not all fit into memory
VISITS = 4  # crops taken in a row from an image that must be decoded

T = TypeVar("T")


class Decoded(Generic[T]):
    """What `decode` makes of each of N images, by number; all in memory, or decoded when needed."""

    def __init__(self, decode: Callable[[int], T], count: int, *, in_memory: bool) -> None:
        self.in_memory = in_memory
        self._decode = decode
        self._count = count
        self._kept: OrderedDict[int, T] = OrderedDict()
        if in_memory:
            for index, one in enumerate(ordered(decode, range(count))):
                self._kept[index] = one

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> T:
        one = self._kept.get(index)
        if one is None:
            one = self._kept[index] = self._decode(index)
        if not self.in_memory:
            self._kept.move_to_end(index)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return one


def fits(needed: int) -> bool:
    """Whether images of so many bytes are kept in memory: in a quarter of what is free, which the processes of one
    machine share; the order of crops hangs on it, so that all of them decide alike.
    """
    world = here()
    return world.all(needed <= available_memory() // (4 * world.local_size))


def stacked(tensors: Sequence[Tensor], blank: Tensor) -> Tensor:
    """(n, ...) of tensors (...); (0, ...) of none, of the shape of `blank`."""
    return torch.stack(list(tensors)) if len(tensors) else blank[None][:0]


def crops_of(sizes: np.ndarray, crop: tuple[int, int]) -> np.ndarray:
    """Crops that an epoch takes from each image, (N,) int64: as many as fit beside one another. sizes: (N, 2) pixels."""
    return np.maximum(1, np.rint((sizes / crop).clip(min=1).prod(1))).astype(np.int64)


def order_of_crops(
    crops: np.ndarray, batch: int, *, seed: int, epoch: int, in_memory: bool
) -> list[np.ndarray]:
    """The image numbers of one epoch's batches; crops (N,) are taken from each image."""
    rng = np.random.default_rng((seed, epoch))
    visits = 1 if in_memory else VISITS
    stops = np.repeat(np.arange(len(crops)), -(-crops // visits))
    rng.shuffle(stops)
    images = np.repeat(stops, visits) if visits > 1 else stops
    size = min(batch, len(images))
    return [images[i * size : (i + 1) * size] for i in range(steps_of(crops, batch))]


def steps_of(crops: np.ndarray, batch: int) -> int:
    """Batches in one pass over the images. crops: (N,) from each."""
    return max(1, int(crops.sum()) // batch)
