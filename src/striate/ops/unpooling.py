"""Un-pooling: three ways to make a map larger again without weights (lecture 004, section 4, figure
10)."""

from __future__ import annotations

from math import prod

from torch import Tensor

from striate.errors import UsageError
from striate.ops.windows import PerAxis, last_axes, per_axis


def bed_of_nails(x: Tensor, factor: PerAxis) -> Tensor:
    """Each value at the first corner of its block, zeros elsewhere: (N, C, *size) -> (N, C, *size *
    factor)."""
    f = per_axis("factor", factor, x.ndim - 2)
    y = x.new_zeros(*x.shape[:2], *[n * s for n, s in zip(x.shape[2:], f, strict=True)])
    y[last_axes(slice(None, None, s) for s in f)] = x
    return y


def bed_of_nails_backward(dy: Tensor, factor: PerAxis) -> Tensor:
    """The gradient at the nails: (N, C, *size * factor) -> (N, C, *size)."""
    f = per_axis("factor", factor, dy.ndim - 2)
    return dy[last_axes(slice(None, None, s) for s in f)].clone()


def nearest(x: Tensor, factor: PerAxis) -> Tensor:
    """Each value all over its block: (N, C, *size) -> (N, C, *size * factor)."""
    for axis, f in enumerate(per_axis("factor", factor, x.ndim - 2), start=2):
        x = x.repeat_interleave(f, axis)
    return x


def nearest_backward(dy: Tensor, factor: PerAxis) -> Tensor:
    """The sum over each block: (N, C, *size * factor) -> (N, C, *size)."""
    for axis, f in enumerate(per_axis("factor", factor, dy.ndim - 2), start=2):
        dy = dy.unflatten(axis, (-1, f)).sum(axis + 1)
    return dy


def max_unpool(x: Tensor, indices: Tensor, size: tuple[int, ...]) -> Tensor:
    """Each value where the maximum of its window stood, zeros elsewhere.

    x and indices (N, C, *windows), with the indices that `max_pool` gave -> (N, C, *size). Where
    two windows had the same maximum their values must agree to be put back; the later one stands.
    Raises UsageError if an index lies outside `size`.
    """
    if x.shape != indices.shape or (indices.numel() and int(indices.max()) >= prod(size)):
        raise UsageError(
            f"max_unpool needs the indices that max_pool gave for x {tuple(x.shape)}, got "
            f"{tuple(indices.shape)} up to {int(indices.max())} for {prod(size)} pixels; give the "
            f"size of the map before pooling"
        )
    y = x.new_zeros(*x.shape[:2], prod(size))
    flat_x, flat_indices = x.flatten(2), indices.flatten(2)
    for j in range(flat_x.shape[-1]):  # one window after the other, so that the order is settled
        y.scatter_(-1, flat_indices[..., j : j + 1], flat_x[..., j : j + 1])
    return y.unflatten(-1, size)


def max_unpool_backward(dy: Tensor, indices: Tensor) -> Tensor:
    """Each value reads the gradient where it was put: dy (N, C, *size) -> (N, C, *windows)."""
    return dy.flatten(2).gather(-1, indices.flatten(2)).reshape(indices.shape)
