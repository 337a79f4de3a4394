"""Analysis: from a tape to a Geometry. Each call meets its rule; names, costs and liveness are settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.utils import _pytree as pytree

from striate.geometry.costs import multiply_adds
from striate.geometry.geometry import Geometry
from striate.geometry.layout import image, plain
from striate.geometry.record import BOOKKEEPING, Record, Value, Visit
from striate.geometry.rules import decide
from striate.geometry.rules.site import Operand, Site
from striate.geometry.tape import Tape


def analyse(
    tape: Tape,
    module: nn.Module,
    inputs: int,
    outputs: list[int | None],
    rest: tuple[Any, ...],
    tree: pytree.TreeSpec,
    chances: Sequence[str] = (),
    kept: Sequence[str] = (),
) -> Geometry:
    """Apply the rules to every call of the tape that a result or a cost depends on.

    chances: what drew random numbers besides the calls, in words. kept: what the run left changed behind.
    """
    slots, calls = tape.slots, tape.calls
    first = slots[0]
    axes = max(len(first.shape) - 2, 0)
    batch = first.shape[0] if first.shape else 1
    used = _used(tape, outputs)

    none: tuple[None, ...] = (None,) * axes
    shapes = [s.shape for s in slots]
    operands: list[Operand | None] = [None] * len(slots)
    varies = [False] * len(slots)
    none_held: frozenset[str] = frozenset()
    weights = [none_held] * len(slots)
    numbers: dict[int, int] = {}  # slot -> index of its value
    values: list[Value] = []
    runs: list[tuple[str, int, bool]] = []  # operation, visit, whether it varies with the image
    rows: list[tuple[Any, ...]] = []  # what a record holds behind its name
    claimed: set[str] = set()
    sizes = {n: t.numel() for kind, n, t in tape.names.values() if kind == "parameter"}

    def keep(slot: int, source: Any, producer: int | None) -> int:
        operand, s = operands[slot], slots[slot]
        assert operand is not None
        numbers[slot] = len(values)
        values.append(
            Value(len(values), s.shape, s.dtype, operand.layout, operand.extents, source, s.name,
                  producer, varies[slot], s.data)
        )  # fmt: skip
        return numbers[slot]

    def ensure_source(slot: int) -> None:
        if slot in numbers or slots[slot].call is not None:
            return
        s = slots[slot]
        if s.source == "input":
            same = s.shape[2:] == first.shape[2:] and s.shape[:1] == first.shape[:1]
            layout = image(s.shape) if same else plain(s.shape)
            extents: tuple[int | None, ...] = (
                tuple(s.shape[2:]) if same and len(s.shape) > 1 else none
            )
            varies[slot] = True
        else:
            layout, extents = plain(s.shape), none
            if s.source == "parameter":
                weights[slot] = frozenset((s.name,))
        operands[slot] = Operand(s.shape, layout, extents)
        keep(slot, s.source, None)

    for slot in range(inputs):
        ensure_source(slot)
    for number, call in enumerate(calls):
        known = call.known
        used_outputs = [s for s in call.outputs if s in used]
        if not used_outputs:
            if call.state or known.name in BOOKKEEPING or not call.inputs:
                continue
            used_outputs = call.outputs[:1]
        if not used_outputs:
            continue
        for slot in call.inputs:
            if operands[slot] is None:
                ensure_source(slot)
        took = [o for slot in call.inputs if (o := operands[slot]) is not None]
        if len(took) < len(call.inputs):
            continue
        moves = any(varies[slot] for slot in call.inputs)
        held = [weights[slot] for slot in call.inputs if weights[slot]]
        mine = none_held.union(*held)
        macs = multiply_adds(known.name, call, shapes)
        for slot in used_outputs:
            s = slots[slot]
            site = Site(
                known.name, known.tags, call.args, call.kwargs, took, s.shape, s.which, axes,
                batch, tape.visits[call.invocation].norm, s.dtype,
            )  # fmt: skip
            result = decide(site)
            operands[slot] = Operand(s.shape, result.layout, result.extents)
            varies[slot] = moves
            params = 0
            if moves:
                new = mine - claimed
                claimed |= new
                params = sum(sizes[n] for n in new)
            else:
                weights[slot] = mine
            output = keep(slot, "record", len(rows))
            runs.append((known.name, call.invocation, moves))
            rows.append(
                (known.name, known.text, number, s.which, call.args, tuple(call.kwargs.items()),
                 tuple([numbers[i] for i in call.inputs]), output, call.invocation, result.plan, params,
                 macs if slot == used_outputs[0] else 0, slot in used)
            )  # fmt: skip
    for leaf in outputs:
        if leaf is not None:
            ensure_source(leaf)
    names = _names(tape, runs)
    records = [Record(i, n, *row) for i, (n, row) in enumerate(zip(names, rows, strict=True))]
    drawn = [r for r in records if r.live and calls[r.call].draws]
    return Geometry(
        values=tuple(values),
        records=tuple(records),
        visits=tuple([Visit(v.path, v.kind, v.parent, v.number) for v in tape.visits]),
        inputs=tuple([numbers[i] for i in range(inputs)]),
        outputs=tuple([None if leaf is None else numbers[leaf] for leaf in outputs]),
        rest=rest,
        tree=tree,
        axes=axes,
        batch=batch,
        kind=type(module).__name__,
        training=getattr(module, "training", False),
        total_params=sum(sizes.values()),
        unused_params=tuple(sorted(set(sizes) - claimed)),
        writes_input=any(e.version for e in tape.inputs),
        chance=(*[f"{r.name} ({tape.visits[r.visit].kind})" for r in drawn], *chances),
        kept=tuple(kept),
    )


def _used(tape: Tape, outputs: list[int | None]) -> set[int]:
    """The slots that a result of the network depends on."""
    used = {leaf for leaf in outputs if leaf is not None}
    for call in reversed(tape.calls):
        if any(s in used for s in call.outputs):
            used.update(call.inputs)
    return used


def _names(tape: Tape, runs: list[tuple[str, int, bool]]) -> list[str]:
    """Unique names: a submodule's path where it runs one operation, else path and operation, numbered."""
    counted = Counter([visit for op, visit, varies in runs if op not in BOOKKEEPING and varies])
    taken: dict[str, int] = {}
    names = []
    for op, number, varies in runs:
        visit = tape.visits[number]
        alone = counted[number] == 1 and not visit.children and op not in BOOKKEEPING and varies
        op = op.strip("_")
        if alone and visit.path:
            name = visit.path
        else:
            name = f"{visit.path}.{op}" if visit.path else op
        times = taken[name] = taken.get(name, 0) + 1
        names.append(name if times == 1 else f"{name}#{times}")
    return names
