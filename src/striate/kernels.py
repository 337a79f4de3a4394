"""Kernels: which filters of a layer have structure, which are noise, empty, or nearly the same (lecture 003)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

ALIKE = 0.95  # |correlation| of two kernels from which they count as near-duplicates
EMPTY = 1e-4  # of the strongest kernel's norm: this weak is empty
SHUFFLES = 99
ENOUGH = 0.02  # share of shuffles that may be as structured, by either measure, as a kernel that is not noise
BEYOND = 4.0  # standard deviations beyond the shuffles from which a layer has structure
PLACES, DEEP = (
    25,
    3,
)  # places of a kernel, or slices a place in a layer, from which structure can be distinguished from noise
WEIGHTS = 27  # of one kernel, from which it can be judged by itself: 3 x 3 in colour
MOST_PAIRS = 4096  # kernels of a layer up to which all pairs are compared
MOST_WEIGHTS = 2**18  # of a layer that are shuffled; kernels beyond are not judged


@dataclass(frozen=True, eq=False)
class Filters:
    """The kernels of a layer.

    kernels (U, C, h, w); of a matrix, (U, C, 1, 1). norms (U,). twin (U,): the unit whose kernel is most alike, -1
    where there is none; likeness (U,): their correlation, its sign kept. noise (U,): how large a share of kernels with
    the same weights in random places has as much structure, NaN beyond the first MOST_WEIGHTS weights of the layer; None
    where a kernel has too few weights. structure: by how many standard deviations the layer as a whole has more
    structure than its shuffles; None where it has too few. opposite: whether a negative counts as a twin.
    """

    kernels: Tensor
    norms: Tensor
    twin: Tensor
    likeness: Tensor
    noise: Tensor | None
    structure: float | None
    opposite: bool = False

    @property
    def duplicates(self) -> Tensor:
        """(U,) True where another kernel correlates by ALIKE or more, up to sign where that was asked for."""
        return alike(self.likeness, opposite=self.opposite)

    @property
    def noisy(self) -> Tensor:
        """(U,) True where the kernel has no more structure than its weights in random places."""
        if self.noise is None:
            return torch.zeros(len(self.kernels), dtype=torch.bool)
        return self.noise > ENOUGH

    @property
    def empty(self) -> Tensor:
        """(U,) True where the kernel is zero next to the layer's strongest."""
        return self.norms <= EMPTY * self.norms.max().clamp(min=1e-30)


def examine(kernels: Tensor, *, groups: int = 1, opposite: bool = False, seed: int = 0) -> Filters:
    """Compare kernels (U, C, h, w) with each other, and with their own weights in random places.

    groups: kernels of different groups see different channels and are never duplicates. opposite: a kernel's negative is its
    duplicate, too. Structure has three measures, and
    one suffices: a kernel is smooth along one axis, weighs places as the layer's other kernels do (the second moment of its
    slices), or its slices are alike. Weights that are exchangeable, as first weights are, have neither.
    """
    norms = kernels.flatten(1).norm(dim=1)
    twin, likeness = twins(kernels, norms, groups, opposite)
    noise, structure = tell(kernels, seed)
    return Filters(kernels, norms, twin, likeness, noise, structure, opposite)


def duplicates(kernels: Tensor, *, groups: int = 1) -> Tensor:
    """(U,) True where another kernel of the group correlates by ALIKE or more: `examine` without a look for structure, which
    takes a hundred times as long.
    """
    return alike(twins(kernels, kernels.flatten(1).norm(dim=1), groups)[1])


def alike(likeness: Tensor, *, opposite: bool = False) -> Tensor:
    """Where a correlation makes a duplicate: True or False for each number of `likeness`, any shape."""
    return (likeness.abs() if opposite else likeness) >= ALIKE


