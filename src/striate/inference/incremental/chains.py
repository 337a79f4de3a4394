"""Chains: a convolution and the records around it that run in one go with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from striate.geometry import Geometry, Record
from striate.geometry.layout import BATCH, axis_atom
from striate.geometry.rules.convolution import Convolve
from striate.geometry.rules.normalisation import BatchNorm
from striate.geometry.rules.pointwise import Pointwise
from striate.inference.incremental.kernel import Activation, Clamp, Kernel, activation

TINY = 1e-20  # a scale of batch norm below this counts as zero


@dataclass(slots=True)
class Chain:
    """A convolution; the batch norm and ReLU in front of it; the batch norm, sum and activation behind it.

    other: the value that the sum adds. last: the record that ends the chain.
    """

    first: Record
    before: tuple[Record, Record] | None = None
    norm: Record | None = None
    add: Record | None = None
    other: int | None = None
    activation: Activation | None = None
    last: Record = field(init=False)

    def __post_init__(self) -> None:
        self.last = self.first

    @property
    def records(self) -> tuple[Record, ...]:
        """All records that the chain runs."""
        around = (*(self.before or ()), self.first, self.norm, self.add, self.last)
        return tuple(dict.fromkeys([r for r in around if r is not None]))

    @property
    def input(self) -> int:
        """The value that the chain reads."""
        return (self.first if self.before is None else self.before[0]).inputs[0]

    def kernel(self, constants: Mapping[int, Tensor], exact: Mapping[int, Tensor]) -> Kernel:
        """The chain's kernel. `exact` holds constants as the module has them, where `constants` are cast."""
        plan = self.first.plan
        assert isinstance(plan, Convolve)
        dtype = constants[self.first.inputs[1]].dtype
        weight = _given(self.first, 1, constants, exact)
        bias = _given(self.first, 2, constants, exact)
        assert weight is not None
        clamp = None
        if self.norm is not None:
            scale, shift = _affine(self.norm, constants, exact)
            weight = weight.double() * scale.view(-1, *[1] * (weight.dim() - 1))
            bias = shift if bias is None else bias.double() * scale + shift
        if self.before is not None:
            scale, shift = _affine(self.before[0], constants, exact)
            clamp, weight, extra = _clamped(scale, shift, weight, dtype)
            bias = extra if bias is None else bias.double() + extra
        return Kernel(
            weight.to(dtype), None if bias is None else bias.to(dtype), plan.stride, plan.padding,
            plan.dilation, plan.groups, self.activation, clamp,
        )  # fmt: skip


def _given(
    record: Record, place: int, constants: Mapping[int, Tensor], exact: Mapping[int, Tensor]
) -> Tensor | None:
    position = getattr(record.args[place], "position", None)
    if position is None:
        return None
    i = record.inputs[position]
    return exact.get(i, constants[i])


def _affine(
    norm: Record, constants: Mapping[int, Tensor], exact: Mapping[int, Tensor]
) -> tuple[Tensor, Tensor]:
    """Batch norm as scale * x + shift, in double precision."""
    gamma, beta, mean, var = (_given(norm, p, constants, exact) for p in (1, 2, 3, 4))
    assert mean is not None
    assert var is not None
    scale = 1 / torch.sqrt(var.double() + norm.args[7])
    scale = scale if gamma is None else scale * gamma.double()
    shift = -mean.double() * scale
    return scale, shift if beta is None else shift + beta.double()


def _clamped(
    scale: Tensor, shift: Tensor, weight: Tensor, dtype: torch.dtype
) -> tuple[Clamp, Tensor, Tensor]:
    """relu(scale * x + shift) in front of a kernel of one position, as a clamp of x and other weights.

    With t = -shift / scale it is scale * (max(x, t) - t), or with min where scale is negative; the factor goes into
    the weights and the constant into the bias, which leaves one pass over x instead of two or three.
    """
    none = scale.abs() < TINY
    edge = torch.where(none, 0.0, -shift / torch.where(none, 1.0, scale)).to(dtype)
    infinity = torch.full_like(edge, float("inf"))
    low = torch.where((scale > 0) & ~none, edge, -infinity)
    high = torch.where((scale < 0) & ~none, edge, infinity)
    high, low = torch.where(none, 0.0, high), torch.where(none, 0.0, low)
    ones = [1] * (weight.dim() - 2)
    folded = (weight.double() * torch.where(none, 0.0, scale).view(1, -1, *ones)).to(dtype)
    # From the rounded numbers, so that a channel that is cut off cancels to nothing.
    extra = -(folded.double().flatten(1) @ edge.double())
    extra = extra + weight.double().flatten(1) @ torch.where(none, shift.clamp_min(0), 0.0)
    return Clamp(low.view(1, -1, *ones), high.view(1, -1, *ones)), folded, extra


