"""Crops: which part of the image decides a box of a result, proven by comparing two traces.

A crop stands for the whole where every value behind the compared positions is read from the same places, real borders
included: then the plain module on the crop gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm, prod

import torch
from torch import nn

from striate.errors import GeometryError
from striate.geometry import Box, Geometry, trace
from striate.geometry.box import hull, is_empty, volume
from striate.inference.tiled.network import Network, sort

SIDES = (16, 8, 4, 2, 1)  # positions of a compared box along each axis; the first whose crop fits
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
    network: Network, module: nn.Module, targets: tuple[int, ...], step: tuple[int, ...], room: int
) -> list[Sample]:
    """Boxes of the largest target at the first corner, across the seams in the middle, and at the last corner.

    step: positions of the target that a tile has along each axis. room: bytes that a forward pass on a crop may take. A box
    that no crop is proven to decide is left out.
    """
    if not targets:
        return []
    values = network.geometry.values
    target = max(targets, key=lambda v: volume(values[v].full))
    extents = values[target].extents
    pixels = int(room / (held_at_once(network.geometry) / prod(network.geometry.image)))
    found: dict[Box, Sample] = {}
    for place in range(3):
        for most in SIDES:
            box = _box(extents, step, place, most)
            crop = _crop(network, needed(network, target, box), 0)
            if crop is not None and prod(b - a for a, b in crop) <= pixels:
                sample = _sample(network, module, target, box, pixels)
                if sample is not None:
                    found[box] = sample
                break
    return list(found.values())


def held_at_once(geometry: Geometry) -> int:
    """The most bytes of values that a plain forward pass holds, and a copy of the largest that convolutions may make."""
    last = {i: record.index for record in geometry.records for i in record.inputs}
    values = geometry.values
    now = most = largest = 0
    for record in geometry.records:
        if not values[record.output].varies:
            continue
        size = values[record.output].bytes
        now, largest = now + size, max(largest, size)
        most = max(most, now)
        for i in {*record.inputs, record.output}:
            value = values[i]
            if value.varies and value.producer is not None and last.get(i, -1) <= record.index:
                now -= value.bytes
    return most + largest


def _box(extents: tuple[int | None, ...], step: tuple[int, ...], place: int, most: int) -> Box:
    """A box of at most `most` positions an axis: at the first corner, across seams in the middle, at the last corner."""
    sides: list[tuple[int, int] | None] = []
    for n, size in zip(extents, step, strict=True):
        if n is None:
            sides.append(None)
            continue
        side = min(most, n)
        middle = min(max(n // 2 // size * size - side // 2, 0), n - side)
        start = (0, middle, n - side)[place]
        sides.append((start, start + side))
    return tuple(sides)


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


def _crop(
    network: Network, reads: Mapping[int, Box], margin: int
) -> tuple[tuple[int, int], ...] | None:
    """The pixels that are needed and `margin` lattice steps around them; None where there is no lattice or no need."""
    steps = strides(network)
    extents = [network.geometry.values[v].extents for v in reads]
    crop = []
    for k, (n, side) in enumerate(
        zip(network.geometry.image, reads.get(network.image, ()), strict=False)
    ):
        along = [steps[v][k] for v, e in zip(reads, extents, strict=True) if e[k] is not None]
        if side is None or side[0] >= side[1] or None in along:
            return None
        unit = lcm(*[s.numerator for s in along if s is not None])
        start = max(side[0] // unit - margin, 0) * unit
        crop.append((start, min((ceil(side[1] / unit) + margin) * unit, n)))
    return tuple(crop) or None


def _sample(
    network: Network, module: nn.Module, target: int, box: Box, pixels: int
) -> Sample | None:
    """The crop of at most so many pixels that decides a box, None if none is proven to."""
    reads = needed(network, target, box)
    steps = strides(network)
    for margin in MARGINS:
        crop = _crop(network, reads, margin)
        if crop is None or prod(b - a for a, b in crop) > pixels:
            return None
        shape = (*network.geometry.input_shape[: -len(crop)], *[b - a for a, b in crop])
        try:
            dtype = network.geometry.values[network.image].dtype
            small = sort(trace(module, torch.empty(shape, dtype=dtype, device="meta")))
        except GeometryError:
            continue
        moved = _moved(box, crop, steps[target])
        if moved is not None and _agree(network, small, reads, crop, steps, target, moved):
            return Sample(target, box, crop, small, moved)
    return None


def _moved(box: Box, crop: Sequence[tuple[int, int]], stride: Shift) -> Box | None:
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
    crop: Sequence[tuple[int, int]],
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
