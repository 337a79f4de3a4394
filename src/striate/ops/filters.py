"""Filters: the kernels of the lectures by name, and filtering an image with one."""

from __future__ import annotations

from itertools import product
from math import ceil

import torch
from torch import Tensor

from striate.errors import UsageError
from striate.ops.padding import pad


def _kernel(rows: list[list[float]], divisor: float = 1.0) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64) / divisor


FILTERS: dict[str, Tensor] = {
    "identity": _kernel([[0, 0, 0], [0, 1, 0], [0, 0, 0]]),  # lecture 000, "All pass / Identity"
    "box": _kernel([[1, 1, 1], [1, 1, 1], [1, 1, 1]], 9),  # lecture 000, "Averaging"
    "weighted average": _kernel([[3, 5, 3], [5, 9, 5], [3, 5, 3]], 41),  # lecture 000
    "sobel x": _kernel([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),  # lecture 000, "Edge detection"
    "sobel y": _kernel([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
    "vertical edge": _kernel([[1, 0, -1], [1, 0, -1], [1, 0, -1]]),  # lectures 000 and 002
    "horizontal edge": _kernel([[1, 1, 1], [0, 0, 0], [-1, -1, -1]]),  # lecture 002
}


def gaussian(sigma: float, radius: int | None = None) -> Tensor:
    """exp(-(u^2 + v^2) / (2 sigma^2)), scaled to sum 1: (2 radius + 1, 2 radius + 1), 3 sigma wide by default.

    A kernel (K, K) with K = 2 * radius + 1, float64. The only round kernel that separates into a row and a column.
    Raises UsageError unless sigma > 0.
    """
    if not sigma > 0:
        raise UsageError(
            f"gaussian: sigma must be more than 0 pixels, got {sigma}; use the identity for 0"
        )
    reach = ceil(3 * sigma) if radius is None else radius
    places = torch.arange(-reach, reach + 1, dtype=torch.float64)
    profile = torch.exp(-places.square() / (2 * sigma**2))
    profile = profile / profile.sum()
    return profile[:, None] * profile


def box(size: int) -> Tensor:
    """The plain average over size x size pixels.

    (size, size) float64, of sum 1.
    """
    return torch.full((size, size), 1 / size**2, dtype=torch.float64)


def filter_image(image: Tensor, kernel: Tensor, *, padding_mode: str = "replicate") -> Tensor:
    """I'(u, v) = sum over i, j of I(u + i, v + j) H(i, j), with i = j = 0 at the kernel's middle
    (lecture 000).

    image (..., H, W), kernel odd -> the same shape. One whole shifted image for each element of the
    kernel, so that photographs go through quickly. Raises UsageError for an even kernel.
    """
    if kernel.ndim != 2 or kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        raise UsageError(
            f"filter_image needs a kernel with a middle, got {tuple(kernel.shape)}; make its sides "
            f"odd"
        )
    H, W = image.shape[-2:]
    reach = [k // 2 for k in kernel.shape]
    around = pad(image.double(), tuple((r, r) for r in reach), padding_mode)
    result = torch.zeros_like(image, dtype=torch.float64)
    for i, j in product(range(kernel.shape[0]), range(kernel.shape[1])):
        result += kernel[i, j] * around[..., i : i + H, j : j + W]
    return result


def gradient_magnitude(image: Tensor) -> Tensor:
    """The length of the Sobel gradient: how steep the image is, whatever the direction. (..., H, W)
    -> the same."""
    x, y = (filter_image(image, FILTERS[name]) for name in ("sobel x", "sobel y"))
    return torch.sqrt(x.square() + y.square())
