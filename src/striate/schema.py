"""Schema: whether a mapping that was read from a file holds the keys that it should, each of its kind and in its range."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

KINDS = {
    bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list", dict: "a table",
    type(None): "nothing",
}  # fmt: skip


@dataclass(frozen=True)
class Key:
    """One key: the types that it may have (a float may be written as a whole number), whether it may be missing, and
    `check`, which says what is wrong with a value, such as "must be greater than 0", or "" where nothing is.
    """

    kind: type | tuple[type, ...]
    optional: bool = False
    check: Callable[[Any], str] = lambda value: ""


def expect(raw: Any, keys: Mapping[str, Key], where: str = "", *, more: bool = False) -> None:
    """Raise ValueError, naming the key and what was got, unless `raw` is a mapping of those keys. more: others may be there.

    where: the mapping's own name in the file.
    """
    start = f"{where}." if where else ""
    if not isinstance(raw, Mapping):
        raise ValueError(f"{where or 'it'} must be a table, got {kind_of(raw)}")
    for name, key in keys.items():
        if name not in raw:
            if key.optional:
                continue
            raise ValueError(f"{start}{name} is missing")
        value = raw[name]
        kinds = key.kind if isinstance(key.kind, tuple) else (key.kind,)
        if not is_kind(value, kinds):
            said = " or ".join(KINDS.get(k, f"a {k.__name__}") for k in kinds)
            raise ValueError(f"{start}{name} must be {said}, got {shortened(value)}")
        if wrong := key.check(value):
            raise ValueError(f"{start}{name} {wrong}, got {shortened(value)}")
    if not more and (strange := next((n for n in raw if n not in keys), None)) is not None:
        raise ValueError(f"{start}{shortened(strange)} is no key that Striate writes")


def is_kind(value: Any, kinds: tuple[type, ...]) -> bool:
    """Whether a value is of one of the kinds; true and false are no numbers, and a number is finite."""
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, float):
        return float in kinds and math.isfinite(value)
    if isinstance(value, int) and float in kinds and abs(value) < 2**1000:
        return True
    return isinstance(value, tuple(k for k in kinds if k not in (bool, float)))


def kind_of(value: Any) -> str:
    """The kind of a value, in words."""
    return KINDS.get(type(value), type(value).__name__)


def shortened(value: Any) -> str:
    """A value as a message shows it: at most a line of it, without what moves a terminal."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except (ValueError, RecursionError):  # a number of too many digits, a list that is too deep
        return kind_of(value)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return ascii(text) if isinstance(value, str) else ascii(text)[1:-1]


def above(least: float) -> Callable[[Any], str]:
    """A check: greater than `least`."""
    return lambda value: "" if value > least else f"must be greater than {least:g}"


def within(low: float, high: float) -> Callable[[Any], str]:
    """A check: from `low` to `high`."""
    return lambda value: "" if low <= value <= high else f"must lie between {low:g} and {high:g}"


def one_of(*names: str) -> Callable[[Any], str]:
    """A check: one of some texts."""
    return lambda value: "" if value in names else f"must be one of {', '.join(names)}"


def each(kind: type, check: Callable[[Any], str] = lambda value: "") -> Callable[[Any], str]:
    """A check of a list: every entry is of one kind, and right."""

    def wrong(values: Any) -> str:
        for i, value in enumerate(values):
            if not is_kind(value, (kind,)):
                return f"must hold {KINDS[kind]} at place {i}"
            if said := check(value):
                return f"at place {i} {said}"
        return ""

    return wrong
