"""Overlap: whether two views of one tensor share memory at different positions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

MOST = 2**20  # numbers of a view of which each place in memory is looked at


def overlap_shifted(one: Tensor, other: Tensor) -> bool:
    """Whether some number of `one` is a number of `other` at another position; both are views of the same memory.

    Of views with the same strides it follows from how far they start apart. Of others every place is looked at, and
    they are taken to overlap where there are too many.
    """
    shift = int(other.storage_offset()) - int(one.storage_offset())
    if one.shape == other.shape and one.stride() == other.stride():
        steps = sorted(
            ((s, n) for s, n in zip(one.stride(), one.shape, strict=True) if n > 1 and s),
            reverse=True,
        )
        return shift != 0 and _reached(shift, steps)
    if max(one.numel(), other.numel()) > MOST:
        return True
    mine, theirs = (_places(t) for t in (one, other.expand(one.shape)))
    both = torch.isin(mine, theirs)
    return bool((both & (mine != theirs)).any())


def _reached(shift: int, steps: Sequence[tuple[int, int]]) -> bool:
    """Whether a sum of steps, fewer than n of each in either direction, is `shift`."""
    if not steps:
        return shift == 0
    (stride, count), rest = steps[0], steps[1:]
    near = shift // stride
    return any(abs(k) < count and _reached(shift - k * stride, rest) for k in (near, near + 1))


def _places(t: Tensor) -> Tensor:
    """Where each number of a view lies in memory."""
    offsets = torch.full((1,), t.storage_offset(), dtype=torch.int64)
    for n, stride in zip(t.shape, t.stride(), strict=True):
        offsets = (offsets[:, None] + stride * torch.arange(n)).flatten()
    return offsets
