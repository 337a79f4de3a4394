"""Kernels: what computes a node's box. Prepared once for the module's weights, called for every tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.geometry import Box, Geometry, Record
from striate.geometry.plan import Step, compute
from striate.geometry.rules.convolution import Convolve, ConvolveTransposed
from striate.geometry.rules.normalisation import BatchNorm, GroupNorm
from striate.inference.tiled.plan.network import Network, Node
from striate.inference.tiled.run.convolutions import Convolution, Transposed

Known = Mapping[int, Tensor]  # constants, and what earlier passes found out
Moments = Mapping[int, tuple[Tensor, Tensor]]  # of a norm's output: mean and variance a channel
Stage = Callable[[list[Tensor], Sequence[Box], Box], Tensor]

# Operations that have a twin that writes over its input, with the same numbers.
IN_PLACE: dict[str, Callable[..., Tensor]] = {
    "aten.relu.default": torch.ops.aten.relu_.default,
    "aten.silu.default": torch.ops.aten.silu_.default,
    "aten.sigmoid.default": torch.ops.aten.sigmoid_.default,
    "aten.tanh.default": torch.ops.aten.tanh_.default,
    "aten.hardtanh.default": torch.ops.aten.hardtanh_.default,
    "aten.relu6.default": torch.ops.aten.relu6_.default,
    "aten.hardswish.default": torch.ops.aten.hardswish_.default,
    "aten.hardsigmoid.default": torch.ops.aten.hardsigmoid_.default,
    "aten.leaky_relu.default": torch.ops.aten.leaky_relu_.default,
    "aten.elu.default": torch.ops.aten.elu_.default,
    "aten.mish.default": torch.ops.aten.mish_.default,
    "aten.gelu.default": torch.ops.aten.gelu_.default,
    "aten.mul.Tensor": torch.ops.aten.mul_.Tensor,
    "aten.add.Tensor": torch.ops.aten.add_.Tensor,
    "aten.clamp.default": torch.ops.aten.clamp_.default,
    "aten.clamp_min.default": torch.ops.aten.clamp_min_.default,
}


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a record of a node finds an input: "chain" (what the record before made), "read", or "known"."""

    kind: str
    place: int


def slots(network: Network, node: Node) -> list[list[Slot]]:
    """For each record of a node, where its inputs come from; reads are counted in the node's order."""
    values = network.geometry.values
    slots = []
    read = 0
    made: int | None = None
    for record in node.records:
        mine = []
        for i in record.inputs:
            if i == made:
                mine.append(Slot("chain", 0))
            elif values[i].spatial:
                mine.append(Slot("read", read))
                read += 1
            else:
                mine.append(Slot("known", i))
        slots.append(mine)
        made = record.output
    assert read == len(node.reads)
    return slots


