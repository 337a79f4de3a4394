"""Projection: what one unit of any layer responded to, sent down to the pixels by a deconvnet."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.attribution.images import as_images
from striate.attribution.layers import compute, find_layer, geometry_of
from striate.attribution.names import layers_of
from striate.attribution.rectifiers import NAMES, backward
from striate.borrow import borrowed
from striate.errors import UsageError
from striate.geometry import Field, Geometry


@dataclass(frozen=True, kw_only=True)
class Projection:
    """One unit's response to one image.

    pixels (C, H, W): the projection. activation: the unit's. position: its place on its map, () where it has none.
    field: the pixels that it sees; outside, the projection is 0.
    """

    pixels: Tensor
    activation: float
    position: tuple[int, ...]
    field: Field


def project(
    module: nn.Module,
    images: Tensor,
    layer: str,
    channel: int,
    *,
    position: tuple[int, int] | None = None,
    rule: str = "deconvnet-switches",
    geometry: Geometry | None = None,
) -> list[Projection]:
    """Send one unit's activation down to the pixels of each image, all other units of its layer set to 0.

    "Backpropagate strong activation signals in hidden layers to the input images, then apply unpooling" (Zeiler and
    Fergus 2014; lecture 002): switches recorded in the forward pass, un-pooling, rectification, transposed filters.

    images: (N, C, H, W) in the network's own numbers. layer: a name of the geometry. channel: of its map. position:
    (row, column) on it; where the channel is strongest if not given. rule:
    "deconvnet-switches", "deconvnet" or "guided-backpropagation".
    Raises UsageError for a layer, a channel, a position or a rule that does not exist, and where the rule does not cover
    an activation in front of the unit.
    """
    if rule not in NAMES:
        raise UsageError(f"there is no rule {rule!r}; there are {', '.join(NAMES)}")
    x = as_images(module, images)
    with borrowed(module):
        geometry = geometry or geometry_of(module, x)
        chosen = find_layer(geometry, layer)
        value = geometry.records[chosen.record].output
        x = x.requires_grad_()
        feature = compute(geometry, module, {geometry.inputs[0]: x}, stop=chosen.record)[value]
        if feature.dim() not in (2, 4):
            raise UsageError(
                f"{chosen.name} gives values of shape {tuple(feature.shape)}; choose a layer with channels"
            )
        if not 0 <= channel < feature.shape[1]:
            raise UsageError(
                f"{chosen.name} has {feature.shape[1]} channels, 0 to {feature.shape[1] - 1}; got {channel}"
            )
        places = [_place(row[channel], position, chosen.name) for row in feature.detach()]
        units = torch.stack(
            [row[(channel, *place)] for row, place in zip(feature, places, strict=True)]
        )
        # Each image's unit starts with its own activation: what it passes down is proportional to it.
        total = (units * units.detach()).sum()
        gradient = backward(total, x, rule, lambda: layers_of(module, x))
    return [
        Projection(
            pixels=pixels,
            activation=float(unit),
            position=place,
            field=geometry.receptive_field(chosen.name, place),
        )
        for pixels, unit, place in zip(gradient, units.detach(), places, strict=True)
    ]


def _place(row: Tensor, position: tuple[int, int] | None, name: str) -> tuple[int, ...]:
    """Where on a channel's map (h, w), or () for a single number."""
    if row.dim() == 0:
        return ()
    if position is None:
        return tuple(int(i) for i in divmod(int(row.argmax()), row.shape[1]))
    if len(position) != 2 or not all(0 <= p < n for p, n in zip(position, row.shape, strict=True)):
        raise UsageError(
            f"{name} has {row.shape[0]} x {row.shape[1]} positions, from (0, 0) on; got {position}"
        )
    return tuple(position)
