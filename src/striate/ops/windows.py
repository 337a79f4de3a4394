"""Windows: every position that a kernel can take on a grid, enumerated one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from striate.errors import UsageError

PerAxis = int | Sequence[int]
Index = tuple[Any, ...]


def per_axis(name: str, value: PerAxis, dims: int, *, least: int = 1) -> tuple[int, ...]:
    """`value` as one integer an axis; a single integer counts for every axis.

    Raises UsageError if there are too few or too many, or if one is below `least`.
    """
    values = (value,) * dims if isinstance(value, int) else tuple(value)
    if len(values) != dims or any(v < least for v in values):
        raise UsageError(
            f"{name} must be one integer or {dims}, each at least {least}, got {value}; give one "
            f"for every spatial axis"
        )
    return values


def last_axes(parts: Iterable[int | slice]) -> Index:
    """The index of `parts` in the last axes of a tensor: x[last_axes([1, 2])] is x[..., 1, 2]."""
    return (..., *parts)


def starts(length: int, kernel: int, stride: int = 1, dilation: int = 1) -> list[int]:
    """The positions 0, stride, 2 * stride, ... where a kernel lies wholly on an axis of `length`
    pixels."""
    return [i for i in range(0, length, stride) if i + dilation * (kernel - 1) < length]


@dataclass(frozen=True)
class Windows:
    """The windows of a `kernel` on a grid of `sizes` pixels, in reading order.

    Iterating gives an index of the last axes for each window: `x[window]` is what the kernel sees
    there. Raises UsageError where the kernel fits nowhere.
    """

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]

    def __post_init__(self) -> None:
        if 0 in self.shape:
            raise UsageError(
                f"a kernel of {self.kernel} pixels with dilation {self.dilation} fits nowhere in "
                f"{self.sizes} pixels; pad the input or take a smaller kernel"
            )

    @property
    def starts(self) -> list[list[int]]:
        """The first pixel of every window, a list an axis."""
        axes = zip(self.sizes, self.kernel, self.stride, self.dilation, strict=True)
        return [starts(*axis) for axis in axes]

    @property
    def shape(self) -> tuple[int, ...]:
        """How many windows there are along each axis: the output's size, by counting."""
        return tuple(len(axis) for axis in self.starts)

    def __iter__(self) -> Iterator[Index]:
        for corner in product(*self.starts):
            yield placed(corner, self.kernel, self.dilation)


def placed(corner: Sequence[int], kernel: Sequence[int], dilation: Sequence[int]) -> Index:
    """What a kernel covers with its first element at `corner`, as an index of the last axes."""
    return last_axes(
        slice(i, i + d * (k - 1) + 1, d) for i, k, d in zip(corner, kernel, dilation, strict=True)
    )
