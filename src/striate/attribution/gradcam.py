"""Grad-CAM: the channels of a late map, each weighted by how much the score follows it (Selvaraju et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.attribution.gradients import derivative_of
from striate.attribution.images import as_images, without_history
from striate.attribution.layers import compute, find_layer, geometry_of, last_map, result, spread
from striate.attribution.targets import Target, scorer
from striate.borrow import borrowed
from striate.errors import UsageError
from striate.geometry import Geometry, Layer


@dataclass(frozen=True, kw_only=True)
class GradCam:
    """maps (N, h, w), never negative, of `layer`; pixels (N, H, W): the same, each value over what it sees."""

    maps: Tensor
    pixels: Tensor
    layer: Layer


def grad_cam(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    layer: str | None = None,
    geometry: Geometry | None = None,
) -> GradCam:
    """ReLU of the sum of a layer's channels, each times the mean derivative of the score by it.

    images: (N, C, H, W) in the network's own numbers. Gives maps (N, h, w) of the layer and (N, H, W) of the pixels.
    layer: a name of the geometry (`striate summary`), or that of a submodule; found by `last_map` if not given.
    Raises UsageError for a layer that does not exist, or that has no map; GeometryError for a network that cannot be
    traced.
    """
    x = as_images(module, images)
    with borrowed(module):
        geometry = geometry or geometry_of(module, x)
        chosen = last_map(geometry) if layer is None else find_layer(geometry, layer)
        if len(chosen.out_shape) != 4:
            raise UsageError(
                f"Grad-CAM needs a map (N, C, h, w), and {chosen.name} gives {chosen.out_shape}; choose another layer"
            )
        value = geometry.records[chosen.record].output
        with torch.no_grad():
            known = {geometry.inputs[0]: x}
            feature = compute(geometry, module, known, stop=chosen.record)[value]
        if not feature.is_floating_point():
            raise UsageError(
                f"Grad-CAM needs a layer with a gradient, and {chosen.name} gives {feature.dtype}; choose another layer"
            )
        # The layer's value is made a leaf: only what follows it is differentiated, and no hook touches the module.
        feature = feature.detach().requires_grad_()
        output = result(
            geometry, module, compute(geometry, module, {value: feature, geometry.inputs[0]: x})
        )
        total = scorer(target, without_history(output), len(x))(output).sum()
        slope = derivative_of(total, feature)
        weights = slope.mean((2, 3), keepdim=True)
        maps = (weights * feature.detach()).sum(1).clamp(min=0)
    return GradCam(maps=maps, pixels=spread(maps, chosen, (x.shape[2], x.shape[3])), layer=chosen)
