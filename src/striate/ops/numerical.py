"""Numerical gradients: the definition of a derivative, for checking every other one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def numerical_gradient(f: Callable[[Tensor], Tensor], x: Tensor, *, step: float = 1e-6) -> Tensor:
    """df/dx by central differences, (f(x + step) - f(x - step)) / (2 step), one element at a time.

    x of any shape -> the same shape. f takes a tensor like x and returns one number. The error is of order step^2 plus
    rounding / step: use float64 (lecture 003, "Check gradients numerically by finite differences").
    """
    gradient = torch.zeros_like(x).flatten()
    for i in range(x.numel()):
        nudge = torch.zeros_like(gradient)
        nudge[i] = step
        nudge = nudge.reshape(x.shape)
        gradient[i] = (f(x + nudge) - f(x - nudge)) / (2 * step)
    return gradient.reshape(x.shape)
