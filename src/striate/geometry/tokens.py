"""Tokens: what each patch sees where tokens that see nothing stand before them, as the class token of a transformer.

Joined with others, the tokens of an image are no axis of it any more, so that rules give every value behind them the whole
image. What follows until the first attention works on each token by itself, though: the place of the tokens among a value's
dimensions is followed here, through that alone. Where it is lost, the whole image stands, which is never too little.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import torch

from striate.geometry.plan import target
from striate.geometry.record import Record, Ref, Value
from striate.geometry.rules.pointwise import RULES, pointwise

if TYPE_CHECKING:
    from striate.geometry.geometry import Geometry

VIEWS = frozenset(
    {"view", "_unsafe_view", "reshape", "_reshape_alias", "flatten", "unflatten", "squeeze", "unsqueeze"}
)  # fmt: skip
PRODUCTS = frozenset({"addmm", "mm", "linear"})


@dataclass(frozen=True, slots=True)
class Tokens:
    """Where the patches of an image stand in a value: `count` of them along dimension `dim`, from entry `first` on.

    origin: index of the value that they came from, whose axes they were.
    """

    dim: int
    first: int
    count: int
    origin: int


def follow(geometry: Geometry, record: Record, known: dict[int, Tokens]) -> Tokens | None:
    """The tokens of what a record makes; None where it has none, keeps its axes, or mixes them.

    known: the tokens of the values before it.
    """
    out = geometry.values[record.output]
    if out.spatial:
        return None
    places = [n for n, i in enumerate(record.inputs) if i in known]
    if not places:
        return _joined(geometry, record, out)
    if _is_pointwise(record):
        return _added(geometry, record, out, known, places)
    if record.op in ("cat", "concat"):
        return _extended(geometry, record, known, places)
    if places != [_position(record, 1 if record.op == "addmm" else 0)]:
        return None
    inside = record.inputs[places[0]]
    dim = _moved(record, geometry.values[inside].shape, out.shape, known[inside])
    if dim is None:
        return None
    if isinstance(dim, Tokens):
        return dim
    return replace(known[inside], dim=dim)


def _is_pointwise(record: Record) -> bool:
    """By its own operation: the plan of a value without axes does not say."""
    if record.op in RULES:
        return RULES[record.op] is pointwise
    overload: Any = target(record.target)
    return torch.Tag.pointwise in overload.tags


def _position(record: Record, argument: int) -> int | None:
    value = record.args[argument] if argument < len(record.args) else None
    return value.position if isinstance(value, Ref) else None


def _joined(geometry: Geometry, record: Record, out: Value) -> Tokens | None:
    """The patches of one value behind or before entries that see nothing of the image."""
    if record.op not in ("cat", "concat"):
        return None
    dim = _dimension(record, len(out.shape))
    first, found = 0, None
    for i in record.inputs:
        value = geometry.values[i]
        if value.varies:
            axes = [a for a in value.layout[dim] if a < -1]
            if found is not None or len(axes) != sum(n is not None for n in value.extents):
                return None
            count = prod(n for n in value.extents if n is not None)
            if not axes or count != value.shape[dim]:
                return None
            found = Tokens(dim, first, count, i)
        first += value.shape[dim]
    return found


def _added(
    geometry: Geometry, record: Record, out: Value, known: dict[int, Tokens], places: list[int]
) -> Tokens | None:
    """Of an operation on each entry by itself: the tokens that all its inputs have at one place."""
    found = set()
    for n in places:
        value, tokens = geometry.values[record.inputs[n]], known[record.inputs[n]]
        dim = tokens.dim + len(out.shape) - len(value.shape)
        if value.shape[tokens.dim] != out.shape[dim]:
            return None
        found.add(replace(tokens, dim=dim))
    return found.pop() if len(found) == 1 else None


def _extended(
    geometry: Geometry, record: Record, known: dict[int, Tokens], places: list[int]
) -> Tokens | None:
    """Of a second joining, as of registers: the tokens of one input, where no other sees anything."""
    if len(places) != 1:
        return None
    at = places[0]
    tokens = known[record.inputs[at]]
    others = [geometry.values[i] for n, i in enumerate(record.inputs) if n != at]
    if any(o.varies for o in others):
        return None
    if _dimension(record, len(geometry.values[record.output].shape)) != tokens.dim:
        return tokens
    before = sum(geometry.values[i].shape[tokens.dim] for i in record.inputs[:at])
    return replace(tokens, first=tokens.first + before)


def _dimension(record: Record, ndim: int) -> int:
    given = record.args[1] if len(record.args) > 1 else dict(record.kwargs).get("dim", 0)
    return int(given) % ndim


def _moved(
    record: Record, inside: tuple[int, ...], out: tuple[int, ...], tokens: Tokens
) -> int | Tokens | None:
    """The dimension of the tokens behind an operation that leaves each by itself; None for any other."""
    d, size, ndim = tokens.dim, inside[tokens.dim], len(inside)

    def arg(place: int, default: Any = None) -> Any:
        return record.args[place] if len(record.args) > place else default

    if record.op in VIEWS:
        before = prod(inside[:d])
        same = [e for e, n in enumerate(out) if n == size and prod(out[:e]) == before]
        return same[-1] if same else None
    if record.op in ("permute",):
        return [int(a) % ndim for a in arg(1)].index(d)
    if record.op in ("transpose", "t", "swapaxes"):
        a, b = (arg(1, 0) % ndim, arg(2, 1) % ndim)
        return b if d == a else a if d == b else d
    if record.op == "expand":
        return d + len(out) - ndim if size > 1 else None
    if record.op == "native_layer_norm":
        return d if d < ndim - len(arg(1)) else None
    if record.op in PRODUCTS:
        return d if d < ndim - 1 else None
    if record.op in ("select", "unbind"):
        gone = arg(1, 0) % ndim
        return None if gone == d else d - (gone < d)
    if record.op in ("split", "split_with_sizes", "chunk"):
        return d if out[d] == size else None
    if record.op == "slice":
        if arg(1, 0) % ndim != d or out[d] == size:
            return d
        start = arg(2) or 0
        first = tokens.first - (start + size if start < 0 else start)
        whole = arg(4, 1) == 1 and first >= 0 and first + tokens.count <= out[d]
        return replace(tokens, first=first) if whole else None
    return None
