"""What the schemas of ATen's operations say: views, writes, and functional twins."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch._ops import OpOverload, OpOverloadPacket

# Operations whose result depends on the data, so that a pass without data cannot go on.
DATA_DEPENDENT = frozenset(
    {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim",
     "unique_consecutive", "bincount", "nms"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """What an operation's schema says, looked up once."""

    name: str
    text: str  # of the overload, such as aten.relu_.default
    view: bool
    writes: tuple[int | str, ...]
    functional: OpOverload
    returns_written: bool


_FACTS: dict[OpOverload, Facts] = {}


def facts(target: OpOverload) -> Facts:
    """What the schema says of views and writes; the functional twin of an in-place operation."""
    known = _FACTS.get(target)
    if known is not None:
        return known
    schema = target._schema
    given = schema.name.split("::")[1]
    name = given
    writes: list[int | str] = []
    for position, argument in enumerate(schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            writes.append(argument.name if argument.kwarg_only else position)
    aliased = [r.alias_info for r in schema.returns if r.alias_info is not None]
    functional = target
    if writes and given.endswith("_") and not given.endswith("__"):
        name = given[:-1]
        functional = _twin(target, getattr(torch.ops.aten, name, None)) or target
    known = Facts(
        name=name,
        text=str(target),
        view=bool(aliased) and not any(a.is_write for a in aliased) and not writes,
        writes=tuple(writes),
        functional=functional,
        returns_written=any(a.is_write for a in aliased),
    )
    _FACTS[target] = known
    return known


def _twin(target: OpOverload, packet: OpOverloadPacket | None) -> OpOverload | None:
    """The overload of `packet` that takes the same arguments: mostly, not always, the one of the same name."""
    if packet is None:
        return None
    names = packet.overloads()
    wanted = [(a.name, str(a.type)) for a in target._schema.arguments]
    for name in sorted(names, key=lambda n: n != target._overloadname):
        found: OpOverload = getattr(packet, name)
        if [(a.name, str(a.type)) for a in found._schema.arguments] == wanted:
            return found
    return None


FACTORIES: dict[str, OpOverload] = {
    "empty": torch.ops.aten.zeros.default,  # what was never written reads zero
    "new_empty": torch.ops.aten.zeros.default,
    "new_empty_strided": torch.ops.aten.zeros.default,
    "new_zeros": torch.ops.aten.zeros.default,
    "new_ones": torch.ops.aten.ones.default,
    "new_full": torch.ops.aten.full.default,
}
