"""Plans: what a rule decides about one record. All shape reasoning has ended; `run` alone touches tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from striate.errors import GeometryError
from striate.geometry.box import Box
from striate.geometry.index_map import All, Interval
from striate.geometry.layout import BATCH, Dim, Layout, axis_of, sizes

if TYPE_CHECKING:
    from striate.geometry.record import Link, Record, Value

Kind = Literal["local", "whole", "reduce", "normalise", "global"]


@dataclass(frozen=True, slots=True)
class Step:
    """One record at work: its inputs and the output box that is wanted.

    needs: the box of each input that its tensor holds, all of it and nothing else. In `Plan.run` that is exactly what
        the link pulls from `box`; `compute` takes any boxes that cover it, the whole value for one.
    """

    record: Record
    tensors: tuple[Tensor, ...]
    needs: tuple[Box, ...]
    values: tuple[Value, ...]
    out: Value
    box: Box
    batch: int
    device: torch.device

    def size(self, dim: Dim, box: Box | None = None) -> int:
        """The size of an output dimension for this batch and the wanted box, or another."""
        product = 1
        box = self.box if box is None else box
        for n in sizes(dim, [None if s is None else s[1] - s[0] for s in box], self.batch):
            product *= n
        return product

    def trim(self, tensor: Tensor) -> Tensor:
        """The wanted box of an output whose mixed axes were computed in full."""
        link = self.record.links[0]
        have = tuple([
            (0, relation.n_in) if isinstance(relation, All) and side is not None else side
            for relation, side in zip(link.relations, self.box, strict=True)
        ])  # fmt: skip
        return cut(tensor, self.out.layout, have, self.box, self.batch)

    def call(self, tensors: Sequence[Tensor], args: tuple[Any, ...] | None = None) -> Tensor:
        """Run the record's own ATen call on these tensors, with other arguments if given."""
        record = self.record
        args = record.args if args is None else args
        kwargs = {k: fill(v, tensors) for k, v in record.kwargs}
        if kwargs.get("device") is not None:
            kwargs["device"] = self.device
        if record.target.split(".")[1].endswith("_"):  # an in-place call that has no other form
            tensors = [tensors[0].clone(), *tensors[1:]]
        if record.op == "as_strided":  # reads memory: that of a tensor whose entries stand in order
            tensors = [t.clone(memory_format=torch.contiguous_format) for t in tensors]
        result = target(record.target)(*[fill(a, tensors) for a in args], **kwargs)
        return result[record.which] if isinstance(result, (tuple, list)) else result


@dataclass(frozen=True, slots=True)
class Plan:
    """Base of the plans.

    links: one an input, in the record's order.
    kind: "local": an output box needs a box of each input. "whole": no input keeps an axis of the image.
        "reduce": an axis of the image ends here, by a sum, mean or maximum. "normalise": the axes stay, but statistics
        over all of them enter. "global": needs and changes everything.
    """

    links: tuple[Link, ...]
    kind: Kind

    def run(self, step: Step) -> Tensor:
        """Compute the output box of `step` from inputs that hold exactly what the links pull from it.

        Callers whose tensors may hold more go through `compute`.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Result:
    """What a rule returns: what the output value holds, and the plan."""

    layout: Layout
    extents: tuple[int | None, ...]
    plan: Plan


RESHAPED = dict.fromkeys(("aten.view.default", "aten._unsafe_view.default"), "aten.reshape.default")


@lru_cache(maxsize=1024)
def target(name: str) -> Callable[..., Any]:
    """The ATen overload of a name such as `aten.add.Tensor`.

    A view is made by reshape: here a tensor may lie in memory otherwise than it did in the forward pass.
    """
    name = RESHAPED.get(name, name)
    namespace, op, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), op), overload)


def compute(step: Step) -> Tensor:
    """The output box of a record, from inputs that cover at least what it needs: they are cut to exactly that.

    Raises GeometryError if an input holds less.
    """
    plan = step.record.plan
    needs = tuple([link.pull(step.box) for link in plan.links])
    if needs == step.needs:
        return plan.run(step)
    tensors = tuple([
        cut(tensor, value.layout, have, need, step.batch)
        for tensor, value, have, need in zip(
            step.tensors, step.values, step.needs, needs, strict=True
        )
    ])  # fmt: skip
    return plan.run(replace(step, tensors=tensors, needs=needs))


def fill(value: Any, tensors: Sequence[Tensor]) -> Any:
    """Arguments with tensors where their `Ref`s stood."""
    if isinstance(value, tuple):
        return [fill(v, tensors) for v in value]
    position = getattr(value, "position", None)
    return value if position is None else tensors[position]


def cut(tensor: Tensor, layout: Layout, have: Box, want: Box, batch: int) -> Tensor:
    """The part `want` of a tensor that covers `have`; a view where no dimension mixes axes."""
    if have == want:
        return tensor
    for place, dim in enumerate(layout):
        tracked = [axis_of(a) for a in dim if a < BATCH]
        if not any(have[k] != want[k] for k in tracked):
            continue
        if len(dim) == 1:
            tensor = _narrow(tensor, place, have[tracked[0]], want[tracked[0]])
            continue
        inner = sizes(dim, [None if s is None else s[1] - s[0] for s in have], batch)
        tensor = tensor.unflatten(place, inner)
        for offset, atom in enumerate(dim):
            if atom < BATCH:
                k = axis_of(atom)
                tensor = _narrow(tensor, place + offset, have[k], want[k])
        tensor = tensor.flatten(place, place + len(dim) - 1)
    return tensor


def _narrow(tensor: Tensor, dim: int, have: Interval | None, want: Interval | None) -> Tensor:
    assert have is not None
    assert want is not None
    if want[0] >= want[1]:
        return tensor.narrow(dim, 0, 0)
    if want[0] < have[0] or want[1] > have[1]:
        raise GeometryError(
            f"a crop covers positions {have[0]} to {have[1] - 1} but {want[0]} to {want[1] - 1} are needed; "
            "pass the box that `Link.pull` gives, or a larger one"
        )
    return tensor.narrow(dim, want[0] - have[0], want[1] - want[0])


def align(
    tensor: Tensor, dim: int, atoms: Dim, extents: tuple[int | None, ...], box: Box, batch: int
) -> Tensor:
    """Cut one dimension of an operand that stands for positions `atoms` but is not tracked (a table of positions)."""
    if all(box[axis_of(a)] == (0, extents[axis_of(a)]) for a in atoms if a < BATCH):
        return tensor
    full: Box = tuple(None if n is None else (0, n) for n in extents)
    rows = tensor.shape[dim]
    plain = 1
    for n in sizes(atoms, extents, 1):
        plain *= n
    there = rows // plain  # images that the operand itself holds in this dimension
    part = cut(
        tensor, tuple(atoms if d == dim else (1,) for d in range(tensor.dim())), full, box, there
    )
    if BATCH in atoms and there != batch:
        raise GeometryError(
            "a table of positions is merged with the batch; run one image at a time"
        )
    return part
