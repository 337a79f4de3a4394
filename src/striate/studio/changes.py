"""Changes: a picture with a part hidden, or shifted, turned, blurred, as the sliders of the page stand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from striate.errors import UsageError
from striate.studio.numbers import Box, number_from
from striate.tasks.warp import Warp

# What each slider runs over. Shifts and the blur's deviation are shares of the side, so that they mean as much on any size.
RANGES: dict[str, tuple[float, float]] = {
    "right": (-0.25, 0.25),
    "down": (-0.25, 0.25),
    "degrees": (-180.0, 180.0),
    "scale": (0.5, 2.0),
    "blur": (0.0, 0.08),
    "noise": (0.0, 0.4),
    "brightness": (0.2, 1.8),
    "contrast": (0.0, 2.0),
}
STILL = {name: float(name in ("scale", "brightness", "contrast")) for name in RANGES}
NUMBERS = {"grey": 0.5, "black": 0.0, "white": 1.0}
FILLS = (*NUMBERS, "mean", "blur", "picture")


def amounts_in(given: Any) -> dict[str, float]:
    """Where all sliders stand, given those that moved. Raises UsageError for what is no slider or out of range."""
    if not isinstance(given, Mapping):
        raise UsageError("the page sent no sliders; load it again")
    return {
        **STILL,
        **{name: number_from(value, name, *range_of(name)) for name, value in given.items()},
    }


def range_of(name: Any) -> tuple[float, float]:
    """Raises UsageError for what is no slider."""
    if name not in RANGES:
        raise UsageError(f"there is no slider {name!r}; load the page again")
    return RANGES[name]


def altered(image: Tensor, amounts: Mapping[str, float]) -> Tensor:
    """An image (C, H, W) in [0, 1] with all sliders as they stand; see `altered_all`."""
    return altered_all(image[None], amounts)[0]


def altered_all(images: Tensor, amounts: Mapping[str, float]) -> Tensor:
    """Images (N, C, H, W) in [0, 1] with all sliders as they stand: moved first, then blurred, lit, and noise on top.

    The noise is drawn from one seed, the same for each image, so that more of it is more of the same.
    """
    height, width = images.shape[2:]
    moved = Warp(
        rows=round(amounts["down"] * height), columns=round(amounts["right"] * width), scale=amounts["scale"],
        degrees=amounts["degrees"],
    ).images(images)  # fmt: skip
    if amounts["blur"]:
        moved = blurred(moved, amounts["blur"])
    if amounts["brightness"] != 1:
        moved = moved * amounts["brightness"]
    if amounts["contrast"] != 1:
        mean = moved.mean((1, 2, 3), keepdim=True)
        moved = mean + (moved - mean) * amounts["contrast"]
    if amounts["noise"]:
        moved = moved + amounts["noise"] * torch.randn(
            moved.shape[1:], generator=torch.Generator().manual_seed(0)
        )
    return moved.clamp(0, 1)


def blurred(images: Tensor, share: float) -> Tensor:
    """Images (N, C, H, W) under a Gaussian whose deviation is `share` of the shorter side."""
    from torchvision.transforms.v2 import functional as T  # takes a second to load

    shorter = min(images.shape[-2:])
    sigma = share * shorter
    reach = min(max(1, math.ceil(3 * sigma)), shorter - 1)  # its padding reflects
    return T.gaussian_blur(images, [2 * reach + 1] * 2, [sigma] * 2) if reach else images


def content_of(image: Tensor, fill: str, other: Tensor | None = None) -> Any:
    """What hides a part of an image (C, H, W): a number, one a channel, or an image, which may be `other`.

    Raises UsageError for no fill.
    """
    if fill == "picture" and other is not None:
        return other
    if fill == "blur":
        return blurred(image[None], 0.08)[0]
    if fill == "mean":
        return image.mean((1, 2)).tolist()
    if fill not in NUMBERS:
        raise UsageError(f"nothing is hidden by {fill!r}; the page knows {', '.join(FILLS)}")
    return NUMBERS[fill]


def pasted(image: Tensor, content: Any, box: Box) -> Tensor:
    """The image (C, H, W) with the box hidden by what `content_of` gave."""
    changed = image.clone()
    (top, bottom), (left, right) = box
    if isinstance(content, Tensor):
        changed[:, top:bottom, left:right] = content[:, top:bottom, left:right]
    else:
        changed[:, top:bottom, left:right] = torch.as_tensor(content).reshape(-1, 1, 1)
    return changed


def strides(patch: tuple[int, int], size: tuple[int, int], positions: int) -> list[tuple[int, int]]:
    """Strides of an occlusion map from coarse to fine; each halves the one before, so that what is known is used again.

    patch, size: (rows, columns) of what hides and of the image. positions: about so many at the finest.
    """
    free = [max(n - p, 1) for n, p in zip(size, patch, strict=True)]
    finest = max(1, round(math.sqrt(free[0] * free[1] / positions)))
    return [(finest * k, finest * k) for k in (4, 2, 1) if k == 1 or finest * k < max(free)]
