"""Crops: which part of the image decides a box of a result, proven by comparing two traces.

A crop stands for the whole where every value behind the compared positions is read from the same places, real borders
included: then the plain module on the crop gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm, prod

import torch
from torch import nn

from striate.errors import GeometryError
from striate.geometry import Box, trace
from striate.geometry.box import hull, is_empty, volume
from striate.inference.tiled.network import Network, sort

SIDE = 16  # positions of a compared box along each axis, at most
LARGEST = 2**23  # pixels of a crop, at most
MARGINS = (0, 1, 3)  # lattice steps around what is needed, tried in turn

Shift = tuple[Fraction | None, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """`box` of the value `target`, the crop of the image that decides it, and where it lies in the crop's own value."""

    target: int
    box: Box
    crop: tuple[tuple[int, int], ...]
    network: Network
    inside: Box


def choose_samples(
    network: Network, module: nn.Module, targets: tuple[int, ...], step: tuple[int, ...]
) -> list[Sample]:
    """Boxes of the largest target at the first corner, across the seams in the middle, and at the last corner.

    step: positions of the target that a tile has along each axis. A box that no crop is proven to decide is left out.
    """
    if not targets:
        return []
    values = network.geometry.values
    target = max(targets, key=lambda v: volume(values[v].full))
    boxes: list[Box] = []
    for place in range(3):
        sides: list[tuple[int, int] | None] = []
        for n, size in zip(values[target].extents, step, strict=True):
            if n is None:
                sides.append(None)
                continue
            side = min(SIDE, n)
            middle = min(max(n // 2 // size * size - side // 2, 0), n - side)
            start = (0, middle, n - side)[place]
            sides.append((start, start + side))
        boxes.append(tuple(sides))
    found = [_sample(network, module, target, box) for box in dict.fromkeys(boxes)]
    return [s for s in found if s is not None]


def needed(network: Network, target: int, box: Box) -> dict[int, Box]:
    """The box of every value that `box` of the target is made of; statistics of the whole image are taken as known."""
    found: dict[int, Box] = {target: box}
    for node in reversed(network.nodes):
        out = found.get(node.output)
        if out is None or is_empty(out):
            continue
        for read in node.reads:
            got = read.link.pull(out)
            found[read.value] = hull(found[read.value], got) if read.value in found else got
    return found


def strides(network: Network) -> dict[int, Shift]:
    """Pixels between two neighbouring positions of every value, along each axis; None where there is no such number."""
    axes = network.geometry.axes
    found: dict[int, Shift] = {network.image: (Fraction(1),) * axes}
    for node in network.nodes:
        sides: list[Fraction | None] = []
        for k in range(axes):
            rates: set[Fraction | None] = set()
            for read in node.reads:
                relation, inner = read.link.relations[k], found[read.value][k]
                pattern = None if relation is None else relation.pattern()
                if pattern is None or inner is None:
                    rates.add(None)
                else:
                    rates.add(inner * pattern.step / pattern.period)
            sides.append(rates.pop() if len(rates) == 1 else None)
        found[node.output] = tuple(sides)
    return found


def _sample(network: Network, module: nn.Module, target: int, box: Box) -> Sample | None:
    """The crop that decides a box, None if none of a moderate size is proven to."""
    geometry = network.geometry
    image = geometry.image
    reads = needed(network, target, box)
    steps = strides(network)
    units = []
    for k in range(len(image)):
        along = [s for v in reads if (s := steps[v][k]) is not None]
        if any(steps[v][k] is None and geometry.values[v].extents[k] is not None for v in reads):
            return None
        units.append(lcm(*[s.numerator for s in along]))
    for margin in MARGINS:
        crop = []
        for n, unit, side in zip(image, units, reads.get(network.image, ()), strict=True):
            if side is None or side[0] >= side[1]:
                return None
            start = max(side[0] // unit - margin, 0) * unit
            crop.append((start, min((ceil(side[1] / unit) + margin) * unit, n)))
        sizes = [b - a for a, b in crop]
        if prod(sizes) > LARGEST:
            return None
        shape = (*geometry.input_shape[: -len(image)], *sizes)
        try:
            dtype = geometry.values[network.image].dtype
            small = sort(trace(module, torch.empty(shape, dtype=dtype, device="meta")))
        except GeometryError:
            continue
        moved = _moved(box, crop, steps[target])
        if moved is not None and _agree(network, small, reads, crop, steps, target, moved):
            return Sample(target, box, tuple(crop), small, moved)
    return None


def _moved(box: Box, crop: list[tuple[int, int]], stride: Shift) -> Box | None:
    """A box of the image's value as one of the crop's; None where that is no whole number of positions."""
    sides: list[tuple[int, int] | None] = []
    for side, (start, _), step in zip(box, crop, stride, strict=True):
        if side is None:
            sides.append(None)
            continue
        if step is None:
            return None
        shift = start / step
        if shift.denominator != 1:
            return None
        sides.append((side[0] - int(shift), side[1] - int(shift)))
    return tuple(sides)


def _agree(
    network: Network,
    small: Network,
    reads: Mapping[int, Box],
    crop: list[tuple[int, int]],
    steps: Mapping[int, Shift],
    target: int,
    moved: Box,
) -> bool:
    """Whether both networks read the same places for the box, and the same constants."""
    if [n.output for n in network.nodes] != [n.output for n in small.nodes]:
        return False
    pulled = needed(small, target, moved)
    for v, box in reads.items():
        if is_empty(box):
            continue
        if v not in pulled or _moved(box, crop, steps[v]) != pulled[v]:
            return False
    ours, theirs = network.geometry.values, small.geometry.values
    for node in network.nodes:
        if node.output not in reads:
            continue
        for record in node.records:
            for i in record.inputs:
                if not ours[i].spatial and (
                    ours[i].shape != theirs[i].shape or ours[i].data != theirs[i].data
                ):
                    return False
    return True