def chains(geometry: Geometry, live: Sequence[Record]) -> dict[int, Chain]:
    """The chains of a network, by the index of the record that ends them."""
    values = geometry.values
    uses: dict[int, list[Record]] = {}
    for r in live:
        for i in dict.fromkeys(r.inputs):
            uses.setdefault(i, []).append(r)
    returned = {i for i in geometry.outputs if i is not None}
    taken: set[int] = set()
    chains: dict[int, Chain] = {}
    reached = _probe(geometry)

    def reader(value: int) -> Record | None:
        """The one record that reads a value that nobody else sees."""
        readers = uses.get(value, [])
        return readers[0] if len(readers) == 1 and value not in returned else None

    for record in live:
        if not _plain(geometry, record):
            continue
        chain = Chain(record)
        relu = _maker(geometry, record.inputs[0])
        norm = None if relu is None else _maker(geometry, relu.inputs[0])
        if (
            relu is not None
            and norm is not None
            and relu.op == "relu"
            and _pointwise(geometry, record)
            and _evaluates(norm, norm.inputs[0])
            and reader(relu.output) is record
            and reader(norm.output) is relu
            and not {relu.index, norm.index} & taken
        ):
            chain.before = (norm, relu)
        after = reader(record.output)
        if after is not None and _evaluates(after, record.output):
            chain.norm, chain.last = after, after
            after = reader(after.output)
        other = None if after is None else _addend(geometry, after, chain.last.output)
        if (
            after is not None
            and other is not None
            and after.index not in taken
            and reached.get(after.output) == reached.get(chain.last.output)
        ):
            chain.add, chain.other, chain.last = after, other, after
            after = reader(after.output)
        if after is not None and isinstance(after.plan, Pointwise) and len(after.inputs) == 1:
            chain.activation = activation(after.op, after.args)
            if chain.activation is not None:
                chain.last = after
        taken.update(r.index for r in chain.records)
        chains[chain.last.index] = chain
    assert all(values[c.last.output].varies for c in chains.values())
    return chains


def _maker(geometry: Geometry, value: int) -> Record | None:
    """The record that makes a value that depends on the image."""
    producer = geometry.values[value].producer
    if producer is None or not geometry.values[value].varies:
        return None
    return geometry.records[producer]


def _plain(geometry: Geometry, record: Record) -> bool:
    """A convolution of (N, C, *axes) with a constant weight."""
    plan, values = record.plan, geometry.values
    if not isinstance(plan, Convolve) or plan.kind != "local":
        return False
    x = values[record.inputs[0]]
    axes = tuple(range(geometry.axes))
    return (
        plan.along == axes
        and x.layout[0] == (BATCH,)
        and x.layout[2:] == tuple((axis_atom(k),) for k in axes)
        and not any(values[i].varies for i in record.inputs[1:])
    )


def _pointwise(geometry: Geometry, record: Record) -> bool:
    """A kernel of one position, without padding, over all channels."""
    plan = record.plan
    assert isinstance(plan, Convolve)
    shape = geometry.values[record.inputs[1]].shape
    return plan.groups == 1 and not any(plan.padding) and all(n == 1 for n in shape[2:])


def _evaluates(norm: Record, value: int) -> bool:
    """Batch norm of `value` with fixed statistics."""
    return (
        isinstance(norm.plan, BatchNorm)
        and not norm.plan.training
        and norm.inputs[0] == value
        and norm.inputs.count(value) == 1
        and all(p is None or hasattr(p, "position") for p in norm.args[1:5])
    )


def _addend(geometry: Geometry, record: Record, value: int) -> int | None:
    """What a sum adds to `value`, where both have the same shape and positions."""
    if record.op != "add" or len(record.inputs) != 2 or dict(record.kwargs).get("alpha", 1) != 1:
        return None
    if len(record.args) > 2 or not isinstance(record.plan, Pointwise):
        return None
    other = record.inputs[1] if record.inputs[0] == value else record.inputs[0]
    a, b = geometry.values[value], geometry.values[other]
    same = a.shape == b.shape and a.layout == b.layout and a.dtype == b.dtype
    return other if same and other != value and b.varies else None


def _probe(geometry: Geometry) -> dict[int, object]:
    """What a change in the middle of the image reaches."""
    box = tuple((n // 2, n // 2 + max(n // 16, 1)) for n in geometry.image)
    return dict(geometry.push(box))
