"""Reductions over dimensions: where an axis of the image ends. And operations along one dimension."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from striate.geometry.index_map import Relation
from striate.geometry.layout import BATCH, Dim, axis_of
from striate.geometry.plan import Plan, Result, Step
from striate.geometry.record import Link
from striate.geometry.rules.site import Site, everything, extents_of, kind_of, link_along, same


@dataclass(frozen=True, slots=True)
class Reduce(Plan):
    """A sum, mean, maximum or other statistic over `dims`; mixes_batch: the images' among them, which are one here."""

    dims: tuple[int, ...]
    keepdim: bool
    mixes_batch: bool = False

    def run(self, step: Step) -> Tensor:
        return step.call(step.tensors)


# op -> places of `dim` and `keepdim` among its arguments
_LAST = ("mode", "kthvalue")  # whose `dim` is the last if not given; that of the others is all
_PLACES = {
    "mean": (1, 2), "sum": (1, 2), "amax": (1, 2), "amin": (1, 2), "max": (1, 2), "min": (1, 2), "prod": (1, 2),
    "any": (1, 2), "all": (1, 2), "argmax": (1, 2), "argmin": (1, 2), "logsumexp": (1, 2), "median": (1, 2),
    "mode": (1, 2), "kthvalue": (2, 3),
    "var": (1, 3), "std": (1, 3), "var_mean": (1, 3), "std_mean": (1, 3), "linalg_vector_norm": (2, 3), "norm": (2, 3),
}  # fmt: skip


def reduce(site: Site) -> Result | None:
    """mean, sum, max, norm, ...: axes among the dimensions end; the others stay as they are."""
    operand = site.operands[0]
    ndim = len(operand.shape)
    at_dim, at_keep = _PLACES[site.op]
    dims = site.arg(at_dim, -1 if site.op in _LAST else None, "dim")
    keep = bool(site.arg(at_keep, False, "keepdim")) if dims is not None else False
    if "keepdim" in site.kwargs:
        keep = bool(site.kwargs["keepdim"])
    if dims is None or dims == ():
        dims = tuple(range(ndim))
    places = {d % ndim for d in (dims if isinstance(dims, tuple) else (dims,))} if ndim else set()
    if len(site.operands) != 1 or len(site.shape) != (ndim if keep else ndim - len(places)):
        return None
    layout: list[Dim] = []
    for d, dim in enumerate(operand.layout):
        if d not in places:
            layout.append(dim)
        elif keep:
            layout.append((1,))
    joins = any(BATCH in operand.layout[d] for d in places)
    if joins and site.batch > 1:
        return None
    extents = extents_of(tuple(layout), operand.extents)
    links = (link_along(operand, extents),)
    kind = kind_of(links, any(n is not None for n in extents))
    plan = Reduce(links, kind, tuple(sorted(places)), keep, joins)
    return Result(tuple(layout), extents, plan)


def largest(site: Site) -> Result | None:
    """topk: like a reduction that keeps its dimension, which then holds k plain entries. Unsorted, their order is chance."""
    operand = site.operands[0]
    if not operand.shape or not site.arg(4, True, "sorted"):
        return None
    d = site.arg(2, -1, "dim") % len(operand.shape)
    if BATCH in operand.layout[d]:
        return None
    layout = (*operand.layout[:d], (site.shape[d],), *operand.layout[d + 1 :])
    extents = extents_of(layout, operand.extents)
    links = (link_along(operand, extents),)
    kind = kind_of(links, any(n is not None for n in extents))
    return Result(layout, extents, Reduce(links, kind, (d,), True))


@dataclass(frozen=True, slots=True)
class Along(Plan):
    """An operation in which the entries of some dimensions are all mixed, and that keeps the shape."""

    dims: tuple[int, ...]

    def run(self, step: Step) -> Tensor:
        return step.trim(step.call(step.tensors))


def mix(site: Site, dims: tuple[int, ...]) -> Result | None:
    """Keep the layout; axes within `dims` are needed in full."""
    operand = site.operands[0]
    if operand.shape != site.shape:
        return None
    mixed = {axis_of(a) for d in dims for a in operand.layout[d] if a < BATCH}
    if any(BATCH in operand.layout[d] for d in dims):
        return None
    relations: list[Relation | None] = []
    for k, n in enumerate(operand.extents):
        relations.append(None if n is None else everything(n, n) if k in mixed else same(n))
    links = [Link(tuple(relations))]
    for o in site.operands[1:]:
        if any(n is not None for n in o.extents):
            return None
        links.append(Link((None,) * site.axes))
    kind = kind_of(links, any(n is not None for n in operand.extents))
    return Result(operand.layout, operand.extents, Along(tuple(links), kind, dims))


def along(site: Site) -> Result | None:
    """softmax, cumsum, sort, flip, ... along one dimension."""
    ndim = len(site.operands[0].shape)
    place = 2 if site.op == "renorm" else 1
    dims = site.arg(place, -1, "dim")
    dims = dims if isinstance(dims, tuple) else (dims,)
    return mix(site, tuple([d % ndim for d in dims]) if ndim else ())


RULES = {
    **dict.fromkeys(_PLACES, reduce),
    "topk": largest,
    **dict.fromkeys(
        ("_softmax", "_log_softmax", "softmax", "log_softmax", "_safe_softmax", "cumsum", "cumprod", "sort",
         "logcumsumexp", "cummax", "cummin"),
        along,
    ),
}  # fmt: skip
