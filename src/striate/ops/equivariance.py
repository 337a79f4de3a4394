"""Equivariance: f(translate(x)) = translate(f(x)), and where it breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from striate.errors import UsageError


def translate(x: Tensor, shift: Sequence[int], fill: str = "zeros") -> Tensor:
    """Move the last axes of x by `shift` pixels, one number an axis, to higher indices if positive.

    x (*batch, *size) -> the same shape. What enters is zeros, or with fill "circular" what left at the other side.
    Raises UsageError for another fill.
    """
    if fill not in ("zeros", "circular"):
        raise UsageError(f"fill must be 'zeros' or 'circular', got {fill!r}")
    axes = range(-len(shift), 0)
    y = torch.roll(x, tuple(shift), tuple(axes))
    if fill == "circular":
        return y
    for axis, s in zip(axes, shift, strict=True):
        n = y.shape[axis]
        entered = range(min(s, n)) if s >= 0 else range(max(n + s, 0), n)
        y.index_fill_(axis, torch.tensor(list(entered), dtype=torch.long), 0.0)
    return y


def equivariance_gap(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    shift: Sequence[int],
    *,
    stride: int = 1,
    fill: str = "zeros",
) -> Tensor:
    """|f(translate(x)) - translate(f(x))| at every output: zeros where f is equivariant (lecture 003).

    x (*batch, *size) -> the shape of f(x). `shift` in pixels of x; the output moves by shift / stride. Raises
    UsageError if that is no whole number: then no shift of the output is the right one, which is how a stride breaks
    equivariance.
    """
    if any(s % stride for s in shift):
        raise UsageError(
            f"a shift of {tuple(shift)} pixels is no whole number of outputs at stride {stride}; "
            f"shift by multiples of {stride}"
        )
    moved_before = f(translate(x, shift, fill))
    moved_after = translate(f(x), [s // stride for s in shift], fill)
    return (moved_before - moved_after).abs()
