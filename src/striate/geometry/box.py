"""Boxes: a rectangle of positions of one value, one half-open interval a spatial axis.

A box has one entry an axis of the input image, in the image's order (rows before columns); an entry is None where the
value has no such axis (it was averaged, flattened into features, or never had one). Boxes are plain tuples.
"""

from __future__ import annotations

from striate.geometry.index_map import EMPTY, Interval

Box = tuple[Interval | None, ...]


def is_empty(box: Box) -> bool:
    """Whether the box holds no position: an axis of it is empty."""
    return any(side is not None and side[0] >= side[1] for side in box)


def volume(box: Box) -> int:
    """How many positions the box holds; an axis that is None counts as one."""
    count = 1
    for side in box:
        if side is not None:
            count *= max(side[1] - side[0], 0)
    return count


def hull(a: Box, b: Box) -> Box:
    """The smallest box that holds both."""
    if is_empty(a):
        return b
    if is_empty(b):
        return a
    return tuple(
        s if t is None else t if s is None else (min(s[0], t[0]), max(s[1], t[1]))
        for s, t in zip(a, b, strict=True)
    )


def intersect(a: Box, b: Box) -> Box:
    """The positions that lie in both."""
    sides: list[Interval | None] = []
    for s, t in zip(a, b, strict=True):
        if s is None or t is None:
            sides.append(s if t is None else t)
            continue
        start, stop = max(s[0], t[0]), min(s[1], t[1])
        sides.append((start, stop) if start < stop else EMPTY)
    return tuple(sides)


def contains(outer: Box, inner: Box) -> bool:
    """Whether `inner` lies within `outer`; the empty box lies within every box."""
    if is_empty(inner):
        return True
    return all(
        s is None or t is None or (s[0] <= t[0] and t[1] <= s[1])
        for s, t in zip(outer, inner, strict=True)
    )


def shape(box: Box) -> tuple[int | None, ...]:
    """The extent of each axis, None where there is no such axis."""
    return tuple(None if side is None else side[1] - side[0] for side in box)
