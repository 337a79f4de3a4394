"""Features: the maps of a network whose difference stands for how different two images look (lecture 003)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from striate.attribution.layers import HALFWAY, find_layer
from striate.errors import UsageError
from striate.geometry import Geometry, Layer

EPS = 1e-10  # of Zhang et al.'s normalisation: a position where no channel answers stays zero


def feature_layers(geometry: Geometry, names: Sequence[str] | None = None) -> list[Layer]:
    """The layers of these names, or the last finished map of each resolution on the way down, finest first.

    A map is finished behind its activation; a resolution counts where a layer with weights made it, not a pooling alone.
    VGG gives the layers that Zhang et al. (2018) chose by hand: the last activation before each pooling. Raises UsageError
    for a name that does not exist, a layer without a map, and a network without maps.
    """
    if names is not None:
        chosen = [find_layer(geometry, name) for name in names]
        for layer in chosen:
            if len(layer.out_shape) != 4:
                raise UsageError(
                    f"a feature is a map (N, C, h, w), and {layer.name} gives {layer.out_shape}; choose another layer"
                )
        return chosen
    levels: dict[int, list[Layer]] = {}
    weighted: set[int] = set()
    finest = None
    for layer in geometry:
        shape = layer.out_shape
        if len(shape) != 4 or shape[1] < 2 or min(shape[2:]) < 2 or None in layer.local_field:
            continue
        count = shape[2] * shape[3]
        if finest is not None and count > finest:
            continue  # on the way up again, as in a U-Net
        finest = count
        levels.setdefault(count, []).append(layer)
        if layer.params:
            weighted.add(count)
    chosen = []
    for count, layers in levels.items():
        if count in weighted:
            chosen.append(([x for x in layers if x.op not in HALFWAY] or layers)[-1])
    if not chosen:
        raise UsageError(
            f"{geometry.kind} has no layer whose values still have places in the image, so that it tells no distance; "
            "take a convolutional network such as efficientnet-lite0"
        )
    return chosen


def unit_length(maps: Tensor) -> Tensor:
    """Maps (N, C, h, w) with the vector of channels at each position scaled to length 1; zeros stay zeros."""
    return maps / (torch.linalg.vector_norm(maps, dim=1, keepdim=True) + EPS)


def squared_difference(a: Tensor, b: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum over channels of the squared difference of unit features: (N, C, h, w) twice -> (N, h, w). weights: (C,)."""
    if torch.is_grad_enabled() and (a.requires_grad or b.requires_grad):
        square = (unit_length(a) - unit_length(b)) ** 2
        return square.sum(1) if weights is None else torch.einsum("nchw,c->nhw", square, weights)
    found = a.new_empty((len(a), *a.shape[2:]))
    for i, (x, y) in enumerate(
        zip(a, b, strict=True)
    ):  # one pair fits the cache; a batch takes four times as long
        lengths = [v.square().sum(0).sqrt_().add_(EPS) for v in (x, y)]
        square = (x / lengths[0]).addcdiv_(y, lengths[1], value=-1).square_()
        found[i] = square.sum(0) if weights is None else torch.einsum("chw,c->hw", square, weights)
    return found
