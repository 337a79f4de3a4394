"""Transposed convolution: the convolution's matrix, transposed; or the same as stamps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from scipy import sparse
from torch import Tensor

from striate.errors import UsageError
from striate.ops.convolution import check_groups
from striate.ops.convolution_backward import Gradients
from striate.ops.toeplitz import conv_matrix
from striate.ops.windows import PerAxis, last_axes, per_axis, placed


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Tensor:
    """Every input value stamps the kernel, times itself, onto the output; stamps add up (lecture 001).

    x (N, C, *size), weight (C, O / groups, *kernel), bias (O,) -> (N, O, *size'). The stamps lie
    `stride` pixels apart. `padding` crops that many pixels from every side of the output, and
    `output_padding` leaves as many more at its far end. Raises UsageError for shapes that do not
    fit.
    """
    _check(x, weight, groups)
    dims = weight.ndim - 2
    steps, spread = per_axis("stride", stride, dims), per_axis("dilation", dilation, dims)
    crop = per_axis("padding", padding, dims, least=0)
    extra = per_axis("output_padding", output_padding, dims, least=0)
    kernel = weight.shape[2:]

    stamps = []  # where each lies, and what: (N, O, *kernel)
    w_GCO = weight.unflatten(0, (groups, -1))
    for place in product(*map(range, x.shape[2:])):
        x_NGC = x[last_axes(place)].unflatten(1, (groups, -1))
        x_NGCO = x_NGC.reshape(*x_NGC.shape, *[1] * (dims + 1))
        corner = [p * s for p, s in zip(place, steps, strict=True)]
        at = placed(corner, kernel, spread)
        stamps.append((at, (x_NGCO * w_GCO).sum(2).flatten(1, 2)))

    size = [max(at[1 + axis].stop for at, _ in stamps) + extra[axis] for axis in range(dims)]
    y = x.new_zeros(x.shape[0], weight.shape[1] * groups, *size)
    for at, stamp in stamps:
        y[at] += stamp
    if any(n <= 2 * c for n, c in zip(size, crop, strict=True)):
        raise UsageError(
            f"conv_transpose: padding crops the output, and {crop} pixels a side leave nothing of "
            f"{tuple(size)}; crop less"
        )
    y = y[last_axes(slice(c, n - c) for n, c in zip(size, crop, strict=True))]
    return y if bias is None else y + bias.reshape(-1, *[1] * dims)


def conv_transpose_backward(
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Gradients:
    """The gradients of `conv_transpose`: each input value reads back where it stamped.

    dy (N, O, *out), x (N, C, *size), weight (C, O / groups, *kernel) -> x as x, weight as weight, bias (O,).
    """
    _check(x, weight, groups)
    dims = weight.ndim - 2
    steps, spread = per_axis("stride", stride, dims), per_axis("dilation", dilation, dims)
    crop = per_axis("padding", padding, dims, least=0)
    canvas = [n + 2 * c for n, c in zip(dy.shape[2:], crop, strict=True)]
    dy_full = dy.new_zeros(*dy.shape[:2], *canvas)
    inside = last_axes(slice(c, c + n) for c, n in zip(crop, dy.shape[2:], strict=True))
    dy_full[inside] = dy

    w_GCO = weight.unflatten(0, (groups, -1))
    dx, dw = torch.zeros_like(x), torch.zeros_like(w_GCO)
    for place in product(*map(range, x.shape[2:])):
        corner = [p * s for p, s in zip(place, steps, strict=True)]
        d_NGO = dy_full[placed(corner, weight.shape[2:], spread)]
        d_NGO = d_NGO.unflatten(1, (groups, -1)).unsqueeze(2)
        x_NGC = x[last_axes(place)].unflatten(1, (groups, -1))
        dx[last_axes(place)] = (d_NGO * w_GCO).flatten(3).sum(3).flatten(1)
        dw += (x_NGC.reshape(*x_NGC.shape, *[1] * (dims + 1)) * d_NGO).sum(0)
    return Gradients(dx, dw.flatten(0, 1), dy.flatten(2).sum((0, 2)))


def conv_transpose_matrix(
    weight: Tensor,
    size: Sequence[int],
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> sparse.csr_array:
    """The transpose of `conv_matrix`: from a layer's output back to images of `size` pixels (lecture 004, figure 8).

    A sparse matrix (C * pixels, O * windows). weight is that of the convolution, (O, C / groups, *kernel), which is
    conv_transpose's weight for the way back. The transpose shares the pattern of connections, not the values' inverse:
    M.T @ M is not the identity.
    """
    pads = per_axis("padding", padding, len(size), least=0)
    forward = conv_matrix(
        weight, size, stride=stride, padding=pads, dilation=dilation, groups=groups
    )
    return sparse.csr_array(forward.T)


def _check(x: Tensor, weight: Tensor, groups: int) -> None:
    if x.ndim != weight.ndim or x.ndim < 3 or x.shape[1] != weight.shape[0]:
        raise UsageError(
            f"conv_transpose needs x (N, C, *size) and weight (C, O, *kernel), got "
            f"{tuple(x.shape)} and {tuple(weight.shape)}; its weight lists input channels first"
        )
    check_groups("conv_transpose", x.shape[1], weight.shape[1] * groups, groups)
