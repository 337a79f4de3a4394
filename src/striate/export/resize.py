"""Resize in a graph: Pillow's resampling to the bit, as matrix products that every engine computes exactly.

Pillow resamples 8-bit images in two passes, columns first, each with weights of 22 binary places and rounded to whole grey
levels. Float32 holds integers below 2^24 exactly, whatever the order of a sum, so each weight is split into a coarse part
of 14 bits and a fine one of 8: two products of integers, put together without a rounding. Engines whose matrix products are
not float32 (bfloat16, TF32) are found out by the proof.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.data import Preprocessing

PLACES = 22  # binary places of Pillow's weights: 32 - 8 - 2
FINE = 8  # of them in the fine part
COARSE = PLACES - FINE
SUPPORT = {"box": 0.5, "bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}
MOST_TAPS = 320  # pixels below a filter up to which the fine part's sums stay below 2^23


@dataclass(frozen=True)
class Side:
    """How one axis is resampled, all scalars float64.

    length: pixels of the source. first, last: of it that are kept. count: pixels that the kept part becomes. offset: which
    of those is the first of the result; those outside 0..count are bars.
    """

    length: Tensor
    first: Tensor
    last: Tensor
    count: Tensor
    offset: Tensor


def sides_of(how: Preprocessing, height: Tensor, width: Tensor) -> tuple[Side, Side]:
    """The two axes of an image of (height, width), scalars float64, as `Preprocessing.apply` places it."""
    lengths, sizes = (height, width), how.size
    zero = torch.zeros_like(height)
    whole = [(zero, length) for length in lengths]
    if how.resize:
        counts = _first_counts(how, height, width)
        return _pair(lengths, whole, counts, [_centre(n, s) for n, s in zip(counts, sizes, strict=True)])  # fmt: skip
    wanted = [torch.full_like(height, side) for side in sizes]
    if how.fit == "pad":
        scale = torch.minimum(how.height / height, how.width / width)
        counts = [(length * scale).round().clamp(min=1) for length in lengths]
        bars = [-((w - n) / 2).floor() for w, n in zip(wanted, counts, strict=True)]
        return _pair(lengths, whole, counts, bars)
    if how.fit == "crop":
        scale = torch.minimum(height / how.height, width / how.width) * _double(how.crop_fraction)
        kept = [torch.minimum(scale * s, n) for s, n in zip(sizes, lengths, strict=True)]
        starts = [(n - k) / 2 for n, k in zip(lengths, kept, strict=True)]
        ends = [torch.minimum(s + k, n) for s, k, n in zip(starts, kept, lengths, strict=True)]
        whole = list(zip(starts, ends, strict=True))
    return _pair(lengths, whole, wanted, [zero, zero])


def weights_of(side: Side, pixels: Tensor, size: int, interpolation: str) -> Tensor:
    """(size, n) float64: Pillow's weights times 2^22, whole numbers, of each of `size` new pixels; rows of bars are 0.

    pixels: (n,) float64, 0 to n - 1, of the source.
    """
    first = side.first.float()  # Pillow's boxes are single precision, and so is their difference
    scale = (side.last.float() - first).double() / side.count
    place = torch.arange(size, dtype=torch.float64) + side.offset
    middle = first.double() + (place + 0.5) * scale
    if interpolation == "nearest":
        steps = torch.arange(size, dtype=torch.float64)
        added = torch.where(steps == 0, first.double() + 0.5 * scale, scale).cumsum(0)
        # Pillow adds the step up, whose roundings show where it meets a pixel's edge; from the first pixel on.
        inside = (place >= 0) & (place < size)
        middle = torch.where(inside, added[place.clamp(0, size - 1).long()], middle)
        weights = (pixels == middle.floor()[:, None]).double() * 2.0**PLACES
    else:
        widened = scale.clamp(min=1.0)
        reach = SUPPORT[interpolation] * widened
        start = (middle - reach + 0.5).floor().clamp(min=0)
        end = torch.minimum((middle + reach + 0.5).floor(), side.length)
        raw = _filtered((pixels - middle[:, None] + 0.5) * (1.0 / widened), interpolation)
        raw = torch.where((pixels >= start[:, None]) & (pixels < end[:, None]), raw, 0.0)
        total = raw.sum(1, keepdim=True)
        raw = raw / torch.where(total == 0, 1.0, total)
        weights = raw.sign() * (raw.abs() * 2.0**PLACES + 0.5).floor()
    inside = (place >= 0) & (place < side.count)
    return torch.where(inside[:, None], weights, 0.0)


def split(weights: Tensor) -> Tensor:
    """(2 * size, n) float32: the coarse parts of weights (size, n), and below them the fine ones."""
    coarse = (weights / 2**FINE).round()
    return torch.cat([coarse, weights - coarse * 2**FINE]).float()


def summed(products: Tensor, axis: int) -> Tensor:
    """Grey levels from the products with the coarse and the fine weights, which lie one after another along `axis`."""
    coarse, fine = products.chunk(2, axis)
    whole = (coarse / 2**COARSE).floor()
    rest = (coarse - whole * 2**COARSE) * 2**FINE + fine + 2 ** (PLACES - 1)
    return (whole + (rest / 2**PLACES).floor()).clamp(0, 255)


class Resize(nn.Module):
    """Images (N, C, H, W) of whole grey levels, float32, to (N, C, height, width): the same as `Preprocessing.apply`.

    size: (height, width) of all images; the weights are constants then. None: of any size, the weights are computed in the
    graph, in float64.
    """

    bars: Tensor
    rows: Tensor | None
    columns: Tensor | None
    inside: Tensor | None

    def __init__(self, how: Preprocessing, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.how = how
        bars = torch.zeros(how.channels)
        if how.fit == "pad":
            bars = (torch.tensor(how.mean, dtype=torch.float64) * 255).round().clamp(0, 255).float()
        self.register_buffer("bars", bars.view(1, -1, 1, 1), persistent=True)
        rows, columns, inside = (None, None, None) if size is None else self.made(*size)
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns)
        self.register_buffer("inside", inside)

    def made(self, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """The split weights of rows and columns, and 1 where the image lies, 0 for bars, (height, width) float32."""
        sizes = [torch.scalar_tensor(n, dtype=torch.float64) for n in (height, width)]
        sides = sides_of(self.how, sizes[0], sizes[1])
        rows, columns = (
            weights_of(side, torch.arange(n, dtype=torch.float64), size, self.how.interpolation)
            for side, n, size in zip(sides, (height, width), self.how.size, strict=True)
        )
        inside = (rows != 0).any(1)[:, None] & (columns != 0).any(1)[None]
        return split(rows), split(columns), inside.float()

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, height, width)."""
        rows, columns, inside = self.rows, self.columns, self.inside
        if rows is None or columns is None or inside is None:
            rows, columns, inside = self.made(images.shape[2], images.shape[3])
        tall = summed(images @ columns.T, 3)
        made = summed(rows @ tall, 2)
        return made if self.how.fit != "pad" else made + self.bars * (1 - inside)


