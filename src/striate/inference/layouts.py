"""Layouts: the order in which oneDNN wants a convolution's weights, which depends on the size of the maps.

A weight in another layout is brought into the wanted one at every call, which can take fifty times as long as the
convolution. Which one is wanted is known for a size alone: on AVX2 the blocks of output channels are 16, 24 or 32, whichever
fills the rows best, and kernels of one position have several everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

# oneDNN's description begins with a number, the number of axes, 12 sizes of 8 bytes and the kind of number; the 4 bytes that
# align what follows hold what lay there before.
NUMBERS, HOLE, AXES = 193, 27, 4


def laid_out(
    weight: Tensor, shape: Sequence[int], *, padding: Sequence[int], stride: Sequence[int], dilation: Sequence[int],
    groups: int,
) -> Tensor:  # fmt: skip
    """A weight (O, C / groups, h, w) in the layout that suits maps of `shape` (N, C, H, W)."""
    made: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        weight, list(padding), list(stride), list(dilation), groups, list(shape)
    )
    return made


def layout(laid: Tensor) -> bytes:
    """What tells the layout of a weight (O, C, h, w) from others of it."""
    numbers = torch.ops.mkldnn._get_mkldnn_serialized_md(laid).view(torch.int32).tolist()
    if len(numbers) == NUMBERS and numbers[1] in (AXES, AXES + 1):
        numbers[HOLE] = 0
    return repr(numbers).encode()


@lru_cache(maxsize=65536)
def layout_for(
    weight: tuple[int, ...], dtype: torch.dtype, shape: tuple[int, ...], padding: tuple[int, ...], stride: tuple[int, ...],
    dilation: tuple[int, ...], groups: int, threads: int,
) -> bytes:  # fmt: skip
    """The layout that suits maps of `shape` (N, C, H, W) for a weight (O, C / groups, h, w), with so many threads."""
    zeros = torch.zeros(weight, dtype=dtype)
    return layout(
        laid_out(zeros, shape, padding=padding, stride=stride, dilation=dilation, groups=groups)
    )
