"""What all masks of a set hold, counted before anything is decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import find_objects, label

from striate.tasks.segment.data.reading import TRANSPARENT, Kind, RawMask, as_colour

FLAT = 16  # levels within which JPEG and rounding change one value
SMALL_NUMBERS = 63
MOST_PIECES = 300  # objects of one mask that are looked at
MOST_PIXELS = 2**23  # of a mask whose objects are looked at
MOST_VALUES = 1024  # of one mask that are counted one by one; the rest is a photograph


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The values of one mask file.

    counts: raw value -> pixels, the MOST_VALUES commonest. distinct: how many values there are in all.
    between: raw value -> how many of its pixels lie strictly between their neighbours, as smoothing leaves them on edges.
    flat: raw value -> pixels inside areas of nearly one value; None for all. edges: how often neighbours differ.
    pieces: share of the numbers 1, 2, ..., n whose pixels are connected, of a mask that holds exactly those and 0.
    kind, table, lossy, nodata: as in RawMask.
    """

    key: str
    kind: Kind
    counts: dict[int, int]
    distinct: int
    between: dict[int, int] = field(default_factory=dict)
    table: dict[int, int] = field(default_factory=dict)
    flat: dict[int, int] | None = None
    edges: int = 0
    lossy: bool = False
    pieces: float | None = None
    nodata: int | None = None

    def read_as(self, colour: bool) -> dict[int, int]:
        """Number or colour -> pixels."""
        return self._mapped(self.counts, colour)

    def between_as(self, colour: bool) -> dict[int, int]:
        """Number or colour -> pixels that lie between their neighbours."""
        return self._mapped(self.between, colour)

    def flat_as(self, colour: bool) -> dict[int, int]:
        """Number or colour -> pixels inside flat areas."""
        return self._mapped(self.counts if self.flat is None else self.flat, colour)

    def _mapped(self, counts: dict[int, int], colour: bool) -> dict[int, int]:
        if self.kind in ("grey", "colour"):
            return counts if colour else _summed((v & 0xFF, n) for v, n in counts.items())
        if not colour:
            return counts
        if self.kind == "palette":
            return _summed((self.table.get(v, 0), n) for v, n in counts.items())
        return _summed((as_colour(v, self.kind), n) for v, n in counts.items())


def _summed(pairs) -> dict[int, int]:  # type: ignore[no-untyped-def]
    total: Counter[int] = Counter()
    for value, n in pairs:
        total[value] += n
    return dict(total)


def tally(key: str, mask: RawMask) -> Tally:
    """Count a mask's values."""
    values, counts = count_values(mask.values)
    order = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    between: dict[int, int] = {}
    flat: dict[int, int] | None = None
    edges = 0
    if len(values) > 2:
        channels = _channels(mask)
        between = _counted(mask.values[_between(channels) & (mask.values != TRANSPARENT)])
        flat = _counted(mask.values[_flat(channels)])
        pairs = (_slices(channels, axis, 2) for axis in (1, 2))
        edges = sum(int((first != second).any(0).sum()) for first, second in pairs)
    used = set(values.tolist())
    return Tally(
        key=key,
        kind=mask.kind,
        counts=dict(zip(values[order].tolist(), counts[order].tolist(), strict=True)),
        distinct=len(values),
        between=between,
        table={i: c for i, c in mask.table.items() if i in used},
        flat=flat,
        edges=edges,
        lossy=mask.lossy,
        pieces=_pieces(mask, values),
        nodata=mask.nodata,
    )


def _pieces(mask: RawMask, values: np.ndarray) -> float | None:
    """Share of the numbers 1 to n that are one connected piece each; None for masks that hold others, or hundreds."""
    if mask.kind == "colour" or mask.values.size > MOST_PIXELS or not values.size:
        return None
    numbers = np.unique(values & 255) if mask.kind == "grey" else values
    numbered = [v for v in numbers.tolist() if v]
    if not 2 <= len(numbered) <= MOST_PIECES or numbered != list(range(1, len(numbered) + 1)):
        return None
    pixels = mask.numbers()
    single = [
        label(pixels[box] == number, np.ones((3, 3)))[1] == 1
        for number, box in enumerate(find_objects(pixels), 1)
    ]
    return float(np.mean(single))