def trivial(how: Preprocessing, size: tuple[int, int] | None) -> bool:
    """Whether images of this size enter as they are."""
    return size == how.size and not how.resize and (how.fit != "crop" or how.crop_fraction == 1)


def _pair(lengths, kept, counts, offsets) -> tuple[Side, Side]:  # type: ignore[no-untyped-def]
    rows, columns = (
        Side(n, first, last, count, offset)
        for n, (first, last), count, offset in zip(lengths, kept, counts, offsets, strict=True)
    )
    return rows, columns


def _first_counts(how: Preprocessing, height: Tensor, width: Tensor) -> list[Tensor]:
    """(rows, columns) after the first of two steps; the longer side is rounded down."""
    short = torch.full_like(height, how.resize)
    if how.fit == "squash":
        return [short, short]
    rows = torch.where(height <= width, short, (how.resize * height / width).floor())
    return [rows, torch.where(height <= width, (how.resize * width / height).floor(), short)]


def _centre(count: Tensor, side: int) -> Tensor:
    """Which of `count` pixels is the first of the `side` in the middle; negative where bars lie before them."""
    missing = (side - count).clamp(min=0)
    return ((count + missing - side) / 2).round() - (missing / 2).floor()


def _filtered(x: Tensor, interpolation: str) -> Tensor:
    """Pillow's filters."""
    if interpolation == "box":
        return ((x > -0.5) & (x <= 0.5)).double()
    if interpolation == "bilinear":
        return (1.0 - x.abs()).clamp(min=0)
    if interpolation == "bicubic":
        a, x = -0.5, x.abs()
        near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
        far = (((x - 5) * x + 8) * x - 4) * a
        return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
    made = _sinc(x) * _sinc(x / 3)
    return torch.where((x >= -3) & (x < 3), made, 0.0)


def _double(value: float) -> Tensor:
    """A number that is no whole one: exporters write those, bare or by `full`, in single precision."""
    return torch.tensor(value, dtype=torch.float64)


def _sinc(x: Tensor) -> Tensor:
    angle = x * _double(math.pi)
    return torch.where(x == 0, 1.0, angle.sin() / torch.where(x == 0, 1.0, angle))
