"""What the schemas of ATen's operations say: views, writes, and functional twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch._ops import OpOverload, OpOverloadPacket

from striate.geometry.shapes import FAST, Shape

# Operations whose result depends on the data, so that a pass without data cannot continue.
DATA_DEPENDENT = frozenset(
    {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim",
     "unique_consecutive", "bincount", "nms"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """What an operation's schema says, looked up once."""

    target: OpOverload
    name: str
    text: str  # of the overload, such as aten.relu_.default
    view: bool
    writes: tuple[int | str, ...]
    functional: OpOverload
    returns_written: bool
    composite: bool  # made of other operations, which torch shows instead except in inference mode
    seeded: bool  # may draw random numbers
    tags: frozenset[torch.Tag]
    shape: Shape | None  # of the result, without torch: see `FAST`


# By id, which is looked up in a third of the time that an overload's own hash takes; `target` keeps it its own.
_FACTS: dict[int, Facts] = {}


def facts(target: OpOverload) -> Facts:
    """What the schema says of views and writes; the functional twin of an in-place operation."""
    known = _FACTS.get(id(target))
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
        target=target,
        name=name,
        text=str(target),
        view=bool(aliased) and not any(a.is_write for a in aliased) and not writes,
        writes=tuple(writes),
        functional=functional,
        returns_written=any(a.is_write for a in aliased),
        composite=target.has_kernel_for_dispatch_key(
            torch._C.DispatchKey.CompositeImplicitAutograd
        ),
        seeded=torch.Tag.nondeterministic_seeded in target.tags,
        tags=frozenset(target.tags),
        shape=FAST.get(target),
    )
    _FACTS[id(target)] = known
    return known


def _like(argument: torch.Argument) -> tuple[str, str, bool]:
    """What must be the same of an argument; a call leaves out one that has its default."""
    return argument.name, str(argument.type), argument.has_default_value()


def _twin(target: OpOverload, packet: OpOverloadPacket | None) -> OpOverload | None:
    """The overload of `packet` that takes the same arguments: mostly, not always, the one of the same name."""
    if packet is None:
        return None
    names = packet.overloads()
    expected = [_like(a) for a in target._schema.arguments]
    for name in sorted(names, key=lambda n: n != target._overloadname):
        twin: OpOverload = getattr(packet, name)
        if [_like(a) for a in twin._schema.arguments] == expected:
            return twin
    return None


RATES = frozenset({"p", "dropout_p", "dropout"})
SWITCHES = frozenset({"train", "training", "is_training"})


def draws(target: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call draws random numbers: torch marks those that can; a rate of 0 and evaluation form draw none."""
    if not facts(target).seeded:
        return False
    for place, argument in enumerate(target._schema.arguments):
        given = (
            args[place] if place < len(args) else kwargs.get(argument.name, argument.default_value)
        )
        if argument.name in RATES and isinstance(given, (int, float)) and given == 0:
            return False
        if argument.name in SWITCHES and given is False:
            return False
    return True


FACTORIES: dict[str, OpOverload] = {
    "empty": torch.ops.aten.zeros.default,  # what was never written reads zero
    "new_empty": torch.ops.aten.zeros.default,
    "new_empty_strided": torch.ops.aten.zeros.default,
    "new_zeros": torch.ops.aten.zeros.default,
    "new_ones": torch.ops.aten.ones.default,
    "new_full": torch.ops.aten.full.default,
}
