"""A scale for distances: how far an image is from itself under distortions that everybody knows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from striate.similarity.distance import Comparer
from striate.similarity.distortions import blur, jpeg, noise, shift

STEPS: tuple[tuple[str, Callable[[Tensor, torch.Generator], Tensor]], ...] = (
    ("JPEG of quality 90", lambda x, g: jpeg(x, 90)),
    ("JPEG of quality 30", lambda x, g: jpeg(x, 30)),
    ("JPEG of quality 10", lambda x, g: jpeg(x, 10)),
    ("blurred by 1 pixel", lambda x, g: blur(x, 1.0)),
    ("blurred by 3 pixels", lambda x, g: blur(x, 3.0)),
    ("noise of 2 %", lambda x, g: noise(x, 0.02, g)),
    ("noise of 10 %", lambda x, g: noise(x, 0.1, g)),
    ("moved by 1 pixel", lambda x, g: shift(x, 0, 1)),
    ("moved by 8 pixels", lambda x, g: shift(x, 0, 8)),
)


def scale_of(comparer: Comparer, image: Tensor, *, seed: int = 0) -> dict[str, float]:
    """The distance of an image (C, H, W) in [0, 1] from itself under each distortion of STEPS, nearest first."""
    grey_or_colour = image.shape[0] in (1, 3)  # what JPEG stores
    made = {}
    for name, change in STEPS:
        if name.startswith("JPEG") and not grey_or_colour:
            continue
        g = torch.Generator().manual_seed(seed)
        made[name] = comparer(image[None], change(image, g)[None]).distance.item()
    return dict(sorted(made.items(), key=lambda pair: pair[1]))
