"""Documents: values as JSON that every reader takes, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from striate.wording import as_text

ROWS = 1000  # of a long list that are written at once


def to_json(value: Any, *, indent: int | None = 1, ascii: bool = True) -> str:
    """One JSON document. JSON knows no infinity and no "not a number": they become null, as what is unknown does.

    Arrays, NumPy's numbers among them, become lists and numbers, and what JSON has no kind for its text. ascii: write other
    characters as escapes, which no encoding of a terminal spoils.
    """
    return json.dumps(_plain(value), indent=indent, allow_nan=False, ensure_ascii=ascii)


def json_in_parts(document: Mapping[str, Any], long: str) -> Iterator[str]:
    """`to_json` of a document whose entry `long` is a list of very many rows, piece by piece, so that no copy of all of them
    is made; that entry comes last, a piece of it on each line."""
    rest = to_json({name: value for name, value in document.items() if name != long})
    yield (
        rest.removesuffix("}").rstrip()
        + (",\n " if len(document) > 1 else "\n ")
        + f"{json.dumps(long)}: ["
    )
    rows = document[long]
    for start in range(0, len(rows), ROWS):
        part = to_json(rows[start : start + ROWS], indent=None)[1:-1]
        yield ("," if start else "") + "\n  " + part
    yield "\n ]\n}"


def from_json(text: str | bytes) -> Any:
    """The value of a JSON document; NaN and Infinity, which earlier versions wrote, are None.

    Raises ValueError for text that is no JSON, is no UTF-8 or lies too deep.
    """
    try:
        return json.loads(text, parse_constant=lambda name: None)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return as_text(
            value
        )  # bytes of a file name that are no UTF-8: half of a pair is no JSON to many readers
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {_key(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):  # arrays, tensors and their numbers
        return _plain(value.tolist())
    return as_text(str(value))


def _key(key: Any) -> str:
    key = key.item() if hasattr(key, "item") else key
    if isinstance(key, bool) or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    return as_text(str(key))
