"""Corruptions at five severities, in pixel space; torchvision's transforms where they exist."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from striate.errors import UsageError
from striate.robustness.transforms import scaled, shifted

SEVERITIES = (1, 2, 3, 4, 5)
Corruption = Callable[[Tensor, int, torch.Generator], Tensor]


def _pick(severity: int, *values: float) -> float:
    return values[severity - 1]


def _normal(x: Tensor, g: torch.Generator, shape: tuple[int, ...] | None = None) -> Tensor:
    return torch.randn(shape or x.shape, generator=g)


def gaussian_noise(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    return x + _pick(s, 0.04, 0.08, 0.12, 0.18, 0.26) * _normal(x, g)


def shot_noise(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    # The normal limit of photon counts: the same draw at every severity, so that more is always worse.
    return x + _normal(x, g) * (x / _pick(s, 120, 50, 25, 12, 6)).sqrt()


def impulse_noise(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    u = torch.rand(x.shape, generator=g)
    value = (torch.rand(x.shape, generator=g) > 0.5).float()
    return torch.where(u < _pick(s, 0.01, 0.03, 0.06, 0.11, 0.18), value, x)


def speckle_noise(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    return x * (1 + _pick(s, 0.1, 0.2, 0.3, 0.45, 0.6) * _normal(x, g))


def gaussian_blur(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    from torchvision.transforms.v2 import functional as T  # takes a second to load

    sigma = _pick(s, 0.012, 0.02, 0.03, 0.045, 0.07) * min(x.shape[-2:])
    reach = max(1, math.ceil(3 * sigma))
    reach = min(reach, min(x.shape[-2:]) - 1)  # its padding reflects
    return T.gaussian_blur(x, [2 * reach + 1] * 2, [sigma] * 2)


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    reach_r, reach_c = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = F.pad(x, (reach_c, reach_c, reach_r, reach_r), mode="replicate")
    weight = kernel.expand(x.shape[1], 1, *kernel.shape).contiguous()
    return F.conv2d(padded, weight, groups=x.shape[1])


def defocus_blur(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    radius = _pick(s, 0.02, 0.03, 0.045, 0.065, 0.09) * min(x.shape[-2:])
    reach = math.ceil(radius)
    at = torch.arange(-reach, reach + 1).float()
    # The edge of the disk is soft over a pixel: discs of fractions of a pixel differ too.
    kernel = (radius + 1 - (at[:, None] ** 2 + at**2).sqrt()).clamp(0, 1)
    return _filtered(x, kernel / kernel.sum())


def motion_blur(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    length = _pick(s, 0.06, 0.1, 0.15, 0.21, 0.28) * x.shape[-1]
    reach = math.ceil(length / 2)
    row = (length / 2 + 1 - torch.arange(-reach, reach + 1).abs().float()).clamp(0, 1)
    return _filtered(x, (row / row.sum())[None])


def zoom_blur(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    most = _pick(s, 0.08, 0.14, 0.2, 0.28, 0.38)
    return torch.stack([scaled(x, 1 + most * i / 5) for i in range(6)]).mean(0)


def _clouds(x: Tensor, g: torch.Generator) -> Tensor:
    """Smooth random fields (N, 1, H, W) in [0, 1]: octaves of interpolated noise."""
    n, _, h, w = x.shape
    total = torch.zeros(n, 1, h, w)
    for i, cells in enumerate((3, 6, 12)):
        coarse = torch.rand(n, 1, cells, cells, generator=g)
        total += F.interpolate(coarse, (h, w), mode="bilinear", align_corners=False) / 2**i
    low, high = total.amin((2, 3), keepdim=True), total.amax((2, 3), keepdim=True)
    return (total - low) / (high - low).clamp_min(1e-6)


def fog(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    veil = _pick(s, 0.15, 0.25, 0.35, 0.48, 0.62) * (0.5 + 0.5 * _clouds(x, g))
    return x * (1 - veil) + 0.9 * veil


def snow(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    flakes = torch.rand(len(x), 1, *x.shape[-2:], generator=g)
    share = _pick(s, 0.01, 0.025, 0.045, 0.07, 0.1)
    fallen = (flakes < share).float()
    # A flake falls a pixel while the shutter is open.
    fallen = torch.maximum(fallen, 0.6 * shifted(fallen, 1, 1))
    return torch.maximum(x, fallen)


def rain(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    drops = torch.rand(len(x), 1, *x.shape[-2:], generator=g)
    fallen = (drops < _pick(s, 0.004, 0.008, 0.014, 0.022, 0.032)).float()
    streak = fallen
    for i in range(1, max(2, x.shape[-2] // 6)):
        streak = torch.maximum(streak, shifted(fallen, i, 0))
    return x * (1 - 0.6 * streak) + 0.45 * streak


def brightness(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    return x + _pick(s, 0.1, 0.2, 0.3, 0.4, 0.5)


def darkness(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    from torchvision.transforms.v2 import functional as T  # takes a second to load

    return T.adjust_brightness(x, _pick(s, 0.75, 0.55, 0.4, 0.27, 0.15))


def contrast(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    from torchvision.transforms.v2 import functional as T  # takes a second to load

    if x.shape[1] in (1, 3):
        return T.adjust_contrast(x, _pick(s, 0.7, 0.5, 0.35, 0.22, 0.12))
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * _pick(s, 0.7, 0.5, 0.35, 0.22, 0.12)


def jpeg(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    # Pillow's: torchvision's own encoder is deprecated since 0.29.
    quality = int(_pick(s, 60, 35, 20, 12, 6))
    colour = x.shape[1] == 3
    planes = (x.permute(0, 2, 3, 1) if colour else x.flatten(0, 1)).mul(255).round()
    decoded = []
    for plane in planes.to(torch.uint8).numpy():
        buffer = io.BytesIO()
        Image.fromarray(plane).save(buffer, "JPEG", quality=quality)
        decoded.append(torch.from_numpy(np.array(Image.open(buffer))))
    made = torch.stack(decoded).float() / 255
    return made.permute(0, 3, 1, 2).contiguous() if colour else made.view_as(x)


def pixelate(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    from torchvision.transforms.v2 import functional as T  # takes a second to load

    h, w = x.shape[-2:]
    f = _pick(s, 0.75, 0.6, 0.45, 0.33, 0.25)
    small = T.resize(x, [max(1, round(h * f)), max(1, round(w * f))], antialias=True)
    return F.interpolate(small, (h, w), mode="nearest-exact")


def elastic(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    n, _, h, w = x.shape
    cells = 5
    coarse = torch.rand(n, 2, cells, cells, generator=g) * 2 - 1
    field = F.interpolate(coarse, (h, w), mode="bicubic", align_corners=True)
    reach = 2 * _pick(s, 0.03, 0.05, 0.075, 0.105, 0.14)  # of the side; the grid spans 2
    eye = torch.eye(2, 3).expand(n, 2, 3)
    grid = F.affine_grid(eye, list(x.shape), align_corners=False) + reach * field.permute(
        0, 2, 3, 1
    )
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def occlusion(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    n, _, h, w = x.shape
    side = _pick(s, 0.2, 0.3, 0.4, 0.5, 0.6)
    centre = 0.25 + 0.5 * torch.rand(n, 2, generator=g)
    r = (torch.arange(h) + 0.5) / h
    c = (torch.arange(w) + 0.5) / w
    hidden = ((r - centre[:, :1]).abs() <= side / 2)[:, None, :, None]
    hidden = hidden & ((c - centre[:, 1:]).abs() <= side / 2)[:, None, None, :]
    return torch.where(hidden, torch.full_like(x, 0.5), x)


def quantisation(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    steps = _pick(s, 15, 7, 4, 2, 1)
    return (x * steps).round() / steps


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian noise": gaussian_noise, "shot noise": shot_noise, "impulse noise": impulse_noise,
    "speckle noise": speckle_noise, "gaussian blur": gaussian_blur, "defocus blur": defocus_blur,
    "motion blur": motion_blur, "zoom blur": zoom_blur, "fog": fog, "snow": snow, "rain": rain,
    "brightness": brightness, "darkness": darkness, "contrast": contrast, "jpeg": jpeg, "pixelate": pixelate,
    "elastic": elastic, "occlusion": occlusion, "quantisation": quantisation,
}  # fmt: skip


def corrupted(images: Tensor, name: str, severity: int, *, seed: int = 0) -> Tensor:
    """Float images (N, C, H, W) in [0, 1], corrupted by `name` at severity 1 to 5; in [0, 1] again.

    The same images, name and seed give the same result; severities share their random draws, so that they differ in
    strength alone. Strengths are in grey levels, or in shares of the side. Kinds as in Hendrycks and Dietterich (2019).
    Raises UsageError for an unknown name or severity.
    """
    if name not in CORRUPTIONS:
        raise UsageError(f"there is no corruption {name!r}; there are {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise UsageError(f"a severity is 1 to 5, got {severity!r}")
    number = list(CORRUPTIONS).index(name)
    g = torch.Generator().manual_seed(1_000_003 * seed + number)
    return CORRUPTIONS[name](images, severity, g).clamp(0, 1)
