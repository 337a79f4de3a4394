"""Filters: the kernels of a layer, which of them are near-duplicates, and which look like noise (seed 003)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from striate.units.layers import UnitLayer
from striate.units.network import Network

ALIKE = 0.95  # correlation of two kernels from which they count as near-duplicates
SHUFFLES = 99
ENOUGH, DEEP = 25, 8  # places, or channels, from which structure and noise can be told apart
NOISE = 0.05  # share of shuffled kernels that are as smooth: more, and the kernel counts as noise
MOST_PAIRS = 4096  # units of a layer up to which all pairs are compared


@dataclass(frozen=True, eq=False)
class Filters:
    """The kernels of a layer.

    kernels (U, C, h, w); of a matrix, (U, C, 1, 1). norms (U,). twin (U,): the unit whose kernel is most alike, -1
    where there is none; likeness (U,): their correlation, its sign kept. noise (U,): how large a share of kernels with
    the same weights in random places is as smooth, or None where a kernel has too few places to tell.
    """

    kernels: Tensor
    norms: Tensor
    twin: Tensor
    likeness: Tensor
    noise: Tensor | None

    @property
    def duplicates(self) -> Tensor:
        """(U,) True where another kernel correlates by ALIKE or more."""
        return self.likeness >= ALIKE

    @property
    def noisy(self) -> Tensor:
        """(U,) True where the kernel has no more structure than its weights in random places."""
        if self.noise is None:
            return torch.zeros(len(self.kernels), dtype=torch.bool)
        return self.noise > NOISE

    @property
    def empty(self) -> Tensor:
        """(U,) True where the kernel is zero next to the layer's strongest."""
        return self.norms <= 1e-4 * self.norms.max().clamp(min=1e-30)


def kernels_of(network: Network, layer: UnitLayer) -> Tensor | None:
    """The kernels (U, C, h, w) of a layer, a copy on the CPU; None for a layer without kernels of its own.

    Those of a transposed convolution are turned to stand unit first.
    """
    if layer.weighted is None:
        return None
    geometry = network.geometry
    record = geometry.records[layer.weighted]
    place = 2 if record.op == "addmm" else 1
    index = record.inputs[place]
    while geometry.values[index].source == "record":  # the transpose of a linear layer's weight
        maker = geometry.records[geometry.values[index].producer or 0]
        if not maker.inputs:
            return None
        index = maker.inputs[0]
    if geometry.values[index].source not in ("parameter", "buffer", "constant"):
        return None
    weight = network.weights[index].detach().cpu().float().clone()
    if record.op == "convolution" and bool(record.args[6]):
        groups = int(record.args[8])
        weight = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    if weight.dim() == 2:
        if weight.shape[0] != layer.units and weight.shape[1] == layer.units:
            weight = weight.T
        weight = weight[:, :, None, None]
    return weight if weight.dim() == 4 and len(weight) == layer.units else None


def examine(kernels: Tensor, *, seed: int = 0) -> Filters:
    """Compare kernels (U, C, h, w) with each other, and each with its own weights in random places."""
    units = len(kernels)
    flat = kernels.flatten(1)
    norms = flat.norm(dim=1)
    twin = torch.full((units,), -1)
    likeness = torch.full((units,), torch.nan)
    if 1 < units <= MOST_PAIRS and flat.shape[1] > 1:
        centred = flat - flat.mean(1, keepdim=True)
        unit = centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-12)
        alike = (unit @ unit.T).clamp(-1, 1)
        alike.fill_diagonal_(-2)
        alike[norms == 0] = alike[:, norms == 0] = -2
        best = alike.max(1)
        known = best.values > -2
        likeness = torch.where(known, best.values, torch.nan)
        twin = torch.where(known, best.indices, -1)
    noise = None
    places = kernels.shape[-2] * kernels.shape[-1]
    if min(kernels.shape[-2:]) >= 3 and (places >= ENOUGH or kernels.shape[1] >= DEEP):
        generator = torch.Generator().manual_seed(seed)
        real = roughness(kernels)
        count = torch.ones(units)
        for _ in range(SHUFFLES):
            order = torch.randperm(places, generator=generator)
            mixed = kernels.flatten(2)[:, :, order].view_as(kernels)
            count += (roughness(mixed) <= real * (1 + 1e-6)).float()
        noise = count / (SHUFFLES + 1)
    return Filters(kernels, norms, twin, likeness, noise)


def roughness(kernels: Tensor) -> Tensor:
    """(U,) squared differences of neighbouring weights over the variance of all (Geary's C up to a factor).

    Along the smoother axis: stripes, however fine, are smooth along themselves.
    """
    mean = kernels.mean((2, 3), keepdim=True)
    variance = (kernels - mean).square().sum((1, 2, 3))
    down = (kernels[:, :, 1:] - kernels[:, :, :-1]).square().sum((1, 2, 3))
    right = (kernels[..., 1:] - kernels[..., :-1]).square().sum((1, 2, 3))
    return torch.minimum(down, right) / variance.clamp(min=1e-30)
