"""How names, numbers and shares read in sentences and on axes: written once, for every room."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

# Controls (C0 without the line feed, C1), what reorders or breaks a line, and halves of pairs, which no encoding has.
_STEERING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NOT_TEXT = re.compile("[\ud800-\udfff]")
FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
)  # begin a formula in a spreadsheet
_NUMBER = re.compile(r"[+-]?(\d[\d,]*\.?\d*|\.\d+)(e[+-]?\d+)? ?%?", re.IGNORECASE | re.ASCII)


def printable(text: str) -> str:
    """The text with what steers a terminal, reorders a line or is no character written out, as in `a\\x1b[2J.png`.

    Bytes of a file name that are no UTF-8 are written as bytes, `caf\\xe9.png`; a line feed stays. Different texts stay
    different.
    """
    return _STEERING.sub(_written_out, text)


def one_line(name: str) -> str:
    """A name as `printable`, its line feeds written out too."""
    return printable(name).replace("\n", "\\n")


def in_quotes(name: str) -> str:
    """What a person wrote, in quotation marks inside a message: as `one_line`, where `repr` gives a byte that is no UTF-8 as
    half of a character."""
    return f"'{one_line(name)}'"


def as_text(text: str) -> str:
    """The text with the bytes of file names that are no UTF-8 written out, as JSON, TOML and UTF-8 need it."""
    return _NOT_TEXT.sub(_written_out, text)


def cell_of_csv(value: Any) -> Any:
    """A value as a cell of CSV: texts on one line, and with an apostrophe in front where a spreadsheet would calculate them.

    Numbers, and texts that are numbers, stay as they are.
    """
    if not isinstance(value, str):
        return value
    text = one_line(value)
    formula = value.lstrip(" ").startswith(FORMULA) and not _NUMBER.fullmatch(value.strip(" "))
    return f"'{text}" if formula else text


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFF:
        return f"\\x{code:02x}"
    # os.fsdecode keeps the byte b of a name as U+DC00 + b.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


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
