"""How names, numbers and shares read in sentences and on axes: written once, for every room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def short(name: str, limit: int = 16) -> str:
    """The name, cut to `limit` characters with an ellipsis."""
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


def quoted(name: str) -> str:
    """A name inside a sentence."""
    return f"“{short(name, 40)}”"


def listed(names: Sequence[str], limit: int = 3) -> str:
    """`“a”, “b” and 4 more`."""
    text = ", ".join(quoted(name) for name in names[:limit])
    return f"{text} and {len(names) - limit:,} more" if len(names) > limit else text


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 layer`, `2 layers`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def percent(fraction: float, decimals: int = 1) -> str:
    """A fraction as `98.6 %`; `100 %` and `0 %` only where it is exactly that, else `>99.9 %` and `<0.1 %`."""
    if fraction in (0, 1):
        return f"{100 * fraction:.0f} %"
    text = f"{100 * fraction:.{decimals}f}"
    least = 10.0**-decimals  # the last digit shown, in per cent
    if float(text) == 100 and fraction < 1:
        return f">{100 - least:.{decimals}f} %"
    if float(text) == 0 and fraction > 0:
        return f"<{least:.{decimals}f} %"
    return f"{text} %"


def points(change: float) -> str:
    """The size of a change of a share, a fraction, as `31 points`."""
    value = abs(100 * change)
    return f"{value:.0f} points" if value >= 10 else f"{value:.1f} points"


def name_of(thing: Any) -> str:
    """Where a function, class or object comes from, such as `shop.losses:Focal`."""
    if not hasattr(thing, "__qualname__"):
        thing = type(thing)
    return f"{thing.__module__}:{thing.__qualname__}"


def as_sentence(text: str) -> str:
    """The text as one sentence: a capital letter first and a full stop last.

    A first word that is a file, path or option keeps its letters, since `Tags.csv` may be another file than `tags.csv`.
    """
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    is_name = any(c in first.rstrip(".,:;") for c in "./\\_=-") or any(c.isdigit() for c in first)
    return (text if is_name else text[:1].upper() + text[1:]).rstrip(".") + "."
