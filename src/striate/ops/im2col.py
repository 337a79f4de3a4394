"""Convolution as patches times weights: im2col."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.ops.convolution import ConvPlan
from striate.ops.padding import Padding, pad
from striate.ops.windows import PerAxis, Windows, per_axis


def im2col(
    x: Tensor, kernel: tuple[int, ...], *, stride: PerAxis = 1, dilation: PerAxis = 1
) -> Tensor:
    """Every patch of the input as a column: x (N, C, *size) -> (N, C * K, L).

    K pixels a patch, L windows in reading order. The caller pads. What lecture 003 calls patch
    processing: the layer sees nothing but these columns, and treats each in the same way. Raises
    UsageError if the kernel fits nowhere.
    """
    grid = _windows(x.shape[2:], kernel, stride, dilation)
    return torch.stack([x[window].flatten(1) for window in grid], -1)


def col2im(
    columns: Tensor,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    *,
    stride: PerAxis = 1,
    dilation: PerAxis = 1,
) -> Tensor:
    """Put every patch back where it came from and add where they overlap: (N, C * K, L) -> (N, C,
    *size).

    The transpose of `im2col`, not its inverse: a pixel that lies in four patches comes back four
    times.
    """
    grid = _windows(size, kernel, stride, dilation)
    patches = columns.unflatten(1, (-1, *kernel))
    image = columns.new_zeros(*patches.shape[:2], *size)
    for place, window in enumerate(grid):
        image[window] += patches[..., place]
    return image


def pixel_use(size: tuple[int, ...], kernel: tuple[int, ...], *, stride: PerAxis = 1) -> Tensor:
    """How many windows see each pixel: corners are seen least (lecture 001, "corner pixels").

    Counts (*size), whole numbers. size and kernel in pixels -> counts of shape `size`.
    """
    x = torch.ones(1, 1, *size, dtype=torch.float64)
    return col2im(im2col(x, kernel, stride=stride), size, kernel, stride=stride)[0, 0].long()


def conv_im2col(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Tensor:
    """`conv` as one matrix product a group: weights (O, C * K) times patches (C * K, L)."""
    plan = ConvPlan.of(x, weight, stride, padding, dilation, groups)
    x_padded = pad(x, plan.widths, padding_mode)
    outputs = []
    for x_g, w_g in zip(x_padded.chunk(groups, 1), weight.chunk(groups, 0), strict=True):
        columns = im2col(x_g, tuple(weight.shape[2:]), stride=stride, dilation=dilation)
        outputs.append(w_g.flatten(1) @ columns)
    y = torch.cat(outputs, 1)
    if bias is not None:
        y = y + bias[:, None]
    return y.unflatten(-1, plan.windows.shape)


def _windows(
    size: tuple[int, ...], kernel: tuple[int, ...], stride: PerAxis, dilation: PerAxis
) -> Windows:
    dims = len(kernel)
    steps, spread = per_axis("stride", stride, dims), per_axis("dilation", dilation, dims)
    return Windows(tuple(size), tuple(kernel), steps, spread)
