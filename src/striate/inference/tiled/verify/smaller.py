"""Smaller: a smaller image with the same network, walked in the same way, where the plain module can be run on the whole.

Statistics of the whole image, positions that are taken by their number and sizes that are computed from the image's size
let no crop stand for the image. A smaller image shows whether this network's tiles are right: the same operations, more
than one cell along each axis that was cut, values carried along the same axes, as far from the lattice as the image is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from striate.errors import GeometryError
from striate.geometry import Geometry, trace
from striate.geometry.index_map import All, Point, Relation
from striate.inference.tiled.plan.network import Network, sort
from striate.inference.tiled.plan.plan import Walk
from striate.inference.tiled.verify.crops import Region, held_at_once

CELLS = 3  # along each axis that is cut
SIZES = (
    512,
    384,
    256,
    192,
    128,
    96,
    64,
    48,
    32,
    24,
    16,
    12,
    8,
)  # pixels along an axis that are tried
NOISE = 0.3  # of the pixels' spread is added, so that a blank place shows differences too


@dataclass(frozen=True, slots=True)
class Smaller:
    """A `region` of the image as an image of its own, and the pixels of a `tile` of it along each axis."""

    region: Region
    tile: tuple[int, ...]

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return tuple([b - a for a, b in self.region])


def choose_smaller(
    network: Network,
    module: nn.Module,
    walk: Walk,
    lattice: Sequence[int],
    pixels: int,
    room: float,
) -> Smaller | None:
    """The largest image of at most so many pixels and bytes with the same operations, None if there is none.

    walk: the walk of the results; lattice: pixels after which the network repeats itself along each axis.
    """
    geometry = network.geometry
    expected = signature(geometry)
    for size in _sizes(geometry.image, walk, lattice, pixels):
        shape = (1, geometry.input_shape[1], *size)
        dtype = geometry.values[network.image].dtype
        try:
            small = trace(module, torch.empty(shape, dtype=dtype, device="meta"))
            alike = signature(small) == expected and sort(small).passes == network.passes
        except GeometryError:
            continue
        if not alike or held_at_once(small) > room:
            continue
        region = tuple(
            [((n - s) // 2, (n - s) // 2 + s) for n, s in zip(geometry.image, size, strict=True)]
        )
        cells = [min(a.steps, CELLS) for a in walk.axes]
        tile = tuple([max(-(-s // c), 1) for s, c in zip(size, cells, strict=True)])
        return Smaller(region, tile)
    return None


def _sizes(
    image: Sequence[int], walk: Walk, lattice: Sequence[int], pixels: int
) -> Iterator[tuple[int, ...]]:
    """The largest sizes of so many pixels: all axes smaller, or, where others must stay as they are, one alone."""
    seen = {tuple(image)}
    axes = len(image)
    choices = [tuple(range(axes)), *[(k,) for k in range(axes)]] if axes > 1 else [(0,)]
    for shrunk in choices:
        for target in SIZES:
            size = []
            for k, (n, unit, plan) in enumerate(zip(image, lattice, walk.axes, strict=True)):
                least = unit * (2 if plan.steps > 1 else 1)
                small = n % unit + max(target // unit * unit, least)
                size.append(min(small, n) if k in shrunk else n)
            if prod(size) <= pixels and tuple(size) not in seen:
                seen.add(tuple(size))
                yield tuple(size)
                break  # what refuses one size mostly refuses the next


def signature(geometry: Geometry) -> frozenset[tuple[object, ...]]:
    """The different operations of a network and how each reads its inputs, without sizes."""
    return frozenset(
        (r.target, type(r.plan), frozenset(tuple(map(_way, link.relations)) for link in r.links))
        for r in geometry.records
        if r.live
    )


def _way(relation: Relation | None) -> str:
    if relation is None:
        return "none"
    return {All: "all", Point: "point"}.get(type(relation), "some")


def pixels_of(read: Callable[[Region], Tensor], region: Region) -> Tensor:
    """The pixels (1, C, *axes) of a region with a little noise, the same at each call; integers without."""
    pixels = read(region)
    if not pixels.is_floating_point():
        return pixels
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(pixels.shape, generator=generator).to(pixels.device, pixels.dtype)
    spread = float(pixels.float().nan_to_num().std()) if pixels.numel() > 1 else 0.0
    return pixels.nan_to_num(posinf=0, neginf=0) + noise * NOISE * (spread or 1.0)
