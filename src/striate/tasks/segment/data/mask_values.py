"""Whether the values that all masks hold are classes, shades between classes, or numbers of objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from striate.errors import DataError
from striate.tasks.segment.data.coding import MOST_CLASSES, distance, shown
from striate.tasks.segment.data.values import Census

ON_EDGES = 0.5  # share of a value's pixels between their neighbours, from which it is a shade
FEW_SHADES = 0.3  # of the values that are neither the least nor the largest
SMALL = 16  # numbers below it are class numbers: smoothing of 0 and 255 leaves larger ones
NEAR = 48.0  # root of squared differences of red, green and blue that smoothing and JPEG make of one colour
CANDIDATES = 4096  # values that are looked at
LEAST_FLAT, FEW_FLAT = (
    0.002,
    0.05,
)  # share of all flat pixels, and of those not yet explained, that a class has
# Share of the edges; random cells of 5 to 150 classes have 0.4 to 3.5 % (at junctions of three), resized ones 8 to 45 %.
STEPS = 0.08
CLOSE = 4.0  # levels from a value that count as the value itself
MANY_OBJECTS = 8
ONE_PIECE = 0.8  # share of numbers whose pixels are connected


def looks_dense(values: Sequence[int]) -> bool:
    """Whether numbers are 0, 1, 2, ... with few gaps."""
    top = values[-1]
    return top < MOST_CLASSES and (top < 2 * len(values) or top < 8)


def anchors(census: Census, colour: bool) -> list[int]:
    """The values that smoothing or JPEG began with: each fills flat areas, and is far from the others."""
    common = sorted(census.flat.items(), key=lambda item: -item[1])[:CANDIDATES]
    values = np.array([v for v, _ in common], dtype=np.int64)
    counts = np.array([n for _, n in common], dtype=np.float64)
    if not len(values):
        return []
    radius = NEAR if colour else max(float(np.ptp(list(census.counts))) / 8, 1.0)
    left = np.ones(len(values), dtype=bool)
    chosen: list[int] = []
    while left.any() and len(chosen) < MOST_CLASSES:
        best = int(np.argmax(np.where(left, counts, -1)))
        far = distance(int(values[best]), values, colour)
        mass = counts[left & (far <= radius / 2)].sum()
        if mass < LEAST_FLAT * counts.sum() or mass < FEW_FLAT * counts[left].sum():
            break
        chosen.append(int(values[best]))
        left &= far > radius
    return sorted(chosen)


def shades(census: Census, colour: bool) -> bool:
    """Whether many values lie only along edges, between their neighbours: what smoothing leaves."""
    values = sorted(census.counts)
    inner = values if colour else values[1:-1]
    if not inner or (not colour and values[-1] < SMALL):
        return False
    along = [v for v in inner if census.between.get(v, 0.0) > ON_EDGES]
    return len(along) >= max(1, FEW_SHADES * len(inner))


def smoothed_numbers(census: Census) -> bool:
    """Whether steps from one class number to another pass through the numbers between them, as smoothing makes them do.

    Where the outline of each object is a class of its own, one number lies between, not several.
    """
    held = [v for v in census.counts if v >= 0]
    if len(held) < 4 or held[-1] > 255 or sum(census.flat.values()) < 0.2 * census.pixels:
        return False
    lines = {v: census.between[v] * n for v, n in census.counts.items()}
    total = sum(lines.values())
    several = [v for v, n in lines.items() if n > 0.05 * total]
    return total > STEPS * census.edges and len(several) > 2


def outlines(census: Census) -> int | None:
    """The number that lies between two others at many edges: a class of outlines, or what smoothing left; else None."""
    lines = {v: census.between[v] * n for v, n in census.counts.items()}
    most = max(lines, key=lambda v: lines[v])
    return most if lines[most] > STEPS * max(census.edges, 1) else None


def refuse_numbers(census: Census) -> NoReturn:
    """Raise DataError: class numbers that were smoothed, and what to do."""
    total = sum(census.between[v] * n for v, n in census.counts.items())
    raise DataError(
        f"at {total / max(census.edges, 1):.0%} of the edges in the masks the numbers change by way of those between them, "
        "as smoothing leaves them when masks of class numbers are resized; resize the original masks with nearest "
        "neighbour, or --set masks=numbers to take them as they are"
    )


def refuse_shades(census: Census, colour: bool) -> NoReturn:
    """Raise DataError: what smoothing left, and what to do."""
    values = sorted(census.counts)
    ends = anchors(census, colour)
    number = max(census.distinct, len(values))
    keep = (
        f", or --set masks={'colours' if colour else 'numbers'} if each is a class"
        if number <= MOST_CLASSES
        else ""
    )
    near = sum(
        n
        for v, n in census.counts.items()
        if distance(v, np.array(ends or [v]), colour).min() <= CLOSE
    )
    if len(ends) < 2 or near < 0.5 * census.pixels:
        raise DataError(
            f"the masks hold {number:,} different values up to {shown(values[-1], colour)}, which look like shades or "
            f"numbers of objects, not classes; save class numbers 0, 1, 2, ... as PNG or TIFF without smoothing{keep}"
        )
    along = [v for v in values if census.between.get(v, 0.0) > ON_EDGES]
    several = ", ".join(shown(v, colour) for v in along[:3]) + (", ..." if len(along) > 3 else "")
    raise DataError(
        f"the masks hold {number:,} different values, and most of them ({several}) lie only along edges: they are shades, "
        "as smoothing leaves them when masks are resized; resize with nearest neighbour, or --set masks=nearest to give "
        f"each pixel the nearest of {_and(ends, colour)}{keep}"
    )


def refuse_lossy(census: Census, colour: bool) -> None:
    """Raise DataError where JPEG or WebP with loss made more values than two."""
    if not census.lossy or len(census.counts) <= 2:
        return
    ends = anchors(census, colour)
    hint = (
        f", or --set masks=nearest to give each pixel the nearest of {_and(ends, colour)}"
        if len(ends) > 1
        else ""
    )
    raise DataError(
        f"JPEG or WebP smears the values at every edge, so the classes are not known; save masks as PNG or TIFF{hint}"
    )


def instances(census: Census, colour: bool, *, least: int = MANY_OBJECTS) -> str | None:
    """Why the values look like numbers of objects, or None. least: the most objects that some mask must hold."""
    ground = max(census.counts, key=lambda v: census.counts[v]) if colour else 0
    sets = [{v for v in one if v not in (ground, 0)} for one in census.each]
    sets = [s for s in sets if s]
    if len(sets) < 3:
        return None
    several = sorted({v for s in sets for v in s})
    if not colour and least == MANY_OBJECTS and (reason := _packed(several)) is not None:
        return reason
    times = [sum(v in s for s in sets) for v in several]
    if (
        len(several) >= MANY_OBJECTS
        and census.distinct <= MOST_CLASSES
        and np.median(times) <= 1
        and len(sets) > 3
    ):
        what = "colours" if colour else "numbers"
        return f"most of the {len(several):,} {what} in the masks occur in one mask only"
    if colour:
        return None
    counts = [len(s) for s in sets]
    counting = np.mean([s == set(range(1, len(s) + 1)) for s in sets])
    whole = [p for p in census.pieces if p is not None]
    if (
        max(counts) >= least
        and counting >= 0.9
        and len(set(counts)) >= (3 if least == MANY_OBJECTS else 2)
        and whole
        and np.mean(whole) >= ONE_PIECE
    ):
        return (
            f"each mask counts from 1 to a number of its own ({min(counts)} to {max(counts)}), and the pixels of a number "
            "are connected"
        )
    return None


def _packed(values: Sequence[int]) -> str | None:
    """Cityscapes' instanceIds: 1000 x class + object."""
    large = [v for v in values if v >= 1000]
    if (
        len(large) > 2
        and len({v // 1000 for v in large}) <= 64
        and all(v < 1000 or v % 1000 < 300 for v in values)
    ) and any(v % 1000 for v in large):
        return (
            f"numbers such as {large[0]} are 1000 x class + object, as in Cityscapes' instanceIds"
        )
    return None  # fmt: skip


def refuse_objects(reason: str) -> NoReturn:
    """Raise DataError: masks of objects, and what to do."""
    raise DataError(
        f"{reason}: these are masks of objects (instances), not of classes; save the number of the class in each pixel "
        "(such as Cityscapes' labelIds or VOC's SegmentationClass), or --set masks=binary for objects against background"
    )


def two_scales(census: Census) -> str | None:
    """Why some masks seem to write the same classes as 0, 1, 2 and others as 0, 127, 255; None where they do not."""
    small: set[int] = set()
    large: set[int] = set()
    for one in census.each:
        own = {v for v in one if v > 0}
        if not own:
            continue
        if max(own) < SMALL:
            small |= own
        elif min(own) >= SMALL:
            large |= own
        else:
            return None
    if (
        not small
        or len(small) != len(large)
        or large <= {255}
        or small != set(range(1, len(small) + 1))
    ):
        return None
    few, many = ("0, " + ", ".join(map(str, sorted(s))) for s in (small, large))
    choice = (
        "--set masks=binary for the same object"
        if len(small) == 1
        else "save all of them in the same way"
    )
    return (
        f"some masks hold {few} and others {many}: they may show the same classes, or different ones; {choice}, or --set "
        "masks=numbers for a class a number"
    )


def _and(values: Sequence[int], colour: bool) -> str:
    texts = [shown(v, colour) for v in values]
    return " and ".join((", ".join(texts[:-1]), texts[-1])) if len(texts) > 1 else texts[0]
