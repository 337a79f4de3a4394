"""Changes of images under which similarities are watched: place, size, light, blur, noise and what covers a part."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.tasks.warp import Warp


class Change(NamedTuple):
    """A change of images (N, C, H, W) in [0, 1], with its kind, its name, and whether images in use may well come so."""

    kind: str
    name: str
    common: bool
    apply: Callable[[Tensor], Tensor]


def changes(side: int, seed: int) -> list[Change]:
    """All of them for images whose shorter side has `side` pixels. seed: of noise, and of places that are covered."""
    made = [
        Change("shift", f"shift {d} px", d <= max(1, side // 8), _warp(Warp(columns=d)))
        for d in sorted({max(1, side // 16), max(1, side // 8), max(1, side // 4)})
    ]
    made += [Change("rotation", f"rotation {a:g}°", a <= 15, _warp(Warp(degrees=a))) for a in (5.0, 15.0, 30.0)]  # fmt: skip
    made += [
        Change("scale", f"size ×{f:g}", f in (0.8, 1.25), _warp(Warp(scale=f)))
        for f in (0.65, 0.8, 1.25, 1.5)
    ]
    made += [Change("light", f"light ×{f:g}", f in (0.6, 1.4), lit(f)) for f in (0.3, 0.6, 1.4, 2.0)]  # fmt: skip
    made += [Change("light", "light from the left", True, lit_from_left)]
    made += [Change("blur", f"blur {s:g} px", s <= 1, blurred(s)) for s in (0.5, 1.0, 2.0)]
    made += [Change("noise", f"noise {a:g}", a <= 0.05, noisy(a, seed)) for a in (0.05, 0.1, 0.2)]
    made += [
        Change("occlusion", f"{100 * part:.0f} % covered", part <= 0.1, covered(part, seed))
        for part in (0.05, 0.1, 0.25)
    ]
    return made


def _warp(warp: Warp) -> Callable[[Tensor], Tensor]:
    return warp.images


def lit(factor: float) -> Callable[[Tensor], Tensor]:
    """Images (N, C, H, W) brighter or darker by a factor; what would be brighter than white is white."""
    return lambda images: (images * factor).clamp(0, 1)


def lit_from_left(images: Tensor) -> Tensor:
    """Images (N, C, H, W) with light that falls from 1.4 times on the left to 0.6 times on the right."""
    ramp = torch.linspace(1.4, 0.6, images.shape[-1])
    return (images * ramp).clamp(0, 1)


def blurred(sigma: float) -> Callable[[Tensor], Tensor]:
    """A Gaussian blur of images (N, C, H, W), of standard deviation `sigma` pixels; the border is repeated."""
    reach = max(1, round(3 * sigma))
    at = torch.arange(-reach, reach + 1).float()
    weights = torch.exp(-(at**2) / (2 * sigma**2))
    weights = weights / weights.sum()

    def apply(images: Tensor) -> Tensor:
        n, c, h, w = images.shape
        flat = F.pad(images.reshape(n * c, 1, h, w), (reach,) * 4, mode="replicate")
        flat = F.conv2d(F.conv2d(flat, weights[None, None, :, None]), weights[None, None, None])
        return flat.reshape(n, c, h, w)

    return apply


def noisy(amount: float, seed: int) -> Callable[[Tensor], Tensor]:
    """Gaussian noise of standard deviation `amount` on every pixel of images (N, C, H, W)."""

    def apply(images: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return (images + amount * torch.randn(images.shape, generator=generator)).clamp(0, 1)

    return apply


def covered(part: float, seed: int) -> Callable[[Tensor], Tensor]:
    """A grey square over that part of each of images (N, C, H, W), at a place of its own."""

    def apply(images: Tensor) -> Tensor:
        n, _, h, w = images.shape
        side = min(h, w, max(1, round((part * h * w) ** 0.5)))
        generator = torch.Generator().manual_seed(seed + 1)
        tops = torch.randint(0, h - side + 1, (n,), generator=generator)
        lefts = torch.randint(0, w - side + 1, (n,), generator=generator)
        inside = squares(tops, lefts, side, (h, w))
        return torch.where(inside, torch.full_like(images, 0.5), images)

    return apply


def squares(tops: Tensor, lefts: Tensor, side: int, size: tuple[int, int]) -> Tensor:
    """(N, 1, H, W) bool, the pixels of a square of `side` in each of N images of `size`. tops, lefts: (N,) its corner."""
    rows, columns = torch.arange(size[0])[None, :, None], torch.arange(size[1])[None, None]
    top, left = tops[:, None, None], lefts[:, None, None]
    inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
    return inside[:, None]
