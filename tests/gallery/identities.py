"""Images of made identities, and a small network that tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import striate

SIDE = 16


def face(identity: int, number: int) -> np.ndarray:
    """An image (16, 16, 3) of an identity, which is a texture of its own, in light and noise of its own."""
    base = (
        np.random.default_rng(1000 + identity).integers(0, 200, (4, 4, 3)).repeat(4, 0).repeat(4, 1)
    )
    rng = np.random.default_rng(100 * identity + number)
    shown = base * rng.uniform(0.8, 1.2) + rng.normal(0, 6, base.shape)
    return np.clip(shown, 0, 255).astype(np.uint8)


def write(folder: Path, identities: Sequence[int], images: int = 3, *, first: int = 0) -> Path:
    """A folder with a folder of images for each identity."""
    for identity in identities:
        place = folder / f"person{identity}"
        place.mkdir(parents=True, exist_ok=True)
        for number in range(first, first + images):
            Image.fromarray(face(identity, number)).save(place / f"{number}.png")
    return folder


def network(seed: int = 0) -> striate.Trained:
    """A classifier of random weights, whose last hidden layer tells textures apart."""
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 32, 4, stride=4), nn.Tanh(), nn.Flatten(), nn.Linear(512, 64), nn.Tanh(), nn.Linear(64, 2)
    )  # fmt: skip
    with torch.no_grad():
        module[0].weight.mul_(3)
    return striate.wrap(module, classes=("a", "b"), preprocessing=(SIDE, (0.4,) * 3, (0.25,) * 3))