class Kernel:
    """Computes boxes of one node. `usual`: rows and columns of what it mostly reads, None if that is not known."""

    def __init__(
        self,
        network: Network,
        node: Node,
        known: Known,
        moments: Moments,
        *,
        fuse: bool,
        usual: tuple[int, ...] | None,
    ) -> None:
        self.network = network
        self.geometry: Geometry = network.geometry
        self.node = node
        self.known = known
        self.moments = moments
        self.slots = slots(network, node)
        self.usual = usual
        self.fuse = fuse
        self.stages: list[Stage] = []
        records = list(node.records)
        fresh = False
        while records:
            at = len(node.records) - len(records)
            taken, stage, fresh = self._stage(records, at, fresh)
            self.stages.append(stage)
            del records[:taken]

    def __call__(self, crops: Sequence[Tensor], needs: Sequence[Box], box: Box) -> Tensor:
        """The box `box` of the node's output; `crops` hold exactly `needs` of its reads; of any shape."""
        held = [*crops]
        tensor = None
        for stage in self.stages:
            held.append(tensor)  # type: ignore[arg-type]
            tensor = stage(held, needs, box)
            held.pop()
        assert tensor is not None
        return tensor

    def _stage(self, records: list[Record], at: int, fresh: bool) -> tuple[int, Stage, bool]:
        """How many records the next stage runs, the stage, and whether its result is a tensor of its own."""
        record, where = records[0], self.slots[at]
        plan = record.plan
        if isinstance(plan, (Convolve, ConvolveTransposed)) and self._image(record):
            weights = self._constant(where, 1)
            if weights is not None and (not plan.bias or self._constant(where, 2) is not None):
                follower = records[1] if self.fuse and len(records) > 1 else None
                if follower is not None and not self._foldable(follower, self.slots[at + 1]):
                    follower = None
                make = partial(self._weights, record, at, follower)
                place = where[0].place
                if isinstance(plan, Convolve):
                    stage: Stage = Convolution(
                        record, make, place, self.usual if self.fuse else None
                    )
                else:
                    stage = Transposed(record, make, place)
                return (1 if follower is None else 2), stage, True
        if isinstance(plan, (BatchNorm, GroupNorm)) and record.output in self.needed_moments:
            return 1, self._normalise(record, where), True
        twin = IN_PLACE.get(record.target)
        if (
            twin is not None and fresh and where and where[0].kind == "chain"
            and all(s.kind != "chain" for s in where[1:])
            and self._same_kind(record)
        ):  # fmt: skip
            return 1, self._generic(record, where, twin), True
        return 1, self._generic(record, where, None), isinstance(plan, BatchNorm)

    @property
    def needed_moments(self) -> set[int]:
        """Norms whose statistics are those of the whole image."""
        return {r.output for r in self.network.reductions if r.way == "moments"}

    def _image(self, record: Record) -> bool:
        value = self.geometry.values[record.output]
        plan: Any = record.plan
        return len(value.shape) == 4 and plan.along == (0, 1) and value.dtype.is_floating_point

    def _same_kind(self, record: Record) -> bool:
        values = self.geometry.values
        a, b = values[record.inputs[0]], values[record.output]
        return a.dtype == b.dtype and a.layout == b.layout and a.extents == b.extents

    def _constant(self, where: list[Slot], place: int) -> Tensor | None:
        slot = where[place]
        if slot.kind != "known" or self.geometry.values[slot.place].varies:
            return None
        return self.known[slot.place]

    def _foldable(self, record: Record, where: list[Slot]) -> bool:
        plan = record.plan
        return (
            isinstance(plan, BatchNorm)
            and not plan.training
            and where[0].kind == "chain"
            and all(self._constant(where, p) is not None for p in range(1, len(where)))
        )

    def _weights(
        self, record: Record, at: int, norm: Record | None
    ) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of a convolution; the batch norm after it written into them, in float64."""
        plan: Any = record.plan
        weight = self._constant(self.slots[at], 1)
        bias = self._constant(self.slots[at], 2) if plan.bias else None
        assert weight is not None
        if norm is None:
            return weight, bias
        tensors = [
            self._constant(self.slots[at + 1], p) if p else None for p in range(len(norm.inputs))
        ]
        gamma, beta, mean, var = [
            tensors[a.position] if hasattr(a, "position") else None for a in norm.args[1:5]
        ]
        assert mean is not None
        assert var is not None
        rate = (var.double() + norm.args[7]).rsqrt()
        if gamma is not None:
            rate = rate * gamma.double()
        shift = -mean.double() if bias is None else bias.double() - mean.double()
        shift = shift * rate if beta is None else shift * rate + beta.double()
        if isinstance(plan, ConvolveTransposed):  # (in, out / groups, ...)
            shape = (plan.groups, -1, *weight.shape[1:])
            wide = weight.double().reshape(shape) * rate.view(plan.groups, 1, -1, 1, 1)
            wide = wide.reshape(weight.shape)
        else:
            wide = weight.double() * rate.view(-1, 1, 1, 1)
        return wide.to(weight.dtype), shift.to(weight.dtype)

    def _generic(
        self, record: Record, where: list[Slot], twin: Callable[..., Tensor] | None
    ) -> Stage:
        """The record's own plan, or the twin that writes over what the chain holds."""
        geometry, known = self.geometry, self.known
        values = tuple([geometry.values[i] for i in record.inputs])
        out = geometry.values[record.output]
        none: Box = (None,) * geometry.axes
        plain = all(s.kind == "chain" or s.kind == "read" for s in where)

        def run(held: list[Tensor], needs: Sequence[Box], box: Box) -> Tensor:
            tensors, boxes = [], []
            for slot in where:
                if slot.kind == "read":
                    tensors.append(held[slot.place])
                    boxes.append(needs[slot.place])
                elif slot.kind == "chain":
                    tensors.append(held[-1])
                    boxes.append(box)
                else:
                    tensors.append(known[slot.place])
                    boxes.append(none)
            if twin is not None and (
                plain or all(t.dim() <= tensors[0].dim() for t in tensors[1:])
            ):
                args = [tensors[a.position] if hasattr(a, "position") else a for a in record.args]
                if all(t.numel() == 1 or _broadcasts(t, tensors[0]) for t in tensors[1:]):
                    return twin(*args, **dict(record.kwargs))
            step = Step(
                record, tuple(tensors), tuple(boxes), values, out, box, 1, tensors[0].device
            )
            return compute(step)

        return run

    def _normalise(self, record: Record, where: list[Slot]) -> Stage:
        """A norm whose mean and variance are known."""
        position = dict(enumerate(where))
        plan = record.plan
        eps = plan.eps if isinstance(plan, GroupNorm) else record.args[7]

        def run(held: list[Tensor], needs: Sequence[Box], box: Box) -> Tensor:
            def find(place: int) -> Tensor | None:
                argument = record.args[place]
                if not hasattr(argument, "position"):
                    return None
                slot = position[argument.position]
                if slot.kind == "known":
                    return self.known[slot.place]
                return held[-1] if slot.kind == "chain" else held[slot.place]

            x = find(0)
            assert x is not None
            mean, var = self.moments[record.output]
            weight, bias = find(1), find(2)
            own = next((t.dtype for t in (weight, bias) if t is not None), x.dtype)
            return F.batch_norm(x, mean.to(own), var.to(own), weight, bias, False, 0.0, eps)

        return run


def _broadcasts(t: Tensor, to: Tensor) -> bool:
    """Whether `t` fits `to` without making it larger."""
    return all(a in (1, b) for a, b in zip(reversed(t.shape), reversed(to.shape), strict=False))
