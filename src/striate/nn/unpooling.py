"""Un-pooling: larger maps from smaller ones, without weights (lecture 004, figure 10)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import UsageError


def _checked(kernel_size: int | tuple[int, int], layer: str) -> tuple[int, int]:
    pair = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
    if len(pair) != 2 or min(pair) < 1:
        raise UsageError(
            f"{layer}: kernel_size is one number or two, each at least 1, got {kernel_size!r}"
        )
    return pair


class BedOfNailsUnpool2d(nn.Module):
    """Each value in the first corner of zeros: (N, C, H, W) -> (N, C, H * KH, W * KW)."""

    def __init__(self, kernel_size: int | tuple[int, int]) -> None:
        super().__init__()
        self.kernel_size = _checked(kernel_size, "BedOfNailsUnpool2d")

    def forward(self, x: Tensor) -> Tensor:
        height, width = self.kernel_size
        spread = F.pad(x[..., :, None, :, None], (0, width - 1, 0, 0, 0, height - 1))
        return spread.flatten(-4, -3).flatten(-2)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}"


class NearestUnpool2d(nn.Module):
    """Each value copied to its whole window: (N, C, H, W) -> (N, C, H * KH, W * KW)."""

    def __init__(self, kernel_size: int | tuple[int, int]) -> None:
        super().__init__()
        self.kernel_size = _checked(kernel_size, "NearestUnpool2d")

    def forward(self, x: Tensor) -> Tensor:
        height, width = self.kernel_size
        return F.interpolate(x, size=(x.shape[-2] * height, x.shape[-1] * width), mode="nearest")

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}"