def count_values(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values that an int32 array holds, in order, and how often; as np.unique, in a quarter of its time where it can."""
    if not values.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    low, high = int(values.min()), int(values.max())
    if high - low <= 65535:
        counts = np.bincount((values - low).ravel())
        at = np.flatnonzero(counts)
        return at + low, counts[at]
    return np.unique(values, return_counts=True)


def _counted(values: np.ndarray) -> dict[int, int]:
    """Value -> how often, the MOST_VALUES commonest."""
    distinct, counts = count_values(values)
    order = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    return dict(zip(distinct[order].tolist(), counts[order].tolist(), strict=True))


def _channels(mask: RawMask) -> np.ndarray:
    """(C, H, W): red, green and blue, or the number; uint8 where they fit."""
    values = mask.colours() if mask.kind == "palette" else mask.values
    if mask.kind in ("grey", "colour", "palette"):
        return np.stack([values >> 16 & 255, values >> 8 & 255, values & 255]).astype(np.uint8)
    fits = values.min() >= 0 and values.max() <= 255
    return values[None].astype(np.uint8) if fits else values[None]


def _flat(channels: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels that differ from the four around them by at most FLAT in every channel."""
    # Small numbers are classes, and those beside one another are no shades of one.
    room = FLAT if channels.max() > SMALL_NUMBERS else 0
    flat = np.ones(channels.shape[1:], dtype=bool)
    for axis in (1, 2):
        first, second = _slices(channels, axis, 2)
        if room:
            same = (np.maximum(first, second) - np.minimum(first, second) <= room).all(0)
        else:
            same = (first == second).all(0)
        before, behind = _slices(flat[None], axis, 2)
        before &= same[None]
        behind &= same[None]
    return flat


def _between(channels: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels between their left and right, or upper and lower, neighbours in every channel, equal to none."""
    between = np.zeros(channels.shape[1:], dtype=bool)
    for axis in (1, 2):
        a, b, c = _slices(channels, axis, 3)
        inside = (((a <= b) & (b <= c)) | ((a >= b) & (b >= c))).all(0)
        inside &= (a != b).any(0) & (b != c).any(0)
        between[(slice(1, -1), slice(None)) if axis == 1 else (slice(None), slice(1, -1))] |= inside
    return between


def _slices(array: np.ndarray, axis: int, n: int) -> list[np.ndarray]:
    """n views of an array (C, H, W), each a pixel further along the axis than the one before."""
    length = max(array.shape[axis] - n + 1, 0)
    return [array[(slice(None),) * axis + (slice(i, i + length),)] for i in range(n)]


@dataclass(frozen=True, kw_only=True)
class Census:
    """The values of all masks, read as numbers or as colours.

    counts: value -> pixels; flat: of them inside flat areas; between: value -> share of its pixels between their neighbours.
    each: the counts of every mask. distinct: the most values that one mask holds. edges, pieces: as in Tally.
    """

    counts: dict[int, int]
    between: dict[int, float]
    each: tuple[dict[int, int], ...]
    flat: dict[int, int]
    distinct: int
    edges: int
    lossy: bool
    pieces: tuple[float | None, ...] = ()

    @property
    def pixels(self) -> int:
        """Of all masks."""
        return sum(self.counts.values())

    def together(self, a: int, b: int) -> bool:
        """Whether some mask holds both values."""
        return any(a in one and b in one for one in self.each)


def take_census(tallies: Sequence[Tally], *, colour: bool) -> Census:
    """Sum the tallies of all masks under one reading."""
    each = tuple(t.read_as(colour) for t in tallies)
    counts: Counter[int] = Counter()
    lines: Counter[int] = Counter()
    even: Counter[int] = Counter()
    for t, one in zip(tallies, each, strict=True):
        counts.update(one)
        lines.update(t.between_as(colour))
        even.update(t.flat_as(colour))
    return Census(
        counts=dict(sorted(counts.items())),
        between={v: lines[v] / n for v, n in counts.items()},
        each=each,
        flat=dict(even),
        distinct=max((t.distinct for t in tallies), default=0),
        edges=sum(t.edges for t in tallies),
        lossy=any(t.lossy for t in tallies),
        pieces=tuple(t.pieces for t in tallies),
    )
