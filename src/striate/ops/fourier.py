"""Convolution as a product of spectra."""

from __future__ import annotations

from itertools import product
from math import pi

import torch
from torch import Tensor

from striate.errors import UsageError
from striate.ops.convolution import ConvPlan
from striate.ops.padding import Padding, pad
from striate.ops.windows import PerAxis, last_axes


def fourier_matrix(n: int) -> Tensor:
    """F[j, k] = exp(-2 pi i j k / n): (n, n), complex128. F @ x is the discrete Fourier transform
    of x."""
    places = torch.arange(n, dtype=torch.float64)
    angle = (
        -2 * pi * (places[:, None] * places % n) / n
    )  # the remainder keeps the angle, and the digits, small
    return torch.polar(torch.ones_like(angle), angle)


def dft(x: Tensor, axes: int) -> Tensor:
    """The discrete Fourier transform over the last `axes` axes: one matrix product an axis.

    x (*batch, *size), real or complex -> the same shape, complex.
    """
    for axis in range(-axes, 0):
        x = _along(fourier_matrix(x.shape[axis]), x, axis)
    return x


def inverse_dft(x: Tensor, axes: int) -> Tensor:
    """Undo `dft`: the conjugate matrix, divided by the number of samples.

    x (*batch, *size), complex -> the same shape, complex.
    """
    for axis in range(-axes, 0):
        x = _along(fourier_matrix(x.shape[axis]).conj() / x.shape[axis], x, axis)
    return x


def _along(matrix: Tensor, x: Tensor, axis: int) -> Tensor:
    return (x.to(torch.complex128).movedim(axis, -1) @ matrix.T).movedim(-1, axis)


def convolve_fourier(x: Tensor, kernel: Tensor) -> Tensor:
    """`convolve(x, kernel, "full")` by the convolution theorem: transform, multiply, transform back.

    x (*size), kernel (*kernel), of as many axes -> W + w - 1 values an axis. Both are first filled up with zeros to W +
    w - 1 values an axis: the product of two spectra is a convolution that wraps around, and the zeros keep what wraps
    away from the rest. Raises UsageError for different axes.
    """
    if x.ndim != kernel.ndim or x.ndim == 0:
        raise UsageError(f"signal and kernel need as many axes, got {x.ndim} and {kernel.ndim}")
    size = [n + k - 1 for n, k in zip(x.shape, kernel.shape, strict=True)]
    spectra = [dft(_fill_up(t, size), t.ndim) for t in (x, kernel)]
    return inverse_dft(spectra[0] * spectra[1], x.ndim).real.to(x.dtype)


def _fill_up(x: Tensor, size: list[int]) -> Tensor:
    return pad(x, tuple((0, n - have) for n, have in zip(size, x.shape, strict=True)))


def conv_fourier(
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
    """`conv` as a product of spectra, summed over channels: y = F^-1(F x . conj(F w)).

    x (N, C, *size), weight (O, C / groups, *kernel), bias (O,) -> (N, O, *out). The conjugate turns convolution into
    cross-correlation. On the padded image the product wraps around only outside the windows that lie wholly inside, and
    those are the ones kept; a stride keeps every s-th of them.
    """
    plan = ConvPlan.of(x, weight, stride, padding, dilation, groups)
    x_padded = pad(x, plan.widths, padding_mode)
    kernel = _spread(weight, plan.windows.sizes, plan.windows.dilation)
    axes = weight.ndim - 2
    X_NGC = dft(x_padded, axes).unflatten(1, (groups, -1))
    W_GOC = dft(kernel, axes).unflatten(0, (groups, -1))
    Y_NGO = (X_NGC.unsqueeze(2) * W_GOC.conj()).sum(3)
    y = inverse_dft(Y_NGO, axes).real.flatten(1, 2).to(x.dtype)
    for axis, places in zip(range(-axes, 0), plan.windows.starts, strict=True):
        y = y.index_select(axis, torch.tensor(places))
    return y if bias is None else y + bias.reshape(-1, *[1] * axes)


def _spread(weight: Tensor, size: tuple[int, ...], dilation: tuple[int, ...]) -> Tensor:
    """The kernel on a canvas of the image's size, its elements `dilation` pixels apart."""
    canvas = weight.new_zeros(*weight.shape[:2], *size)
    for place in product(*map(range, weight.shape[2:])):
        at = tuple(p * d for p, d in zip(place, dilation, strict=True))
        canvas[last_axes(at)] = weight[last_axes(place)]
    return canvas
