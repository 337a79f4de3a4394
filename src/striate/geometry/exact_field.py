"""The exact receptive field: the set of pixels that a position sees, and how often each pixel is seen.

A set of positions along one axis is a Python integer, bit i for position i. What the positions of a value see is a
*term*: for each axis of the image a row of such sets, one a position along that axis; output (y, x) sees the pixels
rows[0][y] x rows[1][x]. Where branches meet (an Inception block of 1x7 and 7x1) one term is not enough: then it is the
union of several, and the set is a cross, not a rectangle. Terms that another contains are dropped.

Over channels the union is meant: what any channel of a layer sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from striate.errors import UsageError
from striate.geometry.box import Box
from striate.geometry.index_map import All, Point, Relation, Same

if TYPE_CHECKING:
    from striate.geometry.geometry import Geometry
    from striate.geometry.record import Record

Rows = tuple[
    int, ...
]  # the set of pixels that each position sees; one entry where the value lost the axis
Term = tuple[Rows, ...]  # one entry an axis


@dataclass(frozen=True, eq=False)
class Field:
    """The pixels that one position of a layer sees.

    mask: (H, W) bool, a truth value a pixel of the image.
    box: the smallest box around them, clipped at the border; an empty interval where nothing is seen.
    """

    mask: np.ndarray
    box: Box

    def index(self, axis: int) -> tuple[int, ...]:
        """The pixels seen along one axis, at any place along the others."""
        others = tuple(a for a in range(self.mask.ndim) if a != axis)
        return tuple(np.flatnonzero(self.mask.any(axis=others)).tolist())

    @property
    def count(self) -> int:
        """How many pixels are seen."""
        return int(self.mask.sum())


@lru_cache(maxsize=1024)
def _table(relation: Relation) -> tuple[tuple[int, ...], ...]:
    return tuple([relation.index(o) for o in range(relation.n_out)])


@lru_cache(maxsize=16384)
def _through(relation: Relation | None, rows: Rows, extent: int | None) -> Rows:
    """What the output sees along an axis, from what the input sees."""
    if isinstance(relation, Same):
        return rows
    if isinstance(relation, Point):
        return (rows[relation.place],)
    if relation is None or isinstance(relation, All) or extent is None:
        row = 0
        for r in rows:
            row |= r
        return (row,) * (1 if extent is None else extent)
    terms = []
    for taps in _table(relation):
        row = 0
        for i in taps:
            row |= rows[i]
        terms.append(row)
    return tuple(terms)


@lru_cache(maxsize=16384)
def _within(a: Rows, b: Rows) -> bool:
    return all(x | y == y for x, y in zip(a, b, strict=True))


def _joined(terms: list[Term]) -> list[Term]:
    """Without terms that another contains; terms that differ along one axis only become one.

    A sum of two branches has the terms of both, so that without this every residual block would double them.
    """
    joined: list[Term] = []
    queue = list(dict.fromkeys(terms))
    while queue:
        term = queue.pop()
        if any(
            all(a is b or _within(a, b) for a, b in zip(term, other, strict=True))
            for other in joined
        ):
            continue
        joined = [
            other for other in joined
            if not all(_within(a, b) for a, b in zip(other, term, strict=True))
        ]  # fmt: skip
        merged = None
        for other in joined:
            different = [k for k, (a, b) in enumerate(zip(term, other, strict=True)) if a != b]
            # A x B and A x C are together A x (B | C). Where two axes differ the union is no product, and both terms stay.
            if len(different) == 1:
                k = different[0]
                row = tuple([x | y for x, y in zip(term[k], other[k], strict=True)])
                merged = (*term[:k], row, *term[k + 1 :])
                joined.remove(other)
                break
        if merged is not None:
            queue.append(merged)  # it may contain others, or join with one
        else:
            joined.append(term)
    return joined


def ancestors(geometry: Geometry, value: int) -> list[Record]:
    """The records that a value depends on, in the order they run."""
    needed = {value}
    order = []
    for record in reversed(geometry.records):
        if record.output in needed:
            order.append(record)
            needed.update(record.inputs)
    return order[::-1]


def seen_terms(geometry: Geometry, value: int, source: int | None = None) -> list[Term]:
    """What the positions of `values[value]` see of `values[source]` (the first input): a union of terms."""
    source = geometry.inputs[0] if source is None else source
    image = geometry.values[source].extents
    terms: dict[int, list[Term]] = {
        source: [tuple([() if n is None else tuple([1 << i for i in range(n)]) for n in image])]
    }
    if value == source:
        return terms[source]
    for record in ancestors(geometry, value):
        all_terms: list[Term] = []
        extents = geometry.values[record.output].extents
        for i, link in zip(record.inputs, record.links, strict=True):
            for term in terms.get(i, ()):
                rows = [
                    _through(relation, row, extent)
                    for relation, row, extent in zip(link.relations, term, extents, strict=True)
                ]
                all_terms.append(tuple(rows))
        if all_terms:
            terms[record.output] = all_terms if len(all_terms) == 1 else _joined(all_terms)
    return terms.get(value, [])


def receptive_field(geometry: Geometry, name: str, position: Sequence[int] | None = None) -> Field:
    """The exact set of pixels that one position of a layer sees, clipped at the border.

    position: one index for each axis that the layer still has (rows before columns); the middle if not given. A layer
    that lost its axes takes (). Raises UsageError for a layer that does not exist or a position outside of it.
    """
    record = geometry.record(name)
    value = geometry.values[record.output]
    kept = [n for n in value.extents if n is not None]
    place = tuple(n // 2 for n in kept) if position is None else tuple(position)
    if len(place) != len(kept) or any(not 0 <= p < n for p, n in zip(place, kept, strict=False)):
        size = "x".join(map(str, kept)) or "no"
        raise UsageError(
            f"{name} has {size} positions, got {place}; give one index from 0 for each of its {len(kept)} axes"
        )
    image = geometry.image
    mask = np.zeros(image, dtype=bool)
    steps = iter(place)
    at = [0 if n is None else next(steps) for n in value.extents]
    for term in seen_terms(geometry, record.output):
        part = np.ones((), dtype=bool)
        for rows, p, n in zip(term, at, image, strict=True):
            part = part[..., None] & _bits(rows[p], n)
        mask |= part
    return Field(mask, _hull(mask))


def _bits(row: int, n: int) -> np.ndarray:
    data = np.frombuffer(row.to_bytes((n + 7) // 8, "little"), dtype=np.uint8)
    return np.unpackbits(data, bitorder="little")[:n].astype(bool)


def _hull(mask: np.ndarray) -> Box:
    sides = []
    for axis in range(mask.ndim):
        lines = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        sides.append((int(lines[0]), int(lines[-1]) + 1) if len(lines) else (0, 0))
    return tuple(sides)


def utilisation(
    geometry: Geometry, name: str | None = None, count: Literal["positions", "paths"] = "positions"
) -> np.ndarray:
    """How often each pixel of the input is read: pixel utilisation (lecture 001).

    name: a layer; the last one that still has positions if not given. count: "positions" counts the positions of the
    layer that see the pixel, "paths" every way by which a pixel reaches one (what it weighs when all weights are equal).
    Returns integers of the image's size.

    A 3x3 kernel on 5x5 pixels reads the corner once and the centre nine times:

    >>> from torch import nn
    >>> from striate.geometry import trace
    >>> utilisation(trace(nn.Conv2d(1, 1, 3), (1, 1, 5, 5)))[0].tolist()
    [1, 2, 3, 2, 1]
    """
    record = _last_spatial(geometry) if name is None else geometry.record(name)
    if count == "paths":
        return _paths(geometry, record)
    image = geometry.image
    terms = seen_terms(geometry, record.output)
    tables = [
        [np.stack([_bits(r, n) for r in rows]) for rows, n in zip(term, image, strict=True)]
        for term in terms
    ]
    if (
        len(tables) == 1
    ):  # a product of axes: the count is the product of the counts along each, without a loop
        total = np.ones((), dtype=np.int64)
        for table in tables[0]:
            total = total[..., None] * table.sum(0)
        return total
    total = np.zeros(image, dtype=np.int64)
    if not tables:
        return total
    *leading, last = [t.shape[0] for t in tables[0]]
    for place in np.ndindex(*leading):
        # (positions along the last axis, *image): which pixels any term shows them
        seen = np.zeros((last, *image), dtype=bool)
        for term in tables:
            part = np.ones((1,), dtype=bool)
            for table, p in zip(term[:-1], place, strict=True):
                part = part[..., None] & table[p]
            tail = term[-1].reshape(last, *[1] * (len(image) - 1), image[-1])
            seen |= part[..., None] & tail
        total += seen.sum(0)
    return total


def _last_spatial(geometry: Geometry) -> Record:
    for record in reversed(geometry.records):
        value = geometry.values[record.output]
        if record.live and value.varies and value.spatial:
            return record
    raise UsageError("no layer of this network keeps positions; name the layer that is meant")


def _paths(geometry: Geometry, record: Record) -> np.ndarray:
    """Counts of paths, from the layer back to the image; every link is linear in them."""
    from striate.geometry.index_map import matrix

    extents = geometry.values[record.output].extents
    # Python integers: paths multiply from layer to layer, and those of a deep network do not fit into 64 bits.
    counts: dict[int, np.ndarray] = {
        record.output: np.ones([1 if n is None else n for n in extents], dtype=object)
    }
    for step in reversed(ancestors(geometry, record.output)):
        out = counts.pop(step.output, None)
        if out is None:
            continue
        for i, link in zip(step.inputs, step.links, strict=True):
            if not geometry.values[i].varies:
                continue
            part = out
            for axis, relation in enumerate(link.relations):
                n = geometry.values[i].extents[axis]
                if isinstance(relation, Same):
                    continue
                if relation is None:  # one entry is read by every position
                    part = part.sum(axis=axis, keepdims=True)
                elif n is not None:
                    table = matrix(relation).astype(object)
                    if part.shape[axis] == 1 and table.shape[0] > 1:
                        part = np.repeat(part, table.shape[0], axis)
                    part = np.moveaxis(np.tensordot(part, table, axes=([axis], [0])), -1, axis)
            counts[i] = counts[i] + part if i in counts else part
    weights = counts.get(geometry.inputs[0])
    if weights is None:
        return np.zeros(geometry.image, dtype=np.int64)
    largest = max(weights.flat, default=0)
    return weights.astype(np.int64) if largest < 2**63 else weights
