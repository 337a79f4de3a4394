"""Stability: how far features move when an image is deformed a little, against noise that changes its pixels as much.

A representation is stable to deformations where the distance grows in proportion to the displacement, not to what the pixels
change by (Mallat 2012, Group invariant scattering; lecture 003).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.similarity.distance import Comparer
from striate.similarity.distortions import deform, displacement


@dataclass(frozen=True, kw_only=True, eq=False)
class Stability:
    """Of N images under L sizes of deformation.

    pixels: the sizes (L,), root mean square displacement in pixels. changed: root mean square change of the pixels (N, L).
    deformed, noisy: per layer (N, L), how far the features of the deformed image lie from the image's, and those of
    the image with white noise that changes its pixels as much, in the length of the image's features; "pixels": the image.
    """

    pixels: tuple[float, ...]
    changed: Tensor
    deformed: dict[str, Tensor]
    noisy: dict[str, Tensor]


def stability(
    comparer: Comparer, images: Tensor, sizes: Sequence[float], *, seed: int = 0
) -> Stability:
    """Measure it on images (N, C, H, W), float in [0, 1]; each gets a deformation of its own, the same at all sizes."""
    names = ["pixels", *(layer.name for layer in comparer.layers)]
    changed = torch.zeros(len(images), len(sizes))
    moved = {kind: {n: torch.zeros(len(images), len(sizes)) for n in names} for kind in ("deformed", "noisy")}  # fmt: skip
    for i, image in enumerate(images):
        generator = torch.Generator().manual_seed(seed * 100_003 + i)
        field = displacement((image.shape[-2], image.shape[-1]), 1.0, generator)
        white = torch.randn(image.shape, generator=generator)
        white = white / white.square().mean().sqrt()
        bent = torch.cat([deform(image[None], field * size) for size in sizes])
        change = (bent - image).square().mean((1, 2, 3)).sqrt()
        noisy = image + white * change.view(
            -1, 1, 1, 1
        )  # not cut to [0, 1]: that would change it less
        changed[i] = change
        with torch.no_grad():
            found = comparer.network.forward(torch.cat((image[None], bent, noisy)), comparer.values)
        maps = {"pixels": torch.cat((image[None], bent, noisy))}
        maps |= {n: found[v].float() for n, v in zip(names[1:], comparer.values, strict=True)}
        for name, values in maps.items():
            far = (values[1:] - values[:1]).flatten(1).norm(dim=1) / values[0].norm().clamp(
                min=1e-12
            )
            moved["deformed"][name][i], moved["noisy"][name][i] = far.split(len(sizes))
    return Stability(pixels=tuple(sizes), changed=changed, **moved)
