"""Triplets: an image and two distortions of it, of which one is the smaller by construction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.similarity.distortions import blur, jpeg, noise, shift

Draw = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Triplet:
    """An image (C, H, W), its nearer and its farther distortion, the kind, and which crop it came from."""

    image: Tensor
    nearer: Tensor
    farther: Tensor
    kind: str
    crop: int


def _uniform(low: float, high: float, g: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=g))


def _direction(pixels: int, g: torch.Generator) -> tuple[int, int]:
    """A shift by so many pixels along one of the eight directions of a grid."""
    ways = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
    down, right = ways[int(torch.randint(8, (), generator=g))]
    return down * pixels, right * pixels


def by_jpeg(x: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """An image (3, H, W) in two JPEG qualities, 3 to 20 apart."""
    low = round(_uniform(5, 60, g))
    return jpeg(x, low + round(_uniform(3, 20, g))), jpeg(x, low)


def by_blur(x: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """An image (3, H, W) under two widths of a Gaussian blur, by a factor of 1.1 to 1.6 apart."""
    wide = _uniform(0.8, 4.0, g)
    return blur(x, wide / _uniform(1.1, 1.6, g)), blur(x, wide)


def by_noise(x: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """An image (3, H, W) under two levels of noise, drawn anew for each, by a factor of 1.1 to 1.6 apart."""
    loud = _uniform(0.03, 0.25, g)
    return noise(x, loud / _uniform(1.1, 1.6, g), g), noise(x, loud, g)


def by_shift(x: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """An image (3, H, W) shifted by 1 to 12 pixels, one 1.5 to 4 times as far, each along a direction of its own."""
    near = int(torch.randint(1, 7, (), generator=g))
    far = max(near + 1, round(near * _uniform(1.5, 4.0, g)))
    return shift(x, *_direction(near, g)), shift(x, *_direction(min(far, 24), g))


def by_both(x: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """An image (3, H, W) shifted by 1 to 3 pixels alone, and one as far, along another direction perhaps, that is
    blurred as well.
    """
    pixels = int(torch.randint(1, 4, (), generator=g))
    alone = shift(x, *_direction(pixels, g))
    return alone, blur(shift(x, *_direction(pixels, g)), _uniform(1.0, 3.0, g))


KINDS: dict[str, Draw] = {
    "JPEG quality": by_jpeg,
    "blur width": by_blur,
    "noise level": by_noise,
    "shift": by_shift,
    "shift, or shift and blur": by_both,
}


def triplets(images: Tensor, each: int, seed: int) -> list[Triplet]:
    """`each` triplets of each kind for each image (N, C, H, W) in [0, 1]."""
    found = []
    for number, draw in enumerate(KINDS.items()):
        kind, make = draw
        for crop, image in enumerate(images):
            g = torch.Generator().manual_seed(seed * 1_000_003 + number * 1009 + crop)
            for _ in range(each):
                nearer, farther = make(image, g)
                found.append(Triplet(image, nearer, farther, kind, crop))
    return found
