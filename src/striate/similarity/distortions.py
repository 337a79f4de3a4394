"""Distortions of known strength, to say what a distance means: JPEG, blur, noise, shift, and smooth deformation."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

SMOOTHNESS = (
    8  # a deformation's displacement keeps its direction over about an eighth of the shorter side
)


def jpeg(image: Tensor, quality: int) -> Tensor:
    """An image (C, H, W) in [0, 1], C 1 or 3, through JPEG of a quality from 1 (worst) to 95."""
    pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    grey = pixels.shape[-1] == 1
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if grey else pixels).save(buffer, "JPEG", quality=quality)
    decoded = torch.from_numpy(np.array(Image.open(buffer))).to(image) / 255
    return decoded[None] if grey else decoded.permute(2, 0, 1).contiguous()


def blur(image: Tensor, sigma: float) -> Tensor:
    """An image (C, H, W) blurred by a Gaussian of `sigma` pixels; borders are mirrored."""
    reach = min(max(1, math.ceil(3 * sigma)), min(image.shape[-2:]) - 1)
    at = torch.arange(-reach, reach + 1, dtype=image.dtype)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = F.pad(image[:, None], (reach, reach, reach, reach), mode="reflect")
    across = F.conv2d(padded, kernel.view(1, 1, 1, -1))
    return F.conv2d(across, kernel.view(1, 1, -1, 1))[:, 0]


def noise(image: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """An image (C, H, W) with Gaussian noise of standard deviation `sigma`, cut to [0, 1]."""
    drawn = torch.randn(image.shape, generator=generator, dtype=image.dtype)
    return (image + sigma * drawn).clamp(0, 1)


def shift(image: Tensor, down: int, right: int) -> Tensor:
    """An image (C, H, W) moved by whole pixels; border pixels are repeated."""
    rows = (torch.arange(image.shape[-2]) - down).clamp(0, image.shape[-2] - 1)
    columns = (torch.arange(image.shape[-1]) - right).clamp(0, image.shape[-1] - 1)
    return image[:, rows][:, :, columns]


def smooth(
    count: int, size: tuple[int, int], vectors: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Random fields (N, H, W, 2), standard normal at `vectors` (rows, columns) of a grid and bicubic between them."""
    coarse = torch.randn(count, 2, *vectors, generator=generator)
    fields = F.interpolate(coarse, size, mode="bicubic", align_corners=True)
    return fields.permute(0, 2, 3, 1)


def displacement(size: tuple[int, int], pixels: float, generator: torch.Generator) -> Tensor:
    """A smooth random field (H, W, 2) of displacements (right, down), of `pixels` pixels root mean square."""
    height, width = size
    cell = max(1.0, min(size) / SMOOTHNESS)
    vectors = (max(2, round(height / cell)), max(2, round(width / cell)))
    field = smooth(1, size, vectors, generator)[0]
    length = field.square().sum(-1).mean().sqrt()
    return field * (pixels / length)


def deform(images: Tensor, field: Tensor, *, outside: str = "border") -> Tensor:
    """Images (N, C, H, W) bent by displacements in pixels, one field (H, W, 2) or one an image (N, H, W, 2), bilinear.

    outside: what lies beyond the border, "border" (it repeats) or "zeros".
    """
    height, width = images.shape[-2:]
    rows = torch.arange(height, dtype=images.dtype)[:, None] + field[..., 1]
    columns = torch.arange(width, dtype=images.dtype)[None] + field[..., 0]
    grid = torch.stack(((2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1), -1)
    return F.grid_sample(
        images, grid.to(images).expand(len(images), -1, -1, -1), padding_mode=outside, align_corners=False,
    )  # fmt: skip
