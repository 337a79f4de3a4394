"""Site: one call as a rule sees it, and what rules share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor

from striate.geometry.index_map import All, Relation, Same
from striate.geometry.layout import BATCH, Layout, axis_atom, axis_of, plain
from striate.geometry.plan import Kind, Plan, Result, Step
from striate.geometry.record import Link, Ref, Value


@dataclass(slots=True)
class Operand:
    """An input value as a rule sees it."""

    shape: tuple[int, ...]
    layout: Layout
    extents: tuple[int | None, ...]

    @property
    def layout_tracked(self) -> bool:
        """Whether any dimension holds the batch or positions."""
        return any(a < 0 for dim in self.layout for a in dim)


@dataclass(slots=True)
class Site:
    """One call: its arguments with `Ref`s, its inputs, and the shape of the output that is planned."""

    op: str
    tags: Collection[Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    operands: list[Operand]
    shape: tuple[int, ...]
    which: int
    axes: int
    batch: int
    norm: str = ""
    dtype: Any = None

    def arg(self, place: int, default: Any = None, name: str = "") -> Any:
        """The argument at a place, or by its name, or the default."""
        if place < len(self.args):
            return self.args[place]
        return self.kwargs.get(name, default)

    def operand(self, place: int) -> Operand | None:
        """The input that stands at an argument's place, None if there is no tensor."""
        value = self.arg(place)
        return self.operands[value.position] if isinstance(value, Ref) else None


@lru_cache(maxsize=4096)
def same(n: int) -> Same:
    """The identity on an axis of n positions."""
    return Same(n, n)


@lru_cache(maxsize=4096)
def everything(n_in: int, n_out: int | None) -> All:
    """Every output position (or the one output, for None) reads all n_in inputs."""
    return All(n_in, n_out or 0)


def whole_link(operand: Operand, extents: Sequence[int | None]) -> Link:
    """The link of an input that is needed in full."""
    return Link(
        tuple([
            None if n is None else everything(n, m)
            for n, m in zip(operand.extents, extents, strict=True)
        ])
    )  # fmt: skip


def link_along(
    operand: Operand, extents: Sequence[int | None], relations: dict[int, Relation] | None = None
) -> Link:
    """Identity on the axes that stay, everything on those that go, and `relations` where an axis has another."""
    along: list[Relation | None] = []
    for k, (n, m) in enumerate(zip(operand.extents, extents, strict=True)):
        if n is None:
            along.append(None)
        elif relations is not None and k in relations:
            along.append(relations[k])
        elif n == m:
            along.append(same(n))
        else:
            along.append(everything(n, m))
    return Link(tuple(along))


def extents_of(layout: Layout, *sources: Sequence[int | None]) -> tuple[int | None, ...]:
    """The extents of a layout's axes, each taken from the first source that has it."""
    present = {axis_of(a) for dim in layout for a in dim if a < BATCH}
    extents: list[int | None] = []
    for k in range(len(sources[0])):
        n = None
        if k in present:
            n = next((s[k] for s in sources if s[k] is not None), None)
        extents.append(n)
    return tuple(extents)


STRIDED = frozenset({"view", "_unsafe_view", "as_strided", "view_as_complex", "view_as_real"})


@dataclass(frozen=True, slots=True)
class Whole(Plan):
    """Runs the call as it was traced, on whole inputs."""

    mixes_batch: bool

    def run(self, step: Step) -> Tensor:
        if (
            step.record.op in STRIDED
        ):  # the call fits the strides of the trace, which others may not have here
            return step.call([t.contiguous() for t in step.tensors])
        return step.call(step.tensors)


def globally(site: Site) -> Result:
    """The plan of an operation that has no rule: everything from everything."""
    layout = plain(site.shape)
    none: tuple[None, ...] = (None,) * site.axes
    links = tuple([whole_link(o, none) for o in site.operands])
    spatial = any(n is not None for o in site.operands for n in o.extents)
    mixes = any(a == BATCH for o in site.operands for dim in o.layout for a in dim)
    return Result(layout, none, Whole(links, "global" if spatial else "whole", mixes))


def kind_of(links: Iterable[Link], spatial_out: bool) -> Kind:
    """The kind of a plan that has a rule, by what its links need."""
    spatial_in = everything_needed = False
    for link in links:
        for r in link.relations:
            if r is not None:
                spatial_in = True
                everything_needed |= isinstance(r, All)
    if not spatial_in:
        return "whole"
    if not everything_needed:
        return "local"
    return "normalise" if spatial_out else "reduce"


def value_operand(value: Value) -> Operand:
    """A value as an operand."""
    return Operand(value.shape, value.layout, value.extents)


def atom_dim(layout: Layout, k: int) -> int | None:
    """The dimension that axis k lies in, alone or merged."""
    atom = axis_atom(k)
    for place, dim in enumerate(layout):
        if atom in dim:
            return place
    return None
