"""Views and other operations on dimensions: reshape, permute, expand, slice, split, repeat and their inverses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from striate.geometry.index_map import Interval, Point, Relation, Spread, Window
from striate.geometry.layout import BATCH, Dim, Layout, axis_of, reshape
from striate.geometry.plan import Kind, Plan, Result, Step, cut
from striate.geometry.record import Link
from striate.geometry.rules.pointwise import Aligned, Pointwise, broadcast, lined_up
from striate.geometry.rules.site import (
    Operand,
    Site,
    everything,
    extents_of,
    kind_of,
    link_along,
    same,
)


def _result(
    operand: Operand,
    layout: Layout,
    make: Callable[[tuple[Link, ...], Kind], Plan],
    relations: dict[int, Relation] | None = None,
    extents: tuple[int | None, ...] | None = None,
) -> Result:
    if extents is None:
        extents = extents_of(layout, operand.extents)
    links = (link_along(operand, extents, relations),)
    spatial = any(n is not None for n in extents)
    return Result(layout, extents, make(links, kind_of(links, spatial)))


@dataclass(frozen=True, slots=True)
class View(Plan):
    """The same entries in the same order under another shape; the sizes follow from the layout, batch and box."""

    def run(self, step: Step) -> Tensor:
        have: list[Interval | None] = []
        for relation, side, need in zip(
            self.links[0].relations, step.box, step.needs[0], strict=True
        ):
            if isinstance(relation, Spread) and need is not None:
                have.append((need[0] * relation.stride, need[1] * relation.stride))
            else:
                have.append(side)
        made = tuple(have)
        x = step.tensors[0].reshape([step.size(dim, made) for dim in step.out.layout])
        return cut(x, step.out.layout, made, step.box, step.batch)


def view(site: Site) -> Result | None:
    """view, reshape, flatten, unflatten: axes are followed, also merged into one dimension or split evenly."""
    operand = site.operands[0]
    layout = reshape(operand.layout, operand.extents, site.batch, site.shape)
    if layout is None:
        return None
    relations: dict[int, Relation] = {}
    for k, (n_in, n_out) in enumerate(zip(operand.extents, layout.extents, strict=True)):
        if n_in is None or n_out is None:
            continue
        if k in layout.split:
            relations[k] = Window(n_in, n_out, layout.split[k], layout.split[k])
        elif k in layout.merged:
            relations[k] = Spread(n_in, n_out, layout.merged[k], layout.merged[k])
    return _result(operand, layout.layout, View, relations, layout.extents)


@dataclass(frozen=True, slots=True)
class Permute(Plan):
    """Dimensions in another order."""

    order: tuple[int, ...]

    def run(self, step: Step) -> Tensor:
        return step.tensors[0].permute(self.order)


def permute(site: Site) -> Result | None:
    """permute, transpose, t, movedim."""
    operand = site.operands[0]
    ndim = len(operand.shape)
    order = list(range(ndim))
    if site.op == "permute":
        order = [d % ndim for d in site.arg(1)]
    elif site.op == "t":
        order.reverse()
    elif ndim:
        a, b = site.arg(1) % ndim, site.arg(2) % ndim
        order[a], order[b] = order[b], order[a]
    layout = tuple([operand.layout[d] for d in order])
    return _result(operand, layout, lambda links, kind: Permute(links, kind, tuple(order)))


def unsqueeze(site: Site) -> Result | None:
    """A new dimension of one entry."""
    operand = site.operands[0]
    dim = site.arg(1) % len(site.shape)
    layout = (*operand.layout[:dim], (1,), *operand.layout[dim:])
    return _result(operand, layout, View)


def squeeze(site: Site) -> Result | None:
    """Dimensions of one entry dropped; an axis of one position is dropped with them."""
    operand = site.operands[0]
    ndim = len(operand.shape)
    dims = site.arg(1, tuple(range(ndim)), "dim")
    dims = {d % ndim for d in (dims if isinstance(dims, tuple) else (dims,))} if ndim else set()
    gone = {d for d in dims if operand.shape[d] == 1 and operand.layout[d] != (BATCH,)}
    if len(operand.shape) - len(gone) != len(site.shape):
        return None
    layout = tuple([dim for d, dim in enumerate(operand.layout) if d not in gone])
    return _result(operand, layout, View)


@dataclass(frozen=True, slots=True)
class Expand(Plan):
    """Dimensions of one entry repeated."""

    def run(self, step: Step) -> Tensor:
        return step.tensors[0].expand([step.size(dim) for dim in step.out.layout])


def expand(site: Site) -> Result | None:
    """expand: repeated dimensions hold no positions of their own."""
    operand = site.operands[0]
    shift = len(site.shape) - len(operand.shape)
    layout: list[Dim] = []
    for d, size in enumerate(site.shape):
        kept = d >= shift and operand.shape[d - shift] == size
        layout.append(operand.layout[d - shift] if kept else (size,))
    return _result(operand, tuple(layout), Expand)


@dataclass(frozen=True, slots=True)
class Take(Plan):
    """A slice along one dimension, by start, stop and step; `axis` is the axis of the image that it runs along."""

    dim: int
    start: int
    stop: int
    step: int
    axis: int | None
    drop: bool  # select: the dimension disappears

    def run(self, step: Step) -> Tensor:
        x = step.tensors[0]
        if self.axis is not None:
            x = x[(slice(None),) * self.dim + (slice(None, None, self.step),)]
        elif self.drop:
            x = x.select(self.dim, self.start)
        else:
            x = x[(slice(None),) * self.dim + (slice(self.start, self.stop, self.step),)]
        return x


def _take(site: Site, dim: int, start: int, stop: int, step: int, drop: bool) -> Result | None:
    operand = site.operands[0]
    atoms = operand.layout[dim]
    if len(atoms) == 1 and atoms[0] < BATCH and not drop:
        k = axis_of(atoms[0])
        n_in, n_out = operand.shape[dim], site.shape[dim]
        extents = tuple([n_out if j == k else n for j, n in enumerate(operand.extents)])
        relation = Window(n_in, n_out, 1, step, 1, -start)
        return _result(
            operand,
            operand.layout,
            lambda links, kind: Take(links, kind, dim, start, stop, step, k, False),
            {k: relation},
            extents,
        )
    if BATCH in atoms and (
        len(atoms) > 1 or site.shape[dim : dim + 1] != operand.shape[dim : dim + 1]
    ):
        return None
    if atoms == (BATCH,) and drop:
        return None
    n_out = 1 if drop else site.shape[dim]
    kept = n_out == operand.shape[dim] and not drop
    middle: Layout = () if drop else ((atoms,) if kept else ((n_out,),))
    layout = (*operand.layout[:dim], *middle, *operand.layout[dim + 1 :])
    if drop and len(atoms) == 1 and atoms[0] < BATCH:
        k = axis_of(atoms[0])
        return _result(
            operand,
            layout,
            lambda links, kind: Take(links, kind, dim, 0, 1, 1, None, True),
            {k: Point(operand.shape[dim], 0, start)},
        )
    return _result(
        operand, layout, lambda links, kind: Take(links, kind, dim, start, stop, step, None, drop)
    )


def take(site: Site) -> Result | None:
    """slice: along an axis of the image a strided window of one; along channels pointwise."""
    operand = site.operands[0]
    dim = site.arg(1, 0) % len(operand.shape)
    start, stop = bounds(site.arg(2), site.arg(3), operand.shape[dim])
    return _take_slice(site, dim, start, stop, site.arg(4, 1))


def _take_slice(site: Site, dim: int, start: int, stop: int, step: int) -> Result | None:
    if site.operands[0].shape == site.shape:
        return unchanged(site)
    return _take(site, dim, start, stop, step, drop=False)


def unchanged(site: Site) -> Result:
    """A view that shows everything as it is."""
    return _result(site.operands[0], site.operands[0].layout, View)


def bounds(start: int | None, stop: int | None, n: int) -> tuple[int, int]:
    start = 0 if start is None else start
    stop = n if stop is None else stop
    start = start + n if start < 0 else start
    stop = stop + n if stop < 0 else stop
    return min(max(start, 0), n), min(max(stop, 0), n)


def select(site: Site) -> Result | None:
    """select: one entry of a dimension; along an axis of the image that axis ends."""
    operand = site.operands[0]
    dim = site.arg(1) % len(operand.shape)
    index = site.arg(2) % operand.shape[dim]
    return _take(site, dim, index, index + 1, 1, drop=True)


def split(site: Site) -> Result | None:
    """split, split_with_sizes, chunk, unbind: each output is a slice of its own."""
    operand = site.operands[0]
    if site.op == "unbind":
        dim = site.arg(1, 0, "dim") % len(operand.shape)
        return _take(site, dim, site.which, site.which + 1, 1, drop=True)
    dim = site.arg(2, 0, "dim") % len(operand.shape)
    parts = site.arg(1)
    start = site.which * parts if isinstance(parts, int) else sum(parts[: site.which])
    return _take_slice(site, dim, start, start + site.shape[dim], 1)


@dataclass(frozen=True, slots=True)
class Insert(Plan):
    """A value with part of a dimension replaced by another: what writing through a slice leaves."""

    dim: int
    start: int
    step: int
    axis: int | None
    single: bool
    aligned: tuple[Aligned, ...]

    def run(self, step: Step) -> Tensor:
        base, part = step.tensors
        if self.single:
            part = part.unsqueeze(self.dim)
        base, part = lined_up(step, (base, part), self.aligned)
        shape = [step.size(dim) for dim in step.out.layout]
        out = base.expand(shape).clone()
        count, at = part.shape[self.dim], self.start
        if self.axis is not None:
            side, n = step.box[self.axis], step.out.extents[self.axis]
            assert side is not None
            assert n is not None
            total = 1 if self.single else step.values[1].shape[self.dim]
            first, last = Spread(total, n, 1, self.step, 1, -self.start).pull(side)
            if first >= last:
                return out
            if self.links[1].relations[self.axis] is None:
                part = part.narrow(self.dim, first, last - first)
            count, at = last - first, self.start + first * self.step - side[0]
        place = slice(at, at + (count - 1) * self.step + 1, self.step)
        out[(slice(None),) * self.dim + (place,)] = part
        return out


def insert(site: Site) -> Result | None:
    """slice_scatter and select_scatter: the inverse of a slice along one dimension."""
    base, part = site.operands
    ndim = len(base.shape)
    dim = site.arg(2, 0, "dim") % ndim
    n, step = base.shape[dim], 1
    single = site.op == "select_scatter"
    if single:
        start = site.arg(3) % n
        part = Operand(
            (*part.shape[:dim], 1, *part.shape[dim:]),
            (*part.layout[:dim], (1,), *part.layout[dim:]),
            part.extents,
        )
    else:
        start, _ = bounds(site.arg(3), site.arg(4), n)
        step = site.arg(5, 1)
    result = broadcast(replace(site, operands=[base, part]), ndim, skip=dim)
    plan = result.plan
    assert isinstance(plan, Pointwise)
    layout, extents, axis = list(result.layout), list(result.extents), None
    relations = [list(link.relations) for link in plan.links]
    held = {o.layout[dim] for o in (base, part) if any(a < 0 for a in o.layout[dim])}
    if len(held) > 1 or (held and BATCH in next(iter(held))):
        return None
    if held and len(next(iter(held))) == 1:
        layout[dim] = next(iter(held))
        axis = axis_of(layout[dim][0])
        if extents[axis] is not None:
            return None
        extents[axis] = n
        if base.layout[dim] == layout[dim]:
            relations[0][axis] = same(n)
        if part.layout[dim] == layout[dim]:
            relations[1][axis] = Spread(part.shape[dim], n, 1, step, 1, -start)
    aligned = [tuple([(p, q) for p, q in a if q != dim]) for a in plan.aligned]
    if axis is not None and base.layout[dim] != layout[dim]:
        aligned[0] = (*aligned[0], (dim, dim))
    links = tuple([Link(tuple(r)) for r in relations])
    kind = kind_of(links, any(e is not None for e in extents))
    return Result(
        tuple(layout),
        tuple(extents),
        Insert(links, kind, dim, start, step, axis, single, tuple(aligned)),
    )


@dataclass(frozen=True, slots=True)
class Repeat(Plan):
    """Whole copies side by side along untracked dimensions."""

    def run(self, step: Step) -> Tensor:
        return step.call(step.tensors)


def repeat(site: Site) -> Result | None:
    """repeat: along untracked dimensions only."""
    operand = site.operands[0]
    shift = len(site.shape) - len(operand.shape)
    layout: list[Dim] = []
    for d, size in enumerate(site.shape):
        if d < shift:
            layout.append((size,))
        elif operand.shape[d - shift] == size:
            layout.append(operand.layout[d - shift])
        elif any(a < 0 for a in operand.layout[d - shift]):
            return None
        else:
            layout.append((size,))
    return _result(operand, tuple(layout), Repeat)


@dataclass(frozen=True, slots=True)
class Pick(Plan):
    """Entries picked along one dimension by a table of places.

    axis: the axis that the dimension is, None for channels. The table's numbers are not known here, so an axis is read in
    full.
    """

    axis: int | None = None

    def run(self, step: Step) -> Tensor:
        value = step.call(step.tensors)
        if self.axis is None:
            return value
        n = step.out.extents[self.axis]
        assert n is not None
        have = tuple([(0, n) if k == self.axis else side for k, side in enumerate(step.box)])
        return cut(value, step.out.layout, have, step.box, step.batch)


def pick(site: Site) -> Result | None:
    """index and index_select with one table of places: a permutation or choice of channels, or of rows."""
    if len(site.operands) != 2:
        return None
    operand, table = site.operands
    if site.op == "index":
        places = [d for d, i in enumerate(site.arg(1)) if i is not None]
        if len(places) != 1:
            return None
        dim = places[0]
    else:
        dim = site.arg(1) % len(operand.shape)
    if any(a < 0 for d in table.layout for a in d) or len(table.shape) != 1:
        return None
    layout, extents = list(operand.layout), list(operand.extents)
    relations: dict[int, Relation] = {}
    axis = None
    if all(a > 0 for a in layout[dim]):
        layout[dim] = (site.shape[dim],)
    elif len(layout[dim]) == 1 and layout[dim][0] < BATCH and site.shape[dim]:
        axis = axis_of(layout[dim][0])
        n = extents[axis]
        assert n is not None
        extents[axis] = site.shape[dim]
        relations[axis] = everything(n, site.shape[dim])
    else:
        return None
    links = (link_along(operand, extents, relations), Link((None,) * site.axes))
    kind = kind_of(links, any(n is not None for n in extents))
    return Result(tuple(layout), tuple(extents), Pick(links, kind, axis))


RULES: dict[str, Callable[[Site], Result | None]] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias", "unflatten", "flatten"), view),
    **dict.fromkeys(("permute", "transpose", "t", "swapaxes"), permute),
    "unsqueeze": unsqueeze,
    "squeeze": squeeze,
    "expand": expand,
    "slice": take,
    "select": select,
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk",
                     "unbind"), split),
    "slice_scatter": insert,
    "select_scatter": insert,
    "repeat": repeat,
    "index": pick,
    "index_select": pick,
}  # fmt: skip
