"""Pooling by length over windows, and pooling over channels."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import UsageError

Size = int | tuple[int, int]


class L2Pool2d(nn.Module):
    """The length of each window's values, sqrt(sum of squares): (N, C, H, W) -> (N, C, H', W').

    Where a window is all zeros its gradient is taken as zero. `torch.nn.LPPool2d` has no padding
    and gives NaN there.
    Source: lecture 004, section 4, "taking the L2-norm of the patch".
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        squares = F.avg_pool2d(
            x * x, self.kernel_size, self.stride, self.padding, self.ceil_mode, divisor_override=1
        )
        positive = squares > 0
        # The square root's slope at zero is infinite, and infinity times zero is NaN: keep it away
        # from zeros.
        return torch.where(positive, squares, 1).sqrt() * positive

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class ChannelPool(nn.Module):
    """One value for `kernel_size` neighbouring channels: (N, C, ...) -> (N, C // kernel_size, ...).

    mode: "max", "avg" or "l2" (the length). Pooling over filters that are rotated or scaled copies
    of each other makes a unit that is invariant to rotation or scale.
    Raises UsageError where kernel_size does not divide the channels.
    Source: lecture 003, "Pooling across channels".
    """

    def __init__(self, kernel_size: int, mode: Literal["max", "avg", "l2"] = "max") -> None:
        super().__init__()
        if kernel_size < 1:
            raise UsageError(f"ChannelPool: kernel_size is at least 1, got {kernel_size}")
        if mode not in ("max", "avg", "l2"):
            raise UsageError(f"ChannelPool: mode is 'max', 'avg' or 'l2', got {mode!r}")
        self.kernel_size = kernel_size
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        if channels % self.kernel_size:
            divisors = [n for n in range(1, channels + 1) if channels % n == 0]
            raise UsageError(
                f"{type(self).__name__}: kernel_size must divide the channels, got "
                f"kernel_size={self.kernel_size}, {channels} channels; use "
                f"{', '.join(map(str, divisors))}"
            )
        groups = x.unflatten(1, (channels // self.kernel_size, self.kernel_size))
        if self.mode == "max":
            return groups.max(2).values
        if self.mode == "avg":
            return groups.mean(2)
        return torch.linalg.vector_norm(groups, dim=2)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, mode={self.mode!r}"


class Maxout(ChannelPool):
    """The largest of `kernel_size` neighbouring channels: (N, C, ...) -> (N, C // kernel_size, ...).

    After a convolution or linear layer it is an activation whose shape is learned.
    Source: Goodfellow et al., "Maxout networks" (2013).
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__(kernel_size, "max")
