"""Anti-aliased pooling: blur before values are left out, so that a small shift changes little."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import UsageError


def binomial(kernel_size: int) -> Tensor:
    """The row of Pascal's triangle with `kernel_size` entries, over its sum: (kernel_size,)."""
    row = torch.tensor(
        [math.comb(kernel_size - 1, i) for i in range(kernel_size)], dtype=torch.float64
    )
    return row / row.sum()


class BlurPool2d(nn.Module):
    """A binomial blur, then every `stride`-th value.

    (N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride)).
    kernel_size: width of the blur; 2 is a box, 3 (1 2 1) a triangle, 5 (1 4 6 4 1) near to a
    Gaussian.
    padding_mode: "reflect", "replicate", "circular" or "zeros", as in torch.nn.
    Source: Zhang, "Making convolutional networks shift-invariant again" (2019), section 3.2.
    """

    kernel: Tensor

    def __init__(
        self,
        kernel_size: int = 3,
        stride: int = 2,
        padding_mode: Literal["reflect", "replicate", "circular", "zeros"] = "reflect",
    ) -> None:
        super().__init__()
        if kernel_size < 1 or stride < 1:
            raise UsageError(
                f"BlurPool2d: kernel_size and stride are at least 1, got {kernel_size} and {stride}"
            )
        if padding_mode not in ("reflect", "replicate", "circular", "zeros"):
            raise UsageError(
                "BlurPool2d: padding_mode is 'reflect', 'replicate', 'circular' or 'zeros', got "
                f"{padding_mode!r}"
            )
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding_mode = padding_mode
        before, after = (kernel_size - 1) // 2, kernel_size // 2
        self.padding = (before, after, before, after)
        row = binomial(kernel_size)
        # No learned weight, and no part of a saved file: the kernel follows from its size.
        self.register_buffer("kernel", torch.outer(row, row).to(torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        kernel = self.kernel.to(x.dtype).expand(channels, 1, -1, -1)
        return F.conv2d(F.pad(x, self.padding, mode), kernel, stride=self.stride, groups=channels)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding_mode={self.padding_mode!r}"


class MaxBlurPool2d(nn.Sequential):
    """Max pooling whose stride is anti-aliased: the largest of each window at stride 1, then
    BlurPool2d.

    Source: Zhang (2019), equation 7.
    """

    def __init__(self, kernel_size: int = 2, stride: int = 2, *, blur: int = 3) -> None:
        super().__init__(nn.MaxPool2d(kernel_size, stride=1), BlurPool2d(blur, stride))
