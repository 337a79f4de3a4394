"""Documents: values as JSON that every reader takes, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, overload

from striate.wording import as_text

ROWS = 1000  # of a long list that are written at once


class Listing(Sequence[dict[str, Any]]):
    """Very many rows that are made when they are asked for: half a million dicts take 2 GB, the arrays behind them 50 MB.

    count: how many. make: (first, last) -> the rows from first on, before last.

    >>> rows = Listing(3, lambda first, last: [{"id": i} for i in range(first, last)])
    >>> rows[-1], len(rows[1:]), [row["id"] for row in rows]
    ({'id': 2}, 2, [0, 1, 2])
    """

    def __init__(self, count: int, make: Callable[[int, int], list[dict[str, Any]]]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, at: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, at: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(at, slice):
            first, last, step = at.indices(self._count)
            if step == 1:
                return self._make(first, max(first, last))
            return [self[i] for i in range(first, last, step)]
        first = at + self._count if at < 0 else at
        if not 0 <= first < self._count:
            raise IndexError(f"row {at} of {self._count}")
        return self._make(first, first + 1)[0]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for start in range(0, self._count, ROWS):
            yield from self._make(start, min(start + ROWS, self._count))

    def tolist(self) -> list[dict[str, Any]]:
        """All rows at once."""
        return self._make(0, self._count)


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
