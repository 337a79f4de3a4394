"""Patches that do not divide the image, as a sentence: what is padded, and with which size nothing would be."""

from __future__ import annotations

import torch

from striate.models.building import build
from striate.models.spelling import architecture
from striate.nn import PatchEmbedding, grid_of

PATCHED = ("vit", "patch-mlp")


def padding_of(spec: str, channels: int, size: tuple[int, int]) -> str:
    """What `spec` pads an image (height, width) by, or nothing where its patches divide it. No weight is made."""
    if architecture(spec) not in PATCHED:
        return ""
    with torch.device("meta"):
        network = build(spec, in_channels=channels, num_classes=2, size=size, check=False)
    patch = next(m.kernel_size[0] for m in network.modules() if isinstance(m, PatchEmbedding))
    rows, columns = grid_of(size, patch)
    whole = (rows * patch, columns * patch)
    if whole == size:
        return ""
    return (
        f"patches of {patch} x {patch} pixels do not divide images of {size[0]} x {size[1]}: zeros around them make "
        f"{whole[0]} x {whole[1]}"
    )
