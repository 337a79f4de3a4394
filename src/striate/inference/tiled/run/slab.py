"""Slab: one block of memory for what a walk keeps from step to step.

Kept pieces are small and live long; between them lie large ones that live for a moment. In one heap the small ones pin
the space around them, and the process grows to several times what it holds.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from math import prod

import torch
from torch import Tensor

ALIGN = 64  # bytes: a cache line, and what vector instructions like


class Slab:
    """A block of `size` bytes, given out in parts; a request that does not fit gets memory of its own."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.block = torch.empty(size, dtype=torch.uint8, device=device)
        self.free: list[tuple[int, int]] = (
            [(0, size)] if size else []
        )  # offset and length, by offset
        self.taken: dict[int, int] = {}

    def room(self, shape: list[int], dtype: torch.dtype, last: bool) -> Tensor:
        """An empty tensor; `last`: with channels last in memory."""
        size = -(-prod(shape) * dtype.itemsize // ALIGN) * ALIGN
        offset = self._take(size)
        form = torch.channels_last if last and len(shape) == 4 else torch.contiguous_format
        if offset is None:
            return torch.empty(shape, dtype=dtype, device=self.block.device, memory_format=form)
        flat = self.block.narrow(0, offset, prod(shape) * dtype.itemsize).view(dtype)
        if form == torch.channels_last:
            n, c, h, w = shape
            return flat.view(n, h, w, c).permute(0, 3, 1, 2)
        return flat.view(shape)

    def _take(self, size: int) -> int | None:
        for place, (offset, length) in enumerate(self.free):
            if length >= size > 0:
                if length == size:
                    del self.free[place]
                else:
                    self.free[place] = (offset + size, length - size)
                self.taken[offset] = size
                return offset
        return None

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor lies in the block."""
        start = self.block.data_ptr()
        return start <= tensor.data_ptr() < start + self.block.numel()

    def give_back(self, tensor: Tensor) -> None:
        """Take back the part that a tensor of `room` began with; other tensors are left alone."""
        offset = tensor.data_ptr() - self.block.data_ptr()
        size = self.taken.pop(offset, None)
        if size is None:
            return
        insort(self.free, (offset, size))
        place = bisect_right(self.free, (offset, size)) - 1
        if place + 1 < len(self.free) and offset + size == self.free[place + 1][0]:
            self.free[place] = (offset, size + self.free.pop(place + 1)[1])
        if place and sum(self.free[place - 1]) == offset:
            before, length = self.free[place - 1]
            self.free[place - 1] = (before, length + self.free.pop(place)[1])

    def clear(self) -> None:
        """Everything is free again."""
        self.taken.clear()
        self.free = [(0, self.block.numel())] if self.block.numel() else []
