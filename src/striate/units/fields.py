"""Fields: which pixels of an image one position of a layer sees, as a crop."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from striate.geometry import Axis
from striate.units.layers import UnitLayer

Span = tuple[int, int]


def span(axis: Axis | None, position: int, extent: int) -> Span:
    """First pixel and one past the last that a position sees along an axis, not cut at the border."""
    if axis is None:
        return 0, extent
    if axis.phases:
        period = len(axis.phases)
        turn, phase = divmod(position, period)
        shift = int(Fraction(axis.stride) * period) * turn
        first, last = axis.phases[phase]
        return first + shift, last + shift + 1
    start = axis.start + int(axis.stride * position)
    return start, start + axis.size


def full_box(layer: UnitLayer, position: Sequence[int], image: Sequence[int]) -> tuple[Span, ...]:
    """The receptive field of one position, rows before columns, in pixels; it may reach over the border."""
    at = iter(position)
    places = [next(at) if len(position) == len(image) else 0 for _ in image]
    if len(position) not in (0, len(image)):  # an axis was lost: what is left is read whole
        return tuple((0, n) for n in image)
    return tuple(
        span(axis if position else None, place, n)
        for axis, place, n in zip(layer.field, places, image, strict=True)
    )


def clipped(box: Sequence[Span], image: Sequence[int]) -> tuple[Span, ...]:
    """The part of a box that lies in the image."""
    return tuple(
        (min(max(a, 0), n), min(max(b, 0), n)) for (a, b), n in zip(box, image, strict=True)
    )


def field_box(layer: UnitLayer, position: Sequence[int], image: Sequence[int]) -> tuple[Span, ...]:
    """The receptive field of one position, cut at the border: exactly the pixels of its crop."""
    return clipped(full_box(layer, position, image), image)


def unravel(position: int, grid: Sequence[int]) -> tuple[int, ...]:
    """Row and column of a flat position."""
    places: list[int] = []
    for n in reversed(grid):
        position, rest = divmod(position, n)
        places.append(rest)
    return tuple(reversed(places))


def crop(image: Tensor, box: Sequence[Span]) -> Tensor:
    """The pixels (C, h, w) of an image (C, H, W) inside a clipped box."""
    (top, bottom), (left, right) = box
    return image[:, top:bottom, left:right]


def framed(image: Tensor, box: Sequence[Span], seen: Sequence[Span] | None = None) -> Tensor:
    """The pixels (C, h, w) of a box that may reach over the border, nan beyond the image and outside `seen`."""
    rows, cols = image.shape[-2:]
    (top, bottom), (left, right) = box
    page = torch.full((image.shape[0], bottom - top, right - left), torch.nan)
    (t, b), (le, r) = clipped(box, (rows, cols))
    if seen is not None:
        (t, b), (le, r) = (
            (max(x, y), min(z, w)) for (x, z), (y, w) in zip(((t, b), (le, r)), seen, strict=True)
        )
    page[:, t - top : b - top, le - left : r - left] = crop(image, ((t, b), (le, r)))
    return page
