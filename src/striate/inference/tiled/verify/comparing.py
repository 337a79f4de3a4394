"""Comparing: how far two results of one network lie apart, and how far rounding alone can take them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

TOLERANCE = 1e-5  # of the largest value, in float32
FLIPS = 0.01  # share of whole numbers (classes, yes or no) that rounding may tip over
ROUNDING = 32  # times what one rounding of the image does: a network rounds at every layer
MOST = 1e-2  # no rounding excuses more than that


@dataclass(frozen=True, slots=True)
class Difference:
    """relative: the largest absolute difference, divided by the largest value; flips: share of whole numbers that differ."""

    relative: float = 0.0
    flips: float = 0.0

    def __or__(self, other: Difference) -> Difference:
        """The larger of both."""
        return Difference(max(self.relative, other.relative), max(self.flips, other.flips))

    def within(self, tolerance: float) -> bool:
        """Whether rounding explains it."""
        return self.relative <= tolerance and self.flips <= FLIPS


def tolerance(dtypes: Iterable[torch.dtype]) -> float:
    """The difference that counts as equal, for the coarsest of some kinds of number."""
    largest = 1e-10
    for dtype in dtypes:
        if dtype == torch.float32:
            largest = max(largest, TOLERANCE)
        elif dtype.is_floating_point and dtype != torch.float64:
            largest = max(largest, 8 * torch.finfo(dtype).eps)
    return largest


def difference(got: Tensor, want: Tensor, whole: Tensor) -> Difference:
    """How far `got` lies from `want`, in the largest number of the result `whole`, of which it is a part.

    Tensors of any shape; got of another than want's is infinitely far. Integers differ or not: their share counts.
    """
    if got.shape != want.shape:
        return Difference(float("inf"))
    if not got.numel():
        return Difference()
    got = got.to(want.device)
    if not want.is_floating_point() and not want.is_complex():
        return Difference(0.0, float((got != want).double().mean()))
    same = (got == want) | (got.isnan() & want.isnan())
    wide = torch.complex128 if want.is_complex() else torch.float64
    off = torch.where(same, 0.0, (got.to(wide) - want.to(wide)).abs())
    worst = float(off.nan_to_num(nan=float("inf"), posinf=float("inf")).max())
    top = float(whole.abs().nan_to_num(nan=0, posinf=0).max())
    return Difference(worst / top if top else worst)
