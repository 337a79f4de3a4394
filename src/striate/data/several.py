"""Several labels in one cell: `cat dog`, `cat, dog`, `cat|dog`, `["cat", "dog"]`."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection

# Separators that names of classes rarely hold, and those that they often do.
STRONG, WEAK = ("|", ";"), (",", "/", "+", "&", " ")
WORDS = {
    "|": "bars", ";": "semicolons", ",": "commas", " ": "blanks", "/": "slashes", "+": "plus signs", "&": "ampersands",
}  # fmt: skip


def separator_of(values: Collection[str]) -> str | None:
    """The sign that separates several labels in distinct `values`, or None where each is one label.

    A sign separates where the parts of a value are themselves labels: each stands in other values too. `golden retriever`
    beside `labrador retriever` is a name; `cat dog` beside `cat` and `dog` is two.
    """
    for sign in (*STRONG, *WEAK):
        parts = {value: _parts(value, sign) for value in values}
        several = {value: p for value, p in parts.items() if len(p) > 1}
        if not several:
            continue
        occurs = Counter(part for p in parts.values() for part in set(p))
        known = {value: sum(occurs[part] > 1 for part in p) for value, p in several.items()}
        if sign in STRONG and any(known.values()):
            return sign
        whole = [value for value, p in several.items() if known[value] == len(p)]
        lengths = {len(p) for p in parts.values()}
        turned = len({frozenset(p) for p in several.values()}) < len(several)
        if 2 * len(whole) >= len(several) and (len(lengths) > 1 or turned):
            return sign
    return None


def lists_of(values: Collection[str]) -> dict[str, tuple[str, ...]] | None:
    """Each value as the list that it spells in JSON, Python or NumPy's way; None where one is no list."""
    lists: dict[str, tuple[str, ...]] = {}
    for value in values:
        if not (value[:1] in "[({" and value[-1:] in "])}" and len(value) > 1):
            return None
        try:
            # NumPy writes ['a' 'b'], which Python takes for one word.
            items = ast.literal_eval(re.sub(r"(['\"])\s+(?=['\"])", r"\1, ", value))
            lists[value] = tuple(str(item).strip() for item in items)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            inner = value[1:-1].replace(",", " ").split()
            lists[value] = tuple(item.strip("'\"") for item in inner)
    return lists or None


def _parts(value: str, sign: str) -> tuple[str, ...]:
    cells = value.split() if sign == " " else [cell.strip() for cell in value.split(sign)]
    return tuple(cell for cell in cells if cell)
