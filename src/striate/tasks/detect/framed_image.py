"""An image of any size, resized to its frame part by part: what tiling reads where a detector sees images resized."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from striate.data.preprocessing import Preprocessing
from striate.data.resampling import resampled, source_of
from striate.inference.tiled.read.images import Image
from striate.tasks.tiling import as_read

BAND = 2**22  # pixels of the image that are read at once


class FramedImage:
    """What `Preprocessing.colours` makes of a whole image, (channels, h, w) uint8, read box by box."""

    count = 1
    batched = True
    colours = 0

    def __init__(self, image: Image, preprocessing: Preprocessing) -> None:
        self.image, self.preprocessing = image, preprocessing
        self.whole = preprocessing.unframed
        self.size = image.shape[-2], image.shape[-1]
        self.shape: tuple[int, ...] = (preprocessing.channels, *preprocessing.frame(*self.size))
        self.name = image.name
        self.held = image.held + 16 * BAND
        self.scales = tuple(n / m for n, m in zip(self.size, self.shape[1:], strict=True))

    def read(self, number: int, box: tuple[tuple[int, int] | None, ...]) -> Tensor:
        (top, bottom), (left, right) = (side or (0, n) for side, n in zip(box, self.shape[1:], strict=True))  # fmt: skip
        rows = max(1, int(BAND / ((right - left + 4) * max(self.scales[1], 1) * max(self.scales[0], 1))))  # fmt: skip
        bands = [
            self._band(number, (start, min(start + rows, bottom)), (left, right))
            for start in range(top, bottom, rows)
        ]
        page = np.concatenate(bands)
        if page.shape[-1] != self.shape[0]:
            page = np.repeat(page, self.shape[0], axis=-1)
        return torch.from_numpy(np.ascontiguousarray(page.transpose(2, 0, 1)))[None]

    def _band(self, number: int, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
        """(h, w, C) uint8 of the resized image, from the pixels that it comes from and those that the filter reaches."""
        taken = [
            source_of(side[0], side[1] - side[0], n, m)
            for side, n, m in zip((rows, columns), self.size, self.shape[1:], strict=True)
        ]
        raw = self.image.read(number, (taken[0], taken[1]))
        pixels = self.whole.eight_bits(as_read(raw, getattr(self.image, "colours", 0)))
        if pixels.shape[-1] == 3 and self.preprocessing.channels == 1:
            pixels = self.whole.colours(pixels).transpose(1, 2, 0)
        return resampled(
            pixels, (rows[1] - rows[0], columns[1] - columns[0]), of=self.size, to=(self.shape[1], self.shape[2]),
            corner=(taken[0][0], taken[1][0]), start=(rows[0], columns[0]),
        )  # fmt: skip

    def identity(self) -> str:
        return f"{self.image.identity()} framed {self.shape} {self.preprocessing.interpolation}"
