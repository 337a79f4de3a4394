"""The records: what a traced network is made of. Frozen, integers and names only, no tensors."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import torch

from striate.geometry.box import Box
from striate.geometry.constant import Constant
from striate.geometry.index_map import EMPTY, All, Interval, Point, Relation
from striate.geometry.layout import Layout

if TYPE_CHECKING:
    from striate.geometry.plan import Plan

# Operations that only rename, cut or lay out entries: no layers of their own.
BOOKKEEPING = frozenset(
    {"view", "_unsafe_view", "reshape", "_reshape_alias", "t", "transpose", "permute", "unsqueeze", "squeeze",
     "expand", "slice", "select", "split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk",
     "unbind", "detach", "alias", "lift_fresh", "lift_fresh_copy", "clone", "_to_copy", "contiguous", "empty",
     "zeros", "ones", "full", "arange", "empty_like", "zeros_like", "ones_like", "full_like", "scalar_tensor",
     "linspace", "eye", "copy", "unflatten", "flatten", "slice_scatter", "select_scatter", "as_strided",
     "repeat", "fill", "zero", "uniform", "bernoulli"}
)  # fmt: skip

Source = Literal["input", "parameter", "buffer", "constant", "record"]


@dataclass(frozen=True, slots=True)
class Ref:
    """Stands in a record's arguments for its `position`-th input."""

    position: int


@dataclass(frozen=True, slots=True)
class Value:
    """One tensor of the forward pass, written once.

    index: its place in `Geometry.values`.
    shape: as traced.
    layout: what each dimension holds: see `striate.geometry.layout`.
    extents: size along each spatial axis of the input, None where the value has no such axis.
    source: "record" if `Geometry.records[producer]` makes it, else what it is; `name` is then its qualified name.
    varies: whether it depends on the network's input at all.
    data: the numbers of a constant that the module does not hold under a name.
    """

    index: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    layout: Layout
    extents: tuple[int | None, ...]
    source: Source
    name: str
    producer: int | None
    varies: bool
    data: Constant | None = None

    @property
    def full(self) -> Box:
        """The box that covers the whole value."""
        return tuple(None if n is None else (0, n) for n in self.extents)

    @property
    def spatial(self) -> bool:
        """Whether it keeps at least one axis of the image."""
        return any(n is not None for n in self.extents)

    @property
    def bytes(self) -> int:
        """Size in bytes as traced."""
        count = self.dtype.itemsize
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True, slots=True)
class Link:
    """How one output reads one input: a relation for each spatial axis, None where the input has no such axis."""

    relations: tuple[Relation | None, ...]

    def pull(self, out: Box) -> Box:
        """The input box that the output box needs."""
        sides: list[Interval | None] = []
        for relation, side in zip(self.relations, out, strict=True):
            if relation is None:
                sides.append(None)
            elif side is None:
                sides.append(relation.pull((0, 1)))
            else:
                sides.append(relation.pull(side))
        return tuple(sides)

    def push(self, inp: Box, extents: tuple[int | None, ...]) -> Box:
        """The output box that a change inside the input box can reach; `extents` are the output's.

        An axis that the input does not have is changed in full.
        """
        sides: list[Interval | None] = []
        empty = any(s is not None and s[0] >= s[1] for s in inp) or any(
            isinstance(r, Point) and s is not None and r.push(s) == EMPTY
            for r, s in zip(self.relations, inp, strict=True)
        )
        for relation, side, extent in zip(self.relations, inp, extents, strict=True):
            if extent is None:
                sides.append(None)
            elif empty:
                sides.append((0, 0))
            elif relation is None or side is None or isinstance(relation, All):
                sides.append((0, extent))
            else:
                sides.append(relation.push(side))
        return tuple(sides)

    @property
    def everything(self) -> bool:
        """Whether the output needs the input's whole extent along some axis."""
        return any(isinstance(r, All) for r in self.relations)


@dataclass(frozen=True, slots=True)
class Record:
    """One ATen call that makes one value; a call with several outputs that are used has one record each.

    index: its place in `Geometry.records`, which stand in the order they run.
    name: unique, e.g. `layer1.0.conv1`, `layer1.0.relu#2`, `features.3.cat`.
    op: the operation, e.g. `convolution`; `target` is the overload, e.g. `aten.convolution.default`; `call` says
        which records stem from one call and `which` is the output of that call.
    args, kwargs: with `Ref(i)` for the tensor `inputs[i]`; `inputs` are indices of values, in that order.
    output: index of the value that it makes.
    visit: index into `Geometry.visits`, the run of the submodule that made the call.
    plan: the rule's result: links and how to compute a box.
    params: number of parameters that this record is the first to use.
    macs: multiply-adds as traced, None if unknown.
    live: whether a result of the network depends on it.
    """

    index: int
    name: str
    op: str
    target: str
    call: int
    which: int
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    inputs: tuple[int, ...]
    output: int
    visit: int
    plan: Plan
    params: int
    macs: int | None
    live: bool

    @property
    def links(self) -> tuple[Link, ...]:
        """One link an input, in the order of `inputs`."""
        return self.plan.links


@dataclass(frozen=True, slots=True)
class Visit:
    """One run of one submodule: its path and class, the run that called it, and the how-many-eth run of the path."""

    path: str
    kind: str
    parent: int | None
    number: int


@dataclass(frozen=True, slots=True, repr=False)
class Axis:
    """The receptive field along one axis, in pixels of the input (lecture 003: receptive-field arithmetic).

    size: how many pixels one output position spans, the largest where that depends on the position.
    stride: how far it moves from one output position to the next; a Fraction where outputs lie closer than pixels.
    start: the first pixel that output 0 sees, negative inside padding.
    phases: (first, last) pixel relative to output 0's grid for each phase of an up-sampling network; one entry otherwise.
    """

    size: int
    stride: int | Fraction
    start: int
    phases: tuple[tuple[int, int], ...] = ()

    def __repr__(self) -> str:
        phases = f", phases={self.phases}" if self.phases else ""
        return f"Axis(size={self.size}, stride={self.stride}, start={self.start}{phases})"

    @property
    def sizes(self) -> tuple[int, ...]:
        """The different sizes, smallest first: more than one in a network that up-samples."""
        return tuple(sorted({last - first + 1 for first, last in self.phases})) or (self.size,)


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation as a reader meets it.

    name: unique; the submodule's path where it runs one operation, else path and operation: `layer1.0.relu#2`.
    op: `convolution`, `native_batch_norm`, `relu`, ...
    out_shape: as traced, batch first.
    params: parameters that this layer is the first to use; macs: multiply-adds, None if unknown.
    receptive_field: one Axis a spatial axis of the input, None where it sees everything along that axis. Where tokens that
        see nothing (a class token, registers) stand before the patches, it is that of each patch until they attend.
    window, stride, dilation: of the kernel along each spatial axis, None where no kernel sweeps it; `transposed` for a
        kernel that writes instead of reads.
    module: path of the submodule that ran it, and kind its class.
    inputs: names of the layers (or inputs) whose values it reads.
    record: index of the record.
    local_field: the receptive field without what comes through statistics over all positions (the gate of
        squeeze-and-excitation, the mean of a group norm); None where nothing else is seen.
    """

    name: str
    op: str
    out_shape: tuple[int, ...]
    params: int
    macs: int | None
    receptive_field: tuple[Axis | None, ...]
    window: tuple[int | None, ...]
    stride: tuple[int | None, ...]
    dilation: tuple[int | None, ...]
    transposed: bool
    module: str
    kind: str
    inputs: tuple[str, ...]
    activation_bytes: int
    record: int
    local_field: tuple[Axis | None, ...]
