"""Gaussian and Laplacian pyramids (Burt and Adelson 1983; lecture 003, "Image pyramids")."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from striate.errors import UsageError
from striate.ops.padding import pad

BINOMIAL = torch.tensor([1, 4, 6, 4, 1], dtype=torch.float64) / 16  # close to a Gaussian, sigma 1


def blur(image: Tensor) -> Tensor:
    """Smooth rows, then columns, with 1 4 6 4 1 over 16, the border mirrored: (..., H, W), each at
    least 3."""
    for axis in (-2, -1):
        n = image.shape[axis]
        widths = ((2, 2), (0, 0)) if axis == -2 else ((0, 0), (2, 2))
        around = pad(image, widths, "reflect")
        image = torch.stack([w * around.narrow(axis, i, n) for i, w in enumerate(BINOMIAL)]).sum(0)
    return image


def reduce(image: Tensor) -> Tensor:
    """Smooth, then keep every second pixel: (..., H, W) -> (..., ceil(H/2), ceil(W/2))."""
    return blur(image)[..., ::2, ::2]


def expand(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Put zeros between the pixels and smooth: (..., h, w) -> (..., *size), for the size that was
    reduced.

    Four times the smoothing kernel, since three of four pixels are zeros.
    """
    spread = image.new_zeros(*image.shape[:-2], *size)
    spread[..., ::2, ::2] = image
    return 4 * blur(spread)


def gaussian_pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """The image (..., H, W), then `levels` - 1 times the last one reduced.

    Raises UsageError if the image is too small for so many levels.
    """
    most, side = 1, min(image.shape[-2:])
    while side >= 3:
        most, side = most + 1, (side + 1) // 2
    if not 1 <= levels <= most:
        raise UsageError(
            f"an image of {tuple(image.shape[-2:])} pixels has 1 to {most} levels, got {levels}"
        )
    pyramid = [image.double()]
    for _ in range(levels - 1):
        pyramid.append(reduce(pyramid[-1]))
    return pyramid


def laplacian_pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """What each level of the Gaussian pyramid has and the next, expanded, has lost; last, the smallest level itself.

    image (H, W) -> levels (H, W), (H / 2, W / 2), ..., `levels` of them. Raises UsageError as `gaussian_pyramid`.
    """
    G = gaussian_pyramid(image, levels)
    details = [
        fine - expand(coarse, (fine.shape[-2], fine.shape[-1])) for fine, coarse in pairwise(G)
    ]
    return [*details, G[-1]]


def from_laplacian(pyramid: list[Tensor]) -> Tensor:
    """The image that a Laplacian pyramid came from: expand and add, from the smallest level up. Exact by design.

    Levels (H, W), (H / 2, W / 2), ... -> (H, W).
    """
    image = pyramid[-1]
    for detail in reversed(pyramid[:-1]):
        image = detail + expand(image, (detail.shape[-2], detail.shape[-1]))
    return image
