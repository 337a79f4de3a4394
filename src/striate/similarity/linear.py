"""Linear weights: how much each channel counts, fitted by Zhang et al. to what people called similar (LPIPS)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from striate.errors import UsageError
from striate.geometry import Geometry

NAME = re.compile(r"(?:lin|lins\.)(\d+)\.(?:model\.\d+\.)?weight")

# The activations that the published weights belong to, by the names of torchvision's networks.
PUBLISHED: dict[str, tuple[str, ...]] = {
    "AlexNet": tuple(f"features.{i}" for i in (1, 4, 7, 9, 11)),
    "VGG-16": tuple(f"features.{i}" for i in (3, 8, 15, 22, 29)),
    "SqueezeNet 1.1": tuple(f"features.{i}" for i in (1, 4, 7, 9, 10, 11, 12)),
}
CHANNELS: dict[tuple[int, ...], str] = {
    (64, 192, 384, 256, 256): "AlexNet",
    (64, 128, 256, 512, 512): "VGG-16",
    (64, 128, 256, 384, 384, 512, 512): "SqueezeNet 1.1",
}


def are_linear(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a file's tensors are linear weights (1, C, 1, 1) alone, as the package `lpips` stores them."""
    return bool(tensors) and all(NAME.fullmatch(name) for name in tensors)


def linear_weights(tensors: Mapping[str, Tensor], path: Path) -> list[Tensor]:
    """The weights (C,) of each layer in order. Raises UsageError for other shapes, gaps and numbers that are not finite."""
    found: dict[int, Tensor] = {}
    for name, tensor in tensors.items():
        match = NAME.fullmatch(name)
        if match is None:
            continue
        if tensor.dim() != 4 or tensor.shape[0] != 1 or tensor.shape[2:] != (1, 1):
            raise UsageError(
                f"{path}: {name} is {tuple(tensor.shape)}, and weights of a layer are (1, C, 1, 1), as lpips stores them"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise UsageError(
                f"{path}: {name} holds numbers that are not finite; take the published file"
            )
        found[int(match[1])] = tensor.detach().float().reshape(-1)
    if sorted(found) != list(range(len(found))):
        raise UsageError(
            f"{path} has weights of the layers {sorted(found)}; some before the last are missing"
        )
    return [found[i] for i in range(len(found))]


def published_layers(geometry: Geometry, weights: list[Tensor]) -> list[str]:
    """The layers that published weights were fitted to, in a network of the names and channels of torchvision's.

    Raises UsageError where the network is another: weights of one network mean nothing for another.
    """
    channels = tuple(len(w) for w in weights)
    kind = CHANNELS.get(channels)
    if kind is None:
        raise UsageError(
            f"linear weights for maps of {', '.join(map(str, channels))} channels belong to no published network "
            f"({', '.join(PUBLISHED)}); name the layers they were fitted to with layers"
        )
    by_module = {layer.module: layer.out_shape for layer in geometry}
    names = PUBLISHED[kind]
    if any(
        n not in by_module or by_module[n][1] != c for n, c in zip(names, channels, strict=True)
    ):
        raise UsageError(
            f"these linear weights were fitted to {kind}, and {geometry.kind} is another network; give the network with "
            f"--network, or name the layers they were fitted to"
        )
    return list(names)