def twins(
    kernels: Tensor, norms: Tensor, groups: int = 1, opposite: bool = False
) -> tuple[Tensor, Tensor]:
    """For each kernel the most alike one of its group (-1: none), and their correlation (NaN: none).

    kernels (U, C, h, w) -> numbers of the likest other kernel and correlations, (U,) each.
    """
    units, flat = len(kernels), kernels.flatten(1)
    twin, likeness = torch.full((units,), -1), torch.full((units,), torch.nan)
    size = units // groups
    if not (1 < size <= MOST_PAIRS and flat.shape[1] > 1):
        return twin, likeness
    centred = flat - flat.mean(1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-12)
    strong = norms > EMPTY * norms.max()
    for first in range(0, units, size):
        here = slice(first, first + size)
        correlations = (unit[here] @ unit[here].T).clamp(-1, 1)
        size_of = correlations.abs() if opposite else correlations + 2  # all of it above 0
        size_of.fill_diagonal_(-1)
        size_of[~strong[here]] = size_of[:, ~strong[here]] = -1
        best = size_of.max(1)
        known = best.values >= 0
        twin[here] = torch.where(known, best.indices + first, -1)
        correlation = correlations.gather(1, best.indices[:, None])[:, 0]
        likeness[here] = torch.where(known, correlation, torch.nan)
    return twin, likeness


def tell(kernels: Tensor, seed: int = 0) -> tuple[Tensor | None, float | None]:
    """How likely chance gives each kernel its structure (U,), and by how many deviations the layer is beyond chance."""
    units, channels, high, wide = kernels.shape
    places = high * wide
    if min(high, wide) < 3 or (places < PLACES and units * channels < DEEP * places):
        return None, None
    judged = max(2, min(units, MOST_WEIGHTS // kernels[0].numel()))
    some = kernels[:judged].double()
    some = some / some.flatten(1).norm(dim=1).clamp_min(1e-300)[:, None, None, None]
    generator = np.random.default_rng(seed)
    weights = some.flatten(1).numpy()
    moments = second_moments(some)
    others = moments.mean(0) - moments / judged
    real = measures(moments, others, wide)
    chance, spreads = [], []
    for _ in range(SHUFFLES):
        mixed = torch.from_numpy(generator.permuted(weights, axis=1)).view_as(some)
        moments_mixed = second_moments(mixed)
        chance.append(measures(moments_mixed, others, wide))
        spreads.append(moments_mixed.mean(0).square().sum())
    shuffled = torch.stack(chance)  # (SHUFFLES, measures, U)
    as_good = (shuffled >= real - 1e-9).sum(0).amin(0)
    noise = None
    if channels * places >= WEIGHTS:
        noise = torch.full((units,), torch.nan)
        noise[:judged] = (as_good + 1).float() / (SHUFFLES + 1)
    smooth = _beyond(real[0].mean(), shuffled[:, 0].mean(1))
    common = _beyond(moments.mean(0).square().sum(), torch.stack(spreads))
    return noise, max(smooth, common)


def _beyond(real: Tensor, chance: Tensor) -> float:
    return float((real - chance.mean()) / chance.std().clamp_min(1e-12))


def second_moments(kernels: Tensor) -> Tensor:
    """(U, h*w, h*w) sums over a kernel's slices of the products of its weights at two places."""
    slices = kernels.flatten(2)
    return slices.transpose(1, 2) @ slices


def measures(moments: Tensor, others: Tensor, wide: int) -> Tensor:
    """(3, U), each greater with structure: smoothness, fit to the other kernels, and how alike a kernel's slices are.

    moments: (U, h*w, h*w) of the kernels. others: of the same shape, the mean moment of the layer's other kernels as they
    are. wide: w.
    """
    return torch.stack(
        [-roughness(moments, wide), (moments * others).sum((1, 2)), moments.square().sum((1, 2))]
    )


def roughness(moments: Tensor, wide: int) -> Tensor:
    """(U,) squared differences of neighbouring weights over the variance of all (Geary's C up to a factor).

    Along the smoother axis: stripes, however fine, are smooth along themselves. moments: (U, h*w, h*w) of the kernels, which
    hold all sums that this takes, so that the weights are read once for the three measures.
    """
    places = moments.shape[1]
    squares = moments.diagonal(dim1=1, dim2=2)
    variance = squares.sum(1) - moments.sum((1, 2)) / places
    place = torch.arange(places)
    down, across = place[wide:], place[place % wide > 0]

    def differences(later: Tensor, earlier: Tensor) -> Tensor:
        return (squares[:, later] + squares[:, earlier] - 2 * moments[:, later, earlier]).sum(1)

    smoother = torch.minimum(differences(down, down - wide), differences(across, across - 1))
    return smoother / variance.clamp(min=1e-30)
