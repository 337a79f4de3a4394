"""Reach: the receptive field of every value along each axis, composed record by record (lecture 003).

Along one axis the receptive field of output position o is an interval of pixels whose ends are periodic up to a slope:
`lo[o mod P] + S * (o div P)` to `hi[...] + ...`. A network without up-sampling has P = 1: the classic size, stride and
start. The interval is not clipped at the border, so a start inside padding is negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import gcd, lcm
from typing import TYPE_CHECKING

from striate.geometry.index_map import All, Pattern, Point, Relation, Same
from striate.geometry.record import Axis, Record
from striate.geometry.tokens import Tokens, follow

if TYPE_CHECKING:
    from striate.geometry.geometry import Geometry


@dataclass(frozen=True, slots=True)
class Reach:
    """Pixels `lo[p] + step * m` to `hi[p] + step * m` (included) for output p + period * m; lo > hi: none."""

    period: int
    step: int
    lo: tuple[int, ...]
    hi: tuple[int, ...]

    def at(self, o: int) -> tuple[int, int]:
        """The first and last pixel of output position o."""
        m, p = divmod(o, self.period)
        return self.lo[p] + self.step * m, self.hi[p] + self.step * m

    def axis(self) -> Axis:
        """As the public contract states it."""
        sizes = [h - low + 1 for low, h in zip(self.lo, self.hi, strict=True)]
        stride = Fraction(self.step, self.period)
        return Axis(
            max(0, *sizes) if len(sizes) > 1 else max(0, sizes[0]),
            int(stride) if stride.denominator == 1 else stride,
            self.lo[0],
            tuple(zip(self.lo, self.hi, strict=True)) if self.period > 1 else (),
        )


PIXEL = Reach(1, 1, (0,), (0,))
# Along one axis: a Reach, "all" (sees everything), or None (sees nothing of the input).
Seen = Reach | str | None
EVERYTHING = "all"


@lru_cache(maxsize=65536)
def through(relation: Relation, inner: Reach) -> Seen:
    """The reach of an output that reads a value of reach `inner` through `relation`."""
    if isinstance(relation, Same):
        return inner
    pattern = relation.pattern()
    if pattern is None:
        return _listed(relation, inner)
    if pattern.period == 1 and inner.period == 1:
        s = inner.step
        return Reach(
            1,
            s * pattern.step,
            (inner.lo[0] + s * pattern.lo[0],),
            (inner.hi[0] + s * pattern.hi[0],),
        )
    return _composed(pattern, inner)


def _composed(pattern: Pattern, inner: Reach) -> Reach:
    turns = inner.period // gcd(inner.period, pattern.step)
    period = pattern.period * turns
    lo, hi = [], []
    for o in range(period):
        m, q = divmod(o, pattern.period)
        first, last = pattern.lo[q] + pattern.step * m, pattern.hi[q] + pattern.step * m
        if first > last:
            a, b = inner.at(first)[0], inner.at(last)[1]
            lo.append(a)
            hi.append(min(b, a - 1))
            continue
        span = min(last - first + 1, 2 * inner.period)
        ends = [inner.at(first + j) for j in range(span)] + [
            inner.at(last - j) for j in range(min(span, inner.period))
        ]
        ends = [e for e in ends if e[0] <= e[1]]
        if not ends:
            a = inner.at(first)[0]
            lo.append(a)
            hi.append(a - 1)
            continue
        lo.append(min(e[0] for e in ends))
        hi.append(max(e[1] for e in ends))
    step = inner.step * pattern.step * turns // inner.period
    return _shortest(Reach(period, step, tuple(lo), tuple(hi)))


def _shortest(reach: Reach) -> Reach:
    """The same with the smallest period."""
    n = reach.period
    for d in range(1, n):
        if n % d or (reach.step * d) % n:
            continue
        slope = reach.step * d // n
        if all(
            reach.lo[(p + d) % n] + reach.step * ((p + d) // n) - reach.lo[p] == slope
            and reach.hi[(p + d) % n] + reach.step * ((p + d) // n) - reach.hi[p] == slope
            for p in range(n)
        ):
            return Reach(d, slope, reach.lo[:d], reach.hi[:d])
    return reach


def _listed(relation: Relation, inner: Reach) -> Seen:
    """A relation without a pattern, position by position."""
    if isinstance(relation, (All, Point)):
        return EVERYTHING
    lo, hi = [], []
    for o in range(relation.n_out):
        ends = [inner.at(i) for i in relation.index(o)]
        lo.append(min((e[0] for e in ends), default=0))
        hi.append(max((e[1] for e in ends), default=-1))
    step = inner.step * relation.n_in // inner.period
    return _shortest(Reach(relation.n_out, max(step, 1), tuple(lo), tuple(hi)))


@lru_cache(maxsize=65536)
def union(a: Reach, b: Reach) -> Seen:
    """The smallest reach that holds both."""
    if a == b:
        return a
    if a.period == b.period == 1 and a.step == b.step:
        return Reach(1, a.step, (min(a.lo[0], b.lo[0]),), (max(a.hi[0], b.hi[0]),))
    if a.step * b.period != b.step * a.period:
        return EVERYTHING
    period = lcm(a.period, b.period)
    lo, hi = [], []
    for o in range(period):
        ends = [e for e in (a.at(o), b.at(o)) if e[0] <= e[1]]
        lo.append(min(e[0] for e in ends) if ends else a.at(o)[0])
        hi.append(max(e[1] for e in ends) if ends else a.at(o)[0] - 1)
    return _shortest(Reach(period, a.step * (period // a.period), tuple(lo), tuple(hi)))


Field = tuple[Axis | None, ...]


def receptive_fields(geometry: Geometry) -> tuple[list[Field], list[Field]]:
    """For each value its receptive field and its local field: one Axis a spatial axis, None where it sees everything.

    The local field leaves out what reaches a value through statistics over all positions, if anything else reaches it:
    the gate of squeeze-and-excitation, the mean of a group norm, the keys of attention. Of tokens behind a class
    token, which sees nothing, it is that of each patch.
    """
    axes = geometry.axes
    seen: list[tuple[Seen, ...]] = []
    near: list[tuple[Seen, ...]] = []
    known: dict[int, Tokens] = {}
    for value in geometry.values:
        if value.source == "input":
            start: tuple[Seen, ...] = tuple(
                [EVERYTHING if n is None else PIXEL for n in value.extents]
            )
            seen.append(start)
            near.append(start)
            continue
        if value.producer is None or not value.varies:
            seen.append((None,) * axes)
            near.append((None,) * axes)
            continue
        record = geometry.records[value.producer]
        normalised = record.plan.kind == "normalise"
        fields: list[Seen] = [None] * axes
        close: list[Seen] = [None] * axes
        for place, (i, link) in enumerate(zip(record.inputs, record.links, strict=True)):
            if not geometry.values[i].varies:
                continue
            for k, relation in enumerate(link.relations):
                fields[k] = _union(fields[k], _reach(relation, seen[i][k]))
                mixes = isinstance(relation, All)
                if (
                    mixes
                    and normalised
                    and place == 0
                    and relation is not None
                    and value.extents[k]
                ):
                    more = near[i][k]  # the position itself, which the statistics only scale
                else:
                    more = _reach(relation, near[i][k])
                close[k] = _nearest(close[k], more)
        tokens = follow(geometry, record, known)
        if tokens is not None:
            known[value.index] = tokens
            fields, close = _of_tokens(geometry, record, tokens, known, seen, near)
        seen.append(tuple(fields))
        near.append(tuple(close))
    cache: dict[Seen, Axis | None] = {}

    def axis(s: Seen) -> Axis | None:
        if s not in cache:
            cache[s] = s.axis() if isinstance(s, Reach) else None
        return cache[s]

    return (
        [tuple([axis(s) for s in one]) for one in seen],
        [tuple([axis(s) for s in one]) for one in near],
    )


def _of_tokens(
    geometry: Geometry,
    record: Record,
    tokens: Tokens,
    known: dict[int, Tokens],
    seen: list[tuple[Seen, ...]],
    near: list[tuple[Seen, ...]],
) -> tuple[list[Seen], list[Seen]]:
    """The field of each patch among tokens: its own, and everything where what was mixed is added to it."""
    inputs = [i for i in record.inputs if geometry.values[i].varies]
    if not any(i in known for i in inputs):
        return list(seen[tokens.origin]), list(near[tokens.origin])
    fields: list[Seen] = [None] * geometry.axes
    close: list[Seen] = [None] * geometry.axes
    for i in inputs:
        for k in range(geometry.axes):
            fields[k] = _union(fields[k], seen[i][k] if i in known else EVERYTHING)
            close[k] = _nearest(close[k], near[i][k] if i in known else EVERYTHING)
    return fields, close


def _reach(relation: Relation | None, inner: Seen) -> Seen:
    if inner is None or isinstance(relation, Same):
        return inner
    if isinstance(inner, str) or relation is None or isinstance(relation, (All, Point)):
        return EVERYTHING  # also of a selected row: where it lies does not move
    return through(relation, inner)


def _union(a: Seen, b: Seen) -> Seen:
    if a is None or b is None:
        return b if a is None else a
    return union(a, b) if isinstance(a, Reach) and isinstance(b, Reach) else EVERYTHING


def _nearest(a: Seen, b: Seen) -> Seen:
    """The union of what is local; everything only if nothing is."""
    if isinstance(a, Reach) and isinstance(b, Reach):
        return union(a, b)
    return a if isinstance(a, Reach) else b if isinstance(b, Reach) or a is None else a
