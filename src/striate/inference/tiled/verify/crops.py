"""Crops: parts of the image that should decide some positions of a result. The module itself shows whether they do.

What geometry says of a network is only a guess here: a crop counts if the module gives the same numbers for a wider one
with other pixels around, so that nothing outside of the crop and no place or size of it enters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm, prod

from striate.geometry import Box, Geometry
from striate.geometry.box import hull, is_empty, volume
from striate.geometry.layout import dim_of_axis
from striate.inference.tiled.plan.network import Network

SIDES = (16, 8, 4, 2, 1)  # positions of a compared box along each axis; the first whose crops fit
RING = 16  # pixels around a crop that are changed, at least
LATTICE = 64  # the largest stride that crops are aligned to

Region = tuple[tuple[int, int], ...]
Shift = tuple[Fraction | None, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """`boxes` of the results, the `crop` of the image that should decide them, and a `wide` one around it.

    rates: pixels between two positions of each result, along each axis.
    """

    boxes: Mapping[int, Box]
    crop: Region
    wide: Region
    rates: Mapping[int, tuple[Fraction, ...]]

    def inside(self, v: int, region: Region) -> Box | None:
        """Where the box of a result lies in the result of a crop; None where that is no whole number of positions."""
        sides: list[tuple[int, int]] = []
        for side, (start, _), rate in zip(self.boxes[v], region, self.rates[v], strict=True):
            shift = start / rate
            if side is None or shift.denominator != 1:
                return None
            sides.append((side[0] - int(shift), side[1] - int(shift)))
        return tuple(sides)


def maps(network: Network) -> bool:
    """Whether all results are maps, with a dimension of its own for each axis, that no statistic of the image enters."""
    geometry = network.geometry
    values = [geometry.values[i] for i in geometry.outputs if i is not None]
    values = [v for v in values if v.varies]
    return not network.reductions and all(
        dim_of_axis(v.layout, k) is not None for v in values for k in range(geometry.axes)
    )


def choose_samples(network: Network, step: tuple[int, ...], pixels: int) -> list[Sample]:
    """Samples at the first corner, across the seams in the middle, and at the last corner.

    step: positions of the largest result that a tile has along each axis; pixels: how many both crops of a sample may have.
    """
    values = network.geometry.values
    image = network.geometry.image
    targets = [i for i in network.outputs if values[i].varies]
    if not targets:
        return []
    unit, rates = units(network), rates_of(network, targets)
    samples: dict[Region, Sample] = {}
    for place in range(3):
        for most in SIDES:
            boxes = _boxes(network, targets, step, place, most)
            need: Box = (None,) * len(image)
            for v, box in boxes.items():
                got = needed(network, v, box).get(network.image)
                need = (
                    got
                    if got is not None and need == (None,) * len(image)
                    else hull(need, got or need)
                )
            if any(s is None or s[0] >= s[1] for s in need):
                break  # nothing of the image is needed
            crop = around(need, image, unit, [1] * len(image))
            ring = [
                _prime(ceil(max(RING, (b - a) // 4) / u))
                for (a, b), u in zip(crop, unit, strict=True)
            ]
            wide = around(crop, image, unit, ring)
            if _pixels(crop) + _pixels(wide) <= pixels:
                samples.setdefault(crop, Sample(boxes, crop, wide, rates))
                break
    return list(samples.values())


def rates_of(network: Network, targets: Sequence[int]) -> dict[int, tuple[Fraction, ...]]:
    """Pixels between two positions of each target, along each axis."""
    image, values, steps = network.geometry.image, network.geometry.values, strides(network)
    return {
        v: tuple(
            Fraction(n, e or 1) if r is None else r
            for n, e, r in zip(image, values[v].extents, steps[v], strict=True)
        )
        for v in targets
    }


def _prime(n: int) -> int:
    """The next prime: no pattern that repeats along the image looks alike from both crops, unless it repeats so often."""
    n = max(n, 3)
    while any(n % d == 0 for d in range(2, n)):
        n += 1
    return n


def _pixels(region: Region) -> int:
    return prod(b - a for a, b in region)


def around(box: Box, image: Sequence[int], unit: Sequence[int], margin: Sequence[int]) -> Region:
    """A box and `margin` units around it; it starts on the lattice of units, and ends as far from it as the image does."""
    positions = []
    for side, n, u, m in zip(box, image, unit, margin, strict=True):
        assert side is not None
        start = max(side[0] // u - m, 0) * u
        stop = n % u + ceil(max(side[1] + m * u - n % u, 0) / u) * u
        positions.append((start, min(stop, n)))
    return tuple(positions)


def units(network: Network) -> tuple[int, ...]:
    """The steps along each axis after which the network repeats itself, as far as that is known."""
    geometry, sizes = network.geometry, []
    rates = strides(network).values()
    for k, n in enumerate(geometry.image):
        unit = lcm(*[s.numerator for r in rates if (s := r[k]) is not None])
        if unit > LATTICE:  # sizes that do not divide: the nearest whole stride
            ratios = [round(n / e) for v in geometry.values if (e := v.extents[k]) and e > 1]
            unit = max([r for r in ratios if r <= LATTICE], default=1)
        sizes.append(unit)
    return tuple(sizes)


def _boxes(
    network: Network, targets: Sequence[int], step: tuple[int, ...], place: int, most: int
) -> dict[int, Box]:
    """Boxes of at most `most` positions an axis of the largest result, and what lies there in the others."""
    values = network.geometry.values
    leader = max(targets, key=lambda v: volume(values[v].full))
    first = _box(values[leader].extents, step, place, most)
    boxes = {}
    for v in targets:
        sides: list[tuple[int, int] | None] = []
        for side, n, m in zip(first, values[leader].extents, values[v].extents, strict=True):
            if side is None or n is None or m is None:
                sides.append(None)
                continue
            start = min(side[0] * m // n, m - 1)
            sides.append((start, min(max(side[1] * m // n, start + 1), m)))
        boxes[v] = tuple(sides)
    return boxes


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


def needed(network: Network, target: int, box: Box) -> dict[int, Box]:
    """The box of every value that `box` of the target is made of; statistics of the whole image are taken as known."""
    boxes: dict[int, Box] = {target: box}
    for node in reversed(network.nodes):
        out = boxes.get(node.output)
        if out is None or is_empty(out):
            continue
        for read in node.reads:
            got = read.link.pull(out)
            boxes[read.value] = hull(boxes[read.value], got) if read.value in boxes else got
    return boxes


def strides(network: Network) -> dict[int, Shift]:
    """Pixels between two neighbouring positions of every value, along each axis; None where there is no such number."""
    axes = network.geometry.axes
    shifts: dict[int, Shift] = {network.image: (Fraction(1),) * axes}
    for node in network.nodes:
        sides: list[Fraction | None] = []
        for k in range(axes):
            rates: set[Fraction | None] = set()
            for read in node.reads:
                relation, inner = read.link.relations[k], shifts[read.value][k]
                pattern = None if relation is None else relation.pattern()
                if pattern is None or inner is None:
                    rates.add(None)
                else:
                    rates.add(inner * pattern.step / pattern.period)
            sides.append(rates.pop() if len(rates) == 1 else None)
        shifts[node.output] = tuple(sides)
    return shifts
