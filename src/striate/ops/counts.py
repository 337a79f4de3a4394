"""Sizes, parameters and products of a layer, as the lectures count them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from striate.ops.sizes import output_size


class Count(NamedTuple):
    """One row of lecture 000's table: the output's shape, the learned numbers, the multiplications for
    one image."""

    output: tuple[int, ...]
    parameters: int
    products: int


def count_conv(
    shape: Sequence[int],
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    bias: bool = True,
) -> Count:
    """A convolutional layer on an image of `shape` (C, *size): C_out (C k^d + 1) parameters (lecture
    000, case study).

    Each of the C_out * windows outputs takes C k^d products.
    """
    channels, *size = shape
    windows = [output_size(n, kernel, stride=stride, padding=padding) for n in size]
    per_filter = channels * kernel ** len(size)
    return Count(
        (out_channels, *windows),
        out_channels * (per_filter + bias),
        out_channels * prod(windows) * per_filter,
    )


def count_pool(
    shape: Sequence[int], kernel: int, *, stride: int | None = None, padding: int = 0
) -> Count:
    """A pooling layer: nothing is learned and, for a maximum, nothing multiplied. stride defaults
    to the kernel."""
    channels, *size = shape
    step = kernel if stride is None else stride
    windows = [output_size(n, kernel, stride=step, padding=padding) for n in size]
    return Count((channels, *windows), 0, 0)


def count_linear(shape: Sequence[int], out_features: int, *, bias: bool = True) -> Count:
    """A fully connected layer on all numbers of `shape`: O (I + 1) parameters, O I products."""
    inputs = prod(shape)
    return Count((out_features,), out_features * (inputs + bias), out_features * inputs)


def parameters_per_filter(in_channels: int, kernel: Sequence[int]) -> int:
    """M N C: a filter reaches through all channels of its input (lecture 003, "Filter sizes": 3 x 3 x
    3 = 27)."""
    return in_channels * prod(kernel)
