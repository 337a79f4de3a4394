"""Convolution as a matrix: Toeplitz in one dimension, doubly blocked in two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from striate.errors import UsageError
from striate.ops.convolution import ConvPlan
from striate.ops.padding import OUTSIDE, Padding, padded_axis
from striate.ops.windows import PerAxis


def toeplitz(values: Sequence[float], rows: int) -> sparse.csr_array:
    """The square-or-not matrix T[n, k] = h[n - k] that is constant along its diagonals.

    `values` lists the diagonals from the lower left, h[rows - 1], to the upper right, h[-(columns -
    1)]; rows + columns - 1 of them (lecture 003: a ... i in a 5x5 matrix). Raises UsageError if there
    are fewer than rows.
    """
    columns = len(values) - rows + 1
    if rows < 1 or columns < 1:
        raise UsageError(
            f"a Toeplitz matrix of {rows} rows needs at least {max(rows, 1)} values, got "
            f"{len(values)}; one a diagonal"
        )
    dense = [[values[rows - 1 - n + k] for k in range(columns)] for n in range(rows)]
    return sparse.csr_array(np.array(dense, dtype=np.float64))


def conv_matrix(
    weight: Tensor,
    size: Sequence[int],
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> sparse.csr_array:
    """The matrix M of a convolutional layer, so that M @ x.flatten() is conv(x, weight).flatten()
    for one image.

    weight (O, C / groups, *kernel), size = the image's spatial axes -> sparse (O * windows, C *
    pixels). Row (o, window) holds kernel o, laid out over the pixels that this window sees. In one
    dimension that is lecture 003's Toeplitz matrix; in two, a Toeplitz arrangement of Toeplitz blocks,
    the 4x16 matrix of lecture 004, section 3.5. Zero padding drops entries; with another padding mode
    a border pixel collects the weights of its copies.
    """
    C = weight.shape[1] * groups
    x = weight.new_zeros(1, C, *size)
    plan = ConvPlan.of(x, weight, stride, padding, dilation, groups)
    number = np.arange(C * prod(size)).reshape(C, *size)
    axes = [
        padded_axis(n, before, after, padding_mode)
        for n, (before, after) in zip(size, plan.widths, strict=True)
    ]
    padded = number[np.ix_(range(C), *axes)]
    outside = np.array(axes[0]) == OUTSIDE
    for axis in axes[1:]:
        outside = np.add.outer(outside, np.array(axis) == OUTSIDE)
    padded[:, outside.astype(bool)] = OUTSIDE

    kernels = weight.detach().double().cpu().numpy()
    outputs, depth = weight.shape[:2]
    rows, columns, values = [], [], []
    for row, (o, window) in enumerate(product(range(outputs), plan.windows)):
        first = o // (outputs // groups) * depth
        pixels = padded[first : first + depth][window].ravel()
        seen = pixels != OUTSIDE
        rows.append(np.full(seen.sum(), row))
        columns.append(pixels[seen])
        values.append(kernels[o].ravel()[seen])
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    shape = (outputs * prod(plan.windows.shape), number.size)
    return sparse.csr_array(sparse.coo_array(entries, shape=shape))


def conv_by_matrix(
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
    """`conv` as one sparse matrix product for every image: flatten, multiply, fold back (lecture 004, figure 7).

    x (N, C, *size), weight (O, C / groups, *kernel), bias (O,) -> (N, O, *out).
    """
    plan = ConvPlan.of(x, weight, stride, padding, dilation, groups)
    matrix = conv_matrix(
        weight,
        x.shape[2:],
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
    )
    y = torch.from_numpy((matrix @ x.flatten(1).double().numpy().T).T.copy()).to(x.dtype)
    y = y.unflatten(1, (weight.shape[0], *plan.windows.shape))
    return y if bias is None else y + bias.reshape(-1, *[1] * (x.ndim - 2))


def matrix_rows(
    matrix: sparse.csr_array, name: Callable[[float], str] = "{:g}".format
) -> list[str]:
    """The rows of a sparse matrix as text, a dot where nothing stands; `name` turns a value into a
    word.

    Columns line up. For matrices that fit on a page: raises UsageError above 64 columns.
    """
    if matrix.shape[1] > 64:
        raise UsageError(
            f"a row of {matrix.shape[1]} columns fits on no page; draw the matrix, or take an "
            f"image of 64 pixels"
        )
    cells = [["."] * matrix.shape[1] for _ in range(matrix.shape[0])]
    entries = sparse.coo_array(matrix)
    for row, column, value in zip(*entries.coords, entries.data, strict=True):
        cells[row][column] = name(float(value))
    width = max(len(cell) for row in cells for cell in row)
    return [" ".join(cell.rjust(width) for cell in row) for row in cells]


def weight_name(rows: int, columns: int) -> Callable[[float], str]:
    """Names the number 1 ... rows * columns after its place in a kernel: "w11", "w12", ... as lecture
    004 writes them."""

    def name(number: float) -> str:
        row, column = divmod(round(number) - 1, columns)
        assert 0 <= row < rows, "a matrix of weight numbers holds 1 ... rows * columns only"
        return f"w{row + 1}{column + 1}"

    return name
