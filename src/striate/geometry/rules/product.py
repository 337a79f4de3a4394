"""Matrix products: rows keep their positions, the contracted dimension is needed in full."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from striate.geometry.index_map import Relation
from striate.geometry.layout import BATCH, Dim, plain
from striate.geometry.plan import Plan, Result, Step
from striate.geometry.record import Link
from striate.geometry.rules.pointwise import Aligned, fits, lined_up
from striate.geometry.rules.site import (
    Operand,
    Site,
    atom_dim,
    everything,
    extents_of,
    kind_of,
    same,
)


@dataclass(frozen=True, slots=True)
class Product(Plan):
    """A matrix product, as it was called."""

    aligned: tuple[Aligned, ...]

    def run(self, step: Step) -> Tensor:
        return step.call(lined_up(step, step.tensors, self.aligned))


def product(site: Site) -> Result | None:
    """mm, addmm, bmm, baddbmm: (..., rows, inner) by (..., inner, columns)."""
    first = 1 if site.op in ("addmm", "baddbmm") else 0
    a, b = site.operand(first), site.operand(first + 1)
    if a is None or b is None:
        return None
    layout: list[Dim] = list(plain(site.shape))
    last = len(site.shape) - 1
    # An axis stands in one dimension of the result: where both operands have it, as in self-attention's q k', the second is
    # a dimension of plain entries, along which everything is needed.
    used: set[int] = set()
    for d in range(last + 1):
        sources = (b,) if d == last else (a,) if d == last - 1 else (a, b)
        for o in sources:
            tracked = {atom for atom in o.layout[d] if atom < 0}
            if tracked and not tracked & used:
                layout[d] = o.layout[d]
                used |= tracked
                break
    extents = extents_of(tuple(layout), a.extents, b.extents)
    for o, inner in ((a, last), (b, last - 1)):
        for d, dim in enumerate(o.layout):
            if site.batch > 1 and BATCH in dim and (d == inner or layout[d] != dim):
                return None  # the images of one operand meet those of the other
    links: list[Link] = []
    aligned: list[Aligned] = []
    for o in site.operands:
        if o is not a and o is not b:
            if any(n is not None for n in o.extents):
                return None
            links.append(Link((None,) * site.axes))
            aligned.append(())
            continue
        inner = last if o is a else last - 1
        # Along these all of the operand is needed: the sum runs over it, or the result has something else there.
        strange = {d for d, dim in enumerate(layout) if d == inner or not fits(o, d, dim, extents)}
        links.append(_link(o, strange, extents))
        aligned.append(
            tuple([
                (d, d)
                for d in sorted(strange - {inner})
                if any(atom < BATCH for atom in layout[d])
            ])
        )  # fmt: skip
    kind = kind_of(links, any(n is not None for n in extents))
    return Result(tuple(layout), extents, Product(tuple(links), kind, tuple(aligned)))


def _link(o: Operand, strange: set[int], extents: tuple[int | None, ...]) -> Link:
    relations: list[Relation | None] = []
    for k, n in enumerate(o.extents):
        if n is None:
            relations.append(None)
            continue
        place = atom_dim(o.layout, k)
        assert place is not None
        relations.append(everything(n, extents[k]) if place in strange else same(n))
    return Link(tuple(relations))


RULES = dict.fromkeys(("mm", "addmm", "bmm", "baddbmm"), product)
