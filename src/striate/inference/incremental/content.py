"""Content: what is put into the boxes: a number, a colour, pixels of the box's size, or those of another image."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from striate.errors import UsageError
from striate.inference.incremental.fetch import Crops, Patch

Content = float | Tensor | Sequence[float] | np.ndarray


def as_content(content: Content, image: Tensor) -> Tensor:
    """A content as a tensor (C, *any) that broadcasts to a box; image (1, C, *axes).

    Raises UsageError for a shape that is none of: a number, one number a channel, pixels (C, *axes).
    """
    channels = image.shape[1]
    try:
        # A number of Python goes straight to the image's kind: by way of float32 it would lose digits.
        values = torch.as_tensor(
            content,
            device=image.device,
            dtype=None if isinstance(content, (Tensor, np.ndarray)) else image.dtype,
        ).to(image.dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"a content is a number, one number a channel, or pixels (C, *size); got {type(content).__name__} ({error})"
        ) from error
    axes = image.dim() - 2
    if values.dim() == image.dim() and values.shape[0] == 1:
        values = values[0]
    if values.dim() == 0:
        values = values.expand(channels)
    if values.dim() == 1 and values.shape[0] == channels:
        return values.reshape(channels, *[1] * axes)
    if values.dim() == axes + 1 and values.shape[0] in (1, channels):
        return values.expand(channels, *values.shape[1:])
    raise UsageError(
        f"a content is a number, {channels} numbers, or pixels ({channels}, ...) with {axes} axes; "
        f"got the shape {tuple(values.shape)}"
    )


class Boxes:
    """The changed boxes of the image for a group: content inside each region, clean pixels around it.

    A box is larger than its region where regions of several sizes share a group.
    """

    def __init__(
        self, clean: Tensor, patch: Patch, regions: np.ndarray, contents: Sequence[Tensor],
    ) -> None:  # fmt: skip
        """clean (*axes, C); regions (positions, axes, 2); contents: one for all, or one a position."""
        starts = [s for s in patch.starts if s is not None]
        sizes = [n for n in patch.sizes if n is not None]
        self.clean = Crops(clean, starts, sizes)
        inside = regions - np.stack(starts, 1)[:, :, None]
        self.inside = inside
        flat = inside.reshape(len(inside), -1)
        self.breaks = [0, *(np.flatnonzero((flat[1:] != flat[:-1]).any(1)) + 1).tolist()]
        self.contents = contents
        self.regions = regions
        self.extents = clean.shape[:-1]
        self.common: Crops | None = None
        if len(contents) == 1 and contents[0].shape[1:] == self.extents:
            self.common = Crops(contents[0].movedim(0, -1).contiguous(), starts, sizes)

    def __call__(self, a: int, b: int) -> Tensor:
        """Boxes a to b - 1: (b - a, C, *sizes)."""
        boxes = self.clean(a, b)
        if len(self.contents) > 1:
            for i in range(a, b):
                self._fill(boxes[i - a], i, self.contents[i])
            return boxes.movedim(-1, 1)
        common = None if self.common is None else self.common(a, b)
        i = bisect_right(self.breaks, a) - 1
        while i < len(self.breaks) and self.breaks[i] < b:
            first = max(self.breaks[i], a)
            last = min(self.breaks[i + 1], b) if i + 1 < len(self.breaks) else b
            place = tuple([slice(s, t) for s, t in self.inside[first].tolist()])
            here = (slice(first - a, last - a), *place)
            if common is not None:
                boxes[here] = common[here]
            elif self.contents[0][0].numel() == 1:
                boxes[here] = self.contents[0].reshape(-1)
            else:
                boxes[here] = self.contents[0].movedim(0, -1)
            i += 1
        return boxes.movedim(-1, 1)

    def _fill(self, box: Tensor, i: int, content: Tensor) -> None:
        place = tuple([slice(s, t) for s, t in self.inside[i].tolist()])
        if content.shape[1:] == self.extents:
            content = content[(slice(None), *(slice(s, t) for s, t in self.regions[i].tolist()))]
        box[place] = content.movedim(0, -1)


def refuse_misfit(contents: Sequence[Tensor], regions: np.ndarray, image: Tensor) -> None:
    """Raises UsageError where pixels are neither of their region's size nor of the image's."""
    extents = tuple(image.shape[2:])
    for i, region in enumerate(regions.tolist()):
        content = contents[i if len(contents) > 1 else 0]
        size = tuple(t - s for s, t in region)
        got = tuple(content.shape[1:])
        if content[0].numel() > 1 and got not in (size, extents):
            raise UsageError(
                f"content of {_x(got)} pixels for box {i} of {_x(size)}; give pixels of the box's size, of the image's "
                f"({_x(extents)}), one number a channel, or one number"
            )


def _x(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
