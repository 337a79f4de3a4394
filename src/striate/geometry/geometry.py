"""Geometry: the traced network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch.utils import _pytree as pytree

from striate.errors import UsageError
from striate.geometry.box import Box, hull, is_empty
from striate.geometry.exact_field import Field, receptive_field
from striate.geometry.layers import layers
from striate.geometry.layout import BATCH
from striate.geometry.record import Layer, Record, Value, Visit


@dataclass(frozen=True)
class Geometry:
    """A traced network: values and the records that make them, in the order they run. Holds no tensors.

    inputs: indices of the values that are the network's inputs.
    outputs: indices of the values that it returns, None for a returned thing that is no tensor (then it stands in
        `rest`); `tree` rebuilds the tuple, list or dict that the module returned.
    total_params: parameters of the module, each counted once, used or not.
    axes: how many spatial axes the input has; batch: its batch size as traced.
    chance: the operations that draw random numbers on which a result depends, by name.
    writes_input: whether the forward pass writes into its own input, such as x.sub_(mean).
    kept: attributes and buffers that a run leaves changed behind; the next run may depend on them.
    """

    values: tuple[Value, ...]
    records: tuple[Record, ...]
    visits: tuple[Visit, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int | None, ...]
    rest: tuple[Any, ...]
    tree: pytree.TreeSpec = field(repr=False)
    axes: int
    batch: int
    kind: str
    training: bool
    total_params: int
    unused_params: tuple[str, ...]
    chance: tuple[str, ...] = ()
    writes_input: bool = False
    kept: tuple[str, ...] = ()

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The operations that compute something from the input, in the order they run."""
        return layers(self)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    @cached_property
    def by_name(self) -> dict[str, Record]:
        """Records by their unique names."""
        return {r.name: r for r in self.records}

    def record(self, name: str) -> Record:
        """The record of a name; the name of a submodule stands for the last operation that it runs.

        Raises UsageError for a name that does not exist.
        """
        if not isinstance(name, str):
            raise UsageError(f"a layer is named by a text such as 'layer1.0.conv1', got {name!r}")
        record = self.by_name.get(name)
        if record is not None:
            return record
        inside = [
            r for r in self.records
            if self.visits[r.visit].path == name or self.visits[r.visit].path.startswith(f"{name}.")
        ]  # fmt: skip
        if not inside:
            from difflib import get_close_matches

            near = get_close_matches(name, [layer.name for layer in self.layers], 3, 0.3)
            hint = f"; near it: {', '.join(near)}" if near else ""
            raise UsageError(
                f"no layer is called {name!r}{hint}; `for layer in geometry` lists all"
            )
        return inside[-1]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the first input as traced."""
        return self.values[self.inputs[0]].shape

    @property
    def image(self) -> tuple[int, ...]:
        """Spatial size of the first input, in pixels."""
        return self.input_shape[len(self.input_shape) - self.axes :]

    @property
    def total_macs(self) -> int | None:
        """Multiply-adds of one forward pass as traced; None if an operation's are unknown."""
        counts = [r.macs for r in self.records]
        return None if any(c is None for c in counts) else sum(c for c in counts if c is not None)

    @property
    def known_macs(self) -> int:
        """Multiply-adds of the operations that can be counted."""
        return sum(r.macs or 0 for r in self.records)

    @property
    def total_activation_bytes(self) -> int:
        """Bytes of all values that layers make, were none of them freed."""
        return sum(layer.activation_bytes for layer in self.layers)

    @cached_property
    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """For each value the indices of the records that read it."""
        consumers: list[list[int]] = [[] for _ in self.values]
        for r in self.records:
            for v in dict.fromkeys(r.inputs):
                consumers[v].append(r.index)
        return tuple(tuple(f) for f in consumers)

    def receptive_field(self, layer: str | int, position: Sequence[int] | None = None) -> Field:
        """The exact set of pixels that one position of a layer sees, clipped at the border.

        layer: its name, or its place among `layers` (-1 is the last). position: one index for each axis that the layer
        still has, its middle if not given; () where it has none.
        Raises UsageError for a layer or a position that does not exist.
        """
        if isinstance(layer, str):
            return receptive_field(self, layer, position)
        count = len(self.layers)
        if type(layer) is not int:
            raise UsageError(
                f"a layer is a name such as 'layer1.0.conv1', or its place, got {layer!r}"
            )
        if not -count <= layer < count:
            raise UsageError(f"the network has {count} layers, 0 to {count - 1}; got {layer}")
        return receptive_field(self, self.layers[layer].name, position)

    @property
    def note(self) -> str:
        """What to know before reading receptive fields: one sentence, empty where there is nothing to know."""
        norms = [
            r.name for r in self.records
            if r.live and r.op == "native_batch_norm" and r.args[5] and not getattr(r.plan, "each", False)
            and BATCH in self.values[r.inputs[0]].layout[0]
        ]  # fmt: skip
        if not norms:
            return ""
        more = f" and {len(norms) - 1} more" if len(norms) > 1 else ""
        remedy = (
            "call module.eval() first to see what the trained network sees"
            if self.training
            else "it keeps no running statistics, or is in training mode while the network is not"
        )
        return (
            f"Batch norm ({norms[0]}{more}) takes its statistics over all positions of all images here, so it and what "
            f"follows see the whole input: {remedy}"
        )

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """What the module returns, from one entry for each of `outputs`."""
        full = [
            other if i is None else leaf
            for i, leaf, other in zip(self.outputs, leaves, self.rest, strict=True)
        ]
        return pytree.tree_unflatten(full, self.tree)

    def pull(self, value: int, box: Box) -> dict[int, Box]:
        """For each value that `box` of `value` depends on, the box that is needed of it.

        Walks the records backwards; boxes of values that are read more than once are joined.
        """
        needed: dict[int, Box] = {value: box}
        for record in reversed(self.records):
            box_out = needed.get(record.output)
            if box_out is None:
                continue
            for v, link in zip(record.inputs, record.links, strict=True):
                got = link.pull(box_out)
                if not is_empty(got) or v not in needed:
                    needed[v] = hull(needed[v], got) if v in needed else got
        return needed

    def push(self, box: Box, value: int | None = None) -> dict[int, Box]:
        """For each value that a change inside `box` of `value` (the first input) can reach, the box it can change."""
        value = self.inputs[0] if value is None else value
        changed: dict[int, Box] = {value: box}
        for record in self.records:
            out: Box | None = None
            extents = self.values[record.output].extents
            for v, link in zip(record.inputs, record.links, strict=True):
                if v in changed:
                    got = link.push(changed[v], extents)
                    if not is_empty(got) and not is_empty(changed[v]):
                        out = got if out is None else hull(out, got)
            if out is not None:
                changed[record.output] = out
        return changed


def axis_names(n: int) -> tuple[str, ...]:
    """What the spatial axes are called in tables."""
    return {0: (), 1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}.get(n, tuple(map(str, range(n))))
