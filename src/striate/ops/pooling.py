"""Pooling: maximum, mean and L2 norm over windows or over channels, and their gradients."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from striate.errors import UsageError
from striate.ops.padding import pad
from striate.ops.windows import PerAxis, Windows, last_axes, per_axis


class Pooled(NamedTuple):
    """The pooled values, and where each came from: `indices` count the pixels of one input map in reading order.

    y and indices (N, C, *out).
    """

    y: Tensor
    indices: Tensor


def max_pool(
    x: Tensor, kernel: PerAxis, *, stride: PerAxis | None = None, padding: PerAxis = 0
) -> Pooled:
    """y_j = max of h_k over k in N(j), with the place of each maximum kept (lecture 003; lecture 004,
    section 4).

    x (N, C, *size) -> y and indices (N, C, *windows). stride defaults to the kernel. Padding never
    wins: it counts as minus infinity. Among equals the first in reading order is kept. (Lecture 003
    prints max over "j in N(j)" of h_j; the index that runs is another than the output's.)
    """
    windows, widths = _windows(x, kernel, stride, padding)
    number = torch.arange(prod(x.shape[2:])).reshape(x.shape[2:])
    number = pad(number, widths, fill=-1)
    x = pad(x, widths, fill=-torch.inf)
    values, places = [], []
    for window in windows:
        seen = x[window].flatten(2)
        first = seen.argmax(-1, keepdim=True)
        values.append(seen.gather(-1, first)[..., 0])
        places.append(number[window].flatten()[first[..., 0]])
    shape = windows.shape
    return Pooled(
        torch.stack(values, -1).unflatten(-1, shape), torch.stack(places, -1).unflatten(-1, shape)
    )


def max_pool_backward(dy: Tensor, indices: Tensor, size: tuple[int, ...]) -> Tensor:
    """The gradient goes to the element that was the maximum and to no other (lecture 004, section 4).

    dy and indices (N, C, *windows), as `max_pool` gave them -> (N, C, *size). Where windows
    overlap, gradients add.
    """
    dx = dy.new_zeros(*dy.shape[:2], prod(size))
    flat_dy, flat_indices = dy.flatten(2), indices.flatten(2)
    for j in range(flat_dy.shape[-1]):
        here = flat_indices[..., j : j + 1]
        dx.scatter_add_(-1, here, flat_dy[..., j : j + 1])
    return dx.unflatten(-1, size)


def max_gradient_all_ties(x: Tensor) -> Tensor:
    """dy/dx_i = 1 where x_i = max(x), else 0: lecture 004's formula as printed, for a vector x.

    x (N,) -> (N,). With ties it gives 1 to each of the largest elements, so that the parts add up to more than the
    whole; a stored index, which the lecture recommends next, gives it to one.
    """
    return (x == x.max()).to(x.dtype)


def mean_pool(
    x: Tensor,
    kernel: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    count_padding: bool = True,
) -> Tensor:
    """y_j = 1/|N| times the sum of h_k over k in N(j) (lecture 003, "Mean pooling").

    x (N, C, *size) -> (N, C, *windows). `count_padding` divides by the whole window, padding
    included, as torch's count_include_pad does; otherwise by the pixels of the image in it.
    """
    windows, widths = _windows(x, kernel, stride, padding)
    share = _share(x, windows, widths, count_padding)
    x = pad(x, widths)
    y = [x[window].flatten(2).sum(-1) * s for window, s in zip(windows, share, strict=True)]
    return torch.stack(y, -1).unflatten(-1, windows.shape)


def mean_pool_backward(
    dy: Tensor,
    size: tuple[int, ...],
    kernel: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    count_padding: bool = True,
) -> Tensor:
    """Each pixel of a window receives an equal share of its gradient: dy (N, C, *windows) -> (N, C,
    *size)."""
    x = dy.new_zeros(*dy.shape[:2], *size)
    windows, widths = _windows(x, kernel, stride, padding)
    share = _share(x, windows, widths, count_padding)
    dx = pad(x, widths)
    for place, (window, s) in enumerate(zip(windows, share, strict=True)):
        received = dy.flatten(2)[..., place] * s
        dx[window] += received.reshape(*received.shape, *[1] * len(size))
    return _inside(dx, widths)


def l2_pool(
    x: Tensor, kernel: PerAxis, *, stride: PerAxis | None = None, padding: PerAxis = 0
) -> Tensor:
    """The L2 norm of each window: the root of the sum of squares (lecture 004, section 4).

    x (N, C, *size) -> (N, C, *windows); padding adds nothing.
    """
    windows, widths = _windows(x, kernel, stride, padding)
    x = pad(x, widths)
    y = [x[window].flatten(2).square().sum(-1).sqrt() for window in windows]
    return torch.stack(y, -1).unflatten(-1, windows.shape)


def l2_pool_backward(
    dy: Tensor,
    x: Tensor,
    kernel: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
) -> Tensor:
    """dy/dx_i = x_i / y; 0 where the whole window is 0, the smallest of the gradients that would be right there.

    dy (N, C, *out), x (N, C, *size) -> (N, C, *size).
    """
    windows, widths = _windows(x, kernel, stride, padding)
    x = pad(x, widths)
    dx = torch.zeros_like(x)
    for place, window in enumerate(windows):
        seen = x[window]
        norm = seen.flatten(2).square().sum(-1).sqrt()
        slope = torch.where(norm > 0, dy.flatten(2)[..., place] / norm, torch.zeros_like(norm))
        dx[window] += slope.reshape(*slope.shape, *[1] * (x.ndim - 2)) * seen
    return _inside(dx, widths)


def global_mean_pool(x: Tensor) -> Tensor:
    """z = 1/(N M) times the sum of h[n, m] over the whole map: (N, C, *size) -> (N, C) (lecture 003,
    lecture 001's NiN)."""
    return x.flatten(2).sum(-1) / prod(x.shape[2:])


def maxout(x: Tensor, pool: int) -> Pooled:
    """The largest of every `pool` neighbouring channels: (N, C, *size) -> (N, C / pool, *size).

    Pooling across channels makes a unit invariant to whatever its channels differ in, such as an
    edge's angle (lecture 003; Goodfellow et al., "Maxout networks", 2013). `indices` name the winning
    channel. Raises UsageError unless `pool` divides the channels.
    """
    if pool < 1 or x.shape[1] % pool:
        raise UsageError(
            f"maxout: pool must divide the channels, got pool={pool} for {x.shape[1]} channels"
        )
    values, places = [], []
    for first in range(0, x.shape[1], pool):
        group = x[:, first : first + pool]
        winner = group.argmax(1, keepdim=True)
        values.append(group.gather(1, winner))
        places.append(winner + first)
    return Pooled(torch.cat(values, 1), torch.cat(places, 1))


def maxout_backward(dy: Tensor, indices: Tensor, channels: int) -> Tensor:
    """The gradient goes to the channel that won: dy (N, C / pool, *size) -> (N, channels,
    *size)."""
    dx = dy.new_zeros(dy.shape[0], channels, *dy.shape[2:])
    return dx.scatter_add(1, indices, dy)


def _windows(
    x: Tensor, kernel: PerAxis, stride: PerAxis | None, padding: PerAxis
) -> tuple[Windows, tuple[tuple[int, int], ...]]:
    dims = x.ndim - 2
    if dims < 1:
        raise UsageError(
            f"pooling needs x (N, C, *size), got {tuple(x.shape)}; add the missing axes"
        )
    k = per_axis("kernel", kernel, dims)
    steps = k if stride is None else per_axis("stride", stride, dims)
    pads = per_axis("padding", padding, dims, least=0)
    if any(2 * p > size for p, size in zip(pads, k, strict=True)):
        raise UsageError(
            f"pooling: padding may be at most half the kernel, got {pads} for {k}; some window "
            f"would see no pixel"
        )
    sizes = tuple(n + 2 * p for n, p in zip(x.shape[2:], pads, strict=True))
    return Windows(sizes, k, steps, (1,) * dims), tuple((p, p) for p in pads)


def _share(
    x: Tensor, windows: Windows, widths: tuple[tuple[int, int], ...], count_padding: bool
) -> list[float]:
    """One over the number of pixels that each window divides by."""
    inside = pad(torch.ones(x.shape[2:], dtype=x.dtype), widths, fill=float(count_padding))
    return [1 / float(inside[window].sum()) for window in windows]


def _inside(x: Tensor, widths: tuple[tuple[int, int], ...]) -> Tensor:
    return x[last_axes(slice(b, n - a) for (b, a), n in zip(widths, x.shape[2:], strict=True))]
