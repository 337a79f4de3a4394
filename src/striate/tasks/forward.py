"""Forward: a trained network over many images, as fast as this machine runs it.

On a CPU many images go through the folded network (`striate.inference.folded`), a few at a time, on threads that have a
processor each and also decode: nothing waits for anything else, neither threads for each other within a layer nor the
network for files. Few images, a GPU, and a network that cannot be folded take the module, while threads decode ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from striate.borrow import forward
from striate.data.pool import ordered
from striate.memory import keep_large_buffers
from striate.tasks.trained import Trained
from striate.training.loop import predict_logits
from striate.training.machine import choose_precision, side_by_side

MANY = 64  # images from which folding, half a second for a network of 50 layers, is repaid
AT_ONCE = 64  # images of a piece where the module runs as it is
# Pixels of a piece of the folded network: fewer start kernels more often, more leave the caches.
PIXELS = 8 * 224 * 224
CHECKED = 2  # images by which the folded network is compared with the module

T = TypeVar("T")
Read = Callable[[T], np.ndarray | str]
Piece = tuple[list[tuple[T, str | None]], Tensor | None]


class Forward:
    """The network of `trained` on `device`, for about `images` images."""

    def __init__(self, trained: Trained, device: torch.device, images: int) -> None:
        self.trained, self.device = trained, device
        self.dtype = choose_precision(trained.precision, device)
        self.network: nn.Module = trained.model.to(device)
        self.alone = False  # whether each thread has its own images, and the network for them
        if device.type == "cpu":
            keep_large_buffers()
            # An engine in the network's place has a form for many images, too.
            abreast: Any = getattr(self.network, "abreast", None) if images >= MANY else None
            if abreast is not None:
                self.network, self.alone = abreast(torch.get_num_threads()), True
            elif images >= MANY:
                self._fold()

    def _fold(self) -> None:
        from striate.inference.folded import fold  # a few images do without geometry

        noise = torch.Generator().manual_seed(0)
        shape = (CHECKED, *self.trained.shape[1:])
        example = torch.randint(0, 256, shape, dtype=torch.uint8, generator=noise)
        folded = fold(self.network, self.trained.normalise(example), self.dtype)
        if folded is not None:
            self.network, self.alone = folded, True
            self.dtype = torch.float32  # what it gives; inside it has its own

    @property
    def at_once(self) -> int:
        """Images of a piece."""
        if not self.alone:
            return AT_ONCE
        _, _, height, width = self.trained.shape
        # A power of two, so that pieces fill up the blocks of a shard: see `striate.runs.shards`.
        most = max(1, min(AT_ONCE, PIXELS // (height * width)))
        return 1 << (most.bit_length() - 1)

    def __call__(self, images: Sequence[np.ndarray]) -> Tensor:
        """Outputs (N, ...) float32 on the CPU of preprocessed images, (C, H, W) uint8 each."""
        x = self.trained.normalise(torch.from_numpy(np.stack(images)).to(self.device))
        if self.alone:
            with torch.inference_mode():
                mirrored = self.trained.flip_test
                found: Tensor = forward(self.network, x, writes=mirrored)
                return (found + self.network(x.flip(-1))) / 2 if mirrored else found
        return predict_logits(self.network, [x], dtype=self.dtype, flip=self.trained.flip_test)

    def stream(self, items: Iterable[T], read: Read[T]) -> Iterator[Piece[T]]:
        """Piece by piece, in order: each item with why it cannot be read, and the outputs of those that can be.

        read: an item as the network sees it, (C, H, W) uint8, or why not, in words. A few pieces wait at a time, however
        many items there are.
        """
        source = iter(items)
        if self.alone:
            pieces = iter(lambda: list(islice(source, self.at_once)), [])
            with side_by_side() as pool:
                yield from ordered(lambda p: self._of([(i, read(i)) for i in p]), pieces, pool=pool)
            return
        images = ordered(lambda item: (item, read(item)), source, ahead=AT_ONCE)
        while piece := list(islice(images, AT_ONCE)):
            yield self._of(piece)

    def _of(self, piece: list[tuple[T, np.ndarray | str]]) -> Piece[T]:
        usable = [image for _, image in piece if not isinstance(image, str)]
        errors = [(item, image if isinstance(image, str) else None) for item, image in piece]
        return errors, self(usable) if usable else None
