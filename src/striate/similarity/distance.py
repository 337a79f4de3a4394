"""Perceptual distance: how different two images look to a network, and where (Zhang et al. 2018; lecture 003)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from striate.attribution.layers import spread
from striate.errors import UsageError
from striate.geometry import Layer
from striate.similarity.features import feature_layers, squared_difference
from striate.similarity.linear import published_layers
from striate.units import Network

PIXELS = 2**20  # of the images that run at a time, each pair counted twice


@dataclass(frozen=True, kw_only=True, eq=False)
class Distance:
    """How far pairs of images lie apart in a network's features.

    distance: (N,), the sum over `layers`, 0 for equal images. layers: the share (N,) of each layer, in order, finest first.
    maps: (N, h, w) of each layer, its share per position. size: (H, W) of the images. weighted: whether channels count by
    fitted weights (LPIPS) or alike.
    """

    distance: Tensor
    layers: dict[str, Tensor]
    maps: dict[Layer, Tensor]
    size: tuple[int, int]
    weighted: bool

    @cached_property
    def map(self) -> Tensor:
        """(N, H, W), where they differ: each layer's share per position, over the middle of what the position sees, summed
        over the layers. Made when it is first asked for.
        """
        return torch.stack([spread(m, layer, self.size) for layer, m in self.maps.items()]).sum(0)


class Comparer:
    """A network as a measure of distance between images of one size (H, W).

    module: from (N, C, H, W) to anything. shape: (1, C, H, W). mean, std: turn pixels in [0, 1] into its input. layers:
    names of those compared, see `feature_layers`. weights: (C,) for each layer, non-negative; all 1 if not given.
    Raises UsageError for layers that do not exist and weights that do not fit, GeometryError where it cannot be traced.
    """

    def __init__(
        self,
        module: nn.Module,
        shape: Sequence[int],
        *,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        layers: Sequence[str] | None = None,
        weights: Sequence[Tensor] | None = None,
    ) -> None:
        self.network = Network(module, shape, mean=mean, std=std)
        geometry = self.network.geometry
        if weights is not None and layers is None:
            layers = published_layers(geometry, list(weights))
        self.layers: list[Layer] = feature_layers(geometry, layers)
        if weights is not None:
            channels = [x.out_shape[1] for x in self.layers]
            if [len(w) for w in weights] != channels:
                raise UsageError(
                    f"weights for {', '.join(str(len(w)) for w in weights)} channels do not fit the layers "
                    f"{', '.join(x.name for x in self.layers)} of {', '.join(map(str, channels))}"
                )
        self.weights = weights
        self.values = [geometry.records[x.record].output for x in self.layers]

    def __call__(self, a: Tensor, b: Tensor) -> Distance:
        """Distances of pairs: images (N, C, H, W), uint8 or float in [0, 1]. Floats that want a gradient get one."""
        first, second = self.network.images(a), self.network.images(b)
        if len(first) != len(second):
            raise UsageError(f"images are compared in pairs, got {len(first)} and {len(second)}")
        height, width = self.network.size
        at_once = max(1, PIXELS // (2 * height * width))
        parts: list[list[Tensor]] = []
        keep = torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)
        with torch.set_grad_enabled(keep):
            for x, y in zip(first.split(at_once), second.split(at_once), strict=True):
                parts.append(self._maps(x, y))
            maps = [torch.cat(layer) for layer in zip(*parts, strict=True)]
            shares = [m.mean((1, 2)) for m in maps]
            return Distance(
                distance=torch.stack(shares).sum(0),
                layers={x.name: s for x, s in zip(self.layers, shares, strict=True)},
                maps=dict(zip(self.layers, maps, strict=True)),
                size=(height, width),
                weighted=self.weights is not None,
            )

    def _maps(self, a: Tensor, b: Tensor) -> list[Tensor]:
        """For each layer the weighted squared difference (N, h, w) of the images' unit features."""
        n = len(a)
        features = self.network.forward(torch.cat((a, b)), self.values)
        found = []
        for at, value in enumerate(self.values):
            maps = features[value].float()
            weights = None if self.weights is None else self.weights[at].to(maps)
            found.append(squared_difference(maps[:n], maps[n:], weights))
        return found
