"""Settings: frozen dataclasses whose fields a person may give as text, with one sentence for each mistake."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from striate.errors import UsageError

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
SWITCH = {**dict.fromkeys(YES, True), **dict.fromkeys(NO, False)}


def names_of(kind: type) -> list[str]:
    """The names of a settings class."""
    return [field.name for field in fields(kind)]


def unknown(name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that no setting has, with the nearest one."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"settings are {', '.join(known)}"
    return UsageError(f"no setting is called {name!r}; {hint}")


def coerce(kind: type, name: str, value: Any) -> Any:
    """`value` (text from a command line, or already typed) as the type of setting `name` of class `kind`.

    Raises UsageError for text that the type does not admit.
    """
    hint = typing.get_type_hints(kind)[name]
    options = [t for t in (typing.get_args(hint) or (hint,)) if t is not types.NoneType]
    to = options[0]
    optional = types.NoneType in typing.get_args(hint)
    none = getattr(kind, "NONE", {}).get(name, ("none", "auto"))
    if optional and (value is None or str(value).lower() in none):
        return None
    if to not in WORDS:
        return value
    try:
        if to is bool:
            return value if isinstance(value, bool) else SWITCH[str(value).lower()]
        if to is not int or isinstance(value, int):
            return to(value)
        if float(value) != int(float(value)):
            raise ValueError
        # A whole number of more than 15 digits is no float; `1e3` is no whole number's text.
        return int(value) if str(value).strip().lstrip("+-").isdecimal() else int(float(value))
    except (ValueError, KeyError, TypeError, OverflowError):
        raise UsageError(f"{name} must be {WORDS[to]}, got {value!r}") from None


def require_choice(settings: Any, choices: Mapping[str, tuple[str, ...]]) -> None:
    """Raise UsageError where a setting is none of its choices."""
    for name, allowed in choices.items():
        value = getattr(settings, name)
        if value is not None and value not in allowed:
            raise UsageError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
