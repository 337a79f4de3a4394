"""Layers of units: which values of a traced network are responses of units, and what stands before their activation.

A unit is a channel. Its response is read behind the normalisation and the activation that follow its kernel, wherever
they stand in the code: the chain of operations is followed, not the names or types of modules, so that a functional, an
in-place or a reused ReLU counts as much as an `nn.ReLU`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from torch import Tensor

from striate.errors import UsageError
from striate.geometry import Axis, Geometry, Record, Value
from striate.geometry.layout import BATCH, sizes
from striate.wording import in_quotes

WEIGHTED = frozenset({"convolution", "addmm", "mm", "linear"})
NORMS = frozenset({"native_batch_norm", "native_group_norm", "native_layer_norm"})
POOLS = frozenset({"max_pool2d_with_indices", "avg_pool2d"})
# Zero below some drive: a unit that is off has no gradient.
RECTIFIERS = frozenset({"relu", "hardtanh", "threshold", "clamp_min", "clamp", "relu6"})
ACTIVATIONS = RECTIFIERS | {
    "silu", "gelu", "elu", "leaky_relu", "sigmoid", "tanh", "hardswish", "hardsigmoid", "mish", "softplus", "prelu",
    "selu", "celu", "hardshrink", "softshrink", "rrelu_with_noise",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class UnitLayer:
    """The units of one layer.

    name: as `Geometry` calls the operation that holds the kernels, or the activation where there is none of its own.
    units: how many channels. grid: positions along each axis of the image that is left, rows before columns.
    drive: index of the value before the activation; response: behind it, the same where there is none.
    activation: its operation, or "". weighted: index of the record with the kernels, or None.
    field: the receptive field along each axis of the image, None where everything is seen.
    members: names of all operations from the kernels to the response.
    reaching: whether attention, or statistics over all positions, bring it the rest of the image as well.
    """

    name: str
    units: int
    grid: tuple[int, ...]
    drive: int
    response: int
    activation: str
    weighted: int | None
    field: tuple[Axis | None, ...]
    members: tuple[str, ...]
    reaching: bool = False

    @property
    def rectified(self) -> bool:
        """Whether a response of zero means that the unit is off."""
        return self.activation in RECTIFIERS

    @property
    def middle(self) -> tuple[int, ...]:
        """The position whose field is cut least by the border."""
        return tuple(n // 2 for n in self.grid)


def unit_count(value: Value) -> int | None:
    """Channels of a value, or None where it has no single dimension of them (the heads of an attention)."""
    atoms = [a for dim in value.layout for a in dim]
    plain = [a for a in atoms if a > 1]
    if atoms.count(BATCH) != 1 or len(plain) > 1 or not value.dtype.is_floating_point:
        return None
    return plain[0] if plain else 1


def channels_first(value: Value, tensor: Tensor, batch: int, extents: Sequence[int]) -> Tensor:
    """A value, or a crop of it of `extents` positions, as (N, C, *positions), whatever its own order; a view if it can."""
    kept = iter(extents)
    full = [None if n is None else next(kept) for n in value.extents]
    atoms = [a for dim in value.layout for a in dim]
    if not all(len(dim) == 1 for dim in value.layout):
        shape = [n for dim in value.layout for n in sizes(dim, full, batch)]
        tensor = tensor.reshape(shape)
    order = [atoms.index(BATCH)]
    order += [d for d, a in enumerate(atoms) if a > 1]
    order += sorted((d for d, a in enumerate(atoms) if a < BATCH), key=lambda d: -atoms[d])
    ones = [d for d, a in enumerate(atoms) if a == 1]
    if not any(a > 1 for a in atoms):  # a single unit: one of the ones is its dimension
        order.insert(1, ones.pop(0)) if ones else None
    for d in reversed(ones):
        tensor = tensor.squeeze(d)
        order = [o - (o > d) for o in order]
    tensor = tensor.permute(order)
    return tensor if tensor.dim() == 2 + len(extents) else tensor.unsqueeze(1)


def unit_layers(geometry: Geometry) -> tuple[UnitLayer, ...]:
    """The layers of units in the order they run: every kernel bank, and every activation that stands behind a sum."""
    layers: list[UnitLayer] = []
    taken: set[int] = set()
    live = [r for r in geometry.records if r.live and geometry.values[r.output].varies]
    for record in live:
        if record.op in WEIGHTED and any(geometry.values[i].varies for i in record.inputs[:2]):
            chain = _chain(geometry, record)
            taken |= {r.index for r in chain}
            layers += _layer(geometry, chain, record)
    for record in live:
        if record.op in ACTIVATIONS and record.index not in taken:
            layers += _layer(geometry, [record], None)
    return tuple(sorted(layers, key=lambda x: x.response))


def _chain(geometry: Geometry, record: Record) -> list[Record]:
    """The operations behind a kernel up to its first activation; a pooling belongs to it if a norm or activation follows."""
    chain, kept = [record], 1
    while True:
        readers = [
            r for r in geometry.consumers[chain[-1].output]
            if geometry.records[r].live
        ]  # fmt: skip
        if len(readers) != 1 or chain[-1].output in geometry.outputs:
            break
        after = geometry.records[readers[0]]
        if after.op not in NORMS | POOLS | ACTIVATIONS or after.which:
            break
        chain.append(after)
        if after.op not in POOLS:
            kept = len(chain)
        if after.op in ACTIVATIONS:
            break
    return chain[:kept]


def _layer(geometry: Geometry, chain: Sequence[Record], weighted: Record | None) -> list[UnitLayer]:
    last = chain[-1]
    value = geometry.values[last.output]
    units = unit_count(value)
    if units is None:
        return []
    activated = last.op in ACTIVATIONS
    drive = last.inputs[0] if activated else last.output
    if unit_count(geometry.values[drive]) != units:
        drive = last.output
    layer = next(x for x in geometry.layers if x.record == last.index)
    return [
        UnitLayer(
            name=chain[0].name,
            units=units,
            grid=tuple(n for n in value.extents if n is not None),
            drive=drive,
            response=last.output,
            activation=last.op if activated else "",
            weighted=None if weighted is None else weighted.index,
            field=tuple(
                None if n is None else axis
                for n, axis in zip(value.extents, layer.local_field, strict=True)
            ),
            members=tuple(r.name for r in chain),
            reaching=layer.local_field != layer.receptive_field,
        )
    ]


def find_layer(geometry: Geometry, layers: Sequence[UnitLayer], name: str) -> UnitLayer:
    """The layer of a name: of a kernel bank or of its module, of any operation of the network with channels, or the last
    layer of a stage or block.

    Raises UsageError for one that does not exist, and names the nearest first.
    """
    for layer in layers:
        record = geometry.records[geometry.values[layer.response].producer or 0]
        kernel = geometry.records[layer.weighted] if layer.weighted is not None else record
        if name in (layer.name, geometry.visits[kernel.visit].path):
            return layer
    known = [layer.name for layer in layers]
    plain = {x.name: x for x in geometry.layers}
    if name in plain:
        record = geometry.records[plain[name].record]
        for layer in layers:
            if record.output == layer.response:
                return layer
        made = _layer(geometry, [record], None)
        if made:
            return made[0]
        raise UsageError(
            f"{name} has no channels to look at one by one; layers with units are {_some(known)}"
        )
    inside = [layer for layer in layers if layer.name.startswith(f"{name}.")]
    if inside:  # a stage or block: what it gives
        return inside[-1]
    near = get_close_matches(name, [*known, *plain], 3, 0.3)
    order = list(dict.fromkeys([*near, *known]))
    raise UsageError(f"there is no layer {in_quotes(name)}; layers with units are {_some(order)}")


def find_unit(layer: UnitLayer, unit: int) -> int:
    """The unit's number. Raises UsageError for one that the layer does not have, and names the nearest."""
    if not 0 <= unit < layer.units:
        nearest = min(max(unit, 0), layer.units - 1)
        raise UsageError(
            f"{layer.name} has no unit {unit}; the nearest is {nearest}, they are numbered 0 to {layer.units - 1}"
        )
    return unit


def _some(names: Sequence[str], most: int = 40) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
