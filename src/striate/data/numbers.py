"""Numbers as people write them in a table: 3.5, "3,5", 1,234.5, 12 %, nan."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from striate.data.kinds import DOUBTFUL, MISSING
from striate.errors import DataError

INFINITE = frozenset({"inf", "+inf", "-inf", "infinity", "-infinity", "+infinity", "∞", "-∞"})
NOTHING = MISSING | DOUBTFUL | {""}
_POINT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
_COMMA_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")
_POINT_THOUSANDS = re.compile(r"[-+]?\d{1,3}(\.\d{3})+,\d*")
# Units that a heading ends with, as in weight_kg.
UNITS = frozenset({
    "kg", "g", "mg", "t", "lb", "lbs", "oz", "m", "cm", "mm", "um", "nm", "km", "ft", "inch", "inches", "px", "pixels",
    "years", "year", "yrs", "months", "days", "hours", "h", "hrs", "minutes", "seconds", "s", "ms", "l", "ml", "degrees",
    "deg", "c", "f", "k", "celsius", "kelvin", "percent", "pct", "eur", "usd", "gbp", "chf", "hz", "khz", "mhz", "pa",
    "kpa", "bar", "v", "a", "w", "kw", "m2", "km2", "ha", "m3", "ppm", "ph", "mmhg", "bpm", "kcal", "kj",
})  # fmt: skip
_WITH_UNIT = re.compile(r"([-+]?[\d.,]*\d)(\s*)([^\W\d_]+[23]?)")
_BRACKET = re.compile(r"(.*?)\s*[\[(]([^\[\]()]+)[\])]\s*")


def unit_of(heading: str) -> tuple[str, str]:
    """The name and the unit of a heading; the unit is empty where none stands there.

    >>> unit_of("age [years]"), unit_of("weight_kg"), unit_of("score")
    (('age', 'years'), ('weight', 'kg'), ('score', ''))
    """
    if match := _BRACKET.fullmatch(heading):
        return match[1].strip() or heading, match[2].strip()
    name, _, last = heading.strip().rpartition("_")
    if name and last.casefold() in UNITS:
        return name, last
    return heading.strip(), ""


def without_unit(texts: Sequence[str]) -> tuple[list[str], str]:
    """The cells of a column without the unit that all its numbers end with, and the unit; as they are where there is none.

    A unit of one letter stands behind a space: 4a and 5a are names.

    >>> without_unit(["2.5 kg", "", "12 kg"]), without_unit(["4a", "5a"])
    ((['2.5', '', '12'], 'kg'), (['4a', '5a'], ''))
    """
    found = [_WITH_UNIT.fullmatch(text.strip()) for text in texts if text not in NOTHING]
    units = {m[3] if m is not None else "" for m in found}
    unit = units.pop() if len(units) == 1 else ""
    spaced = all(m is not None and (m[2] or len(unit) > 1) for m in found)
    if unit.casefold() not in UNITS or not spaced:
        return list(texts), ""
    return [t if t in NOTHING else t.strip().removesuffix(unit).strip() for t in texts], unit


def is_number(text: str) -> bool:
    """Whether a cell is a number in one of the ways people write one, infinity among them."""
    bare = text.strip().removesuffix("%").strip()
    return bare.casefold() in INFINITE or any(
        form.fullmatch(bare) for form in (_POINT, _COMMA, _COMMA_THOUSANDS, _POINT_THOUSANDS)
    )


def numbers_of(texts: Sequence[str], where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The numbers of a column, (N,) float64, nan where there is none, and what was assumed, a sentence each.

    where: the table and the column, for messages. Infinite numbers stay infinite. Raises DataError for a text that is no
    number, and for "1,234" in a column that leaves open what its comma is.
    """
    bare = [text.strip().removesuffix("%").strip() for text in texts]
    there = [text for text in bare if text not in NOTHING and text.casefold() not in INFINITE]
    for text in there:
        if not is_number(text):
            raise DataError(
                f"{where} holds {text!r}, which is no number; write a number, or leave the cell empty"
            )
    commas = [text for text in there if "," in text]
    decimal = any("," in t and not _COMMA_THOUSANDS.fullmatch(t) for t in commas)
    thousands = any("." in t and t.index(",") < t.rindex(".") for t in commas)
    if commas and decimal and (thousands or any("." in t and "," not in t for t in there)):
        plain = next(t for t in there if "." in t)
        odd = next(t for t in commas if not _COMMA_THOUSANDS.fullmatch(t))
        raise DataError(
            f"{where} writes decimals with a point ({plain}) and with a comma ({odd}); write all of them with a point"
        )
    if commas and not decimal and not thousands:
        raise DataError(
            f"{where} holds {commas[0]!r}, which may be {commas[0].replace(',', '')} or {commas[0].replace(',', '.')}; "
            "write the numbers without a separator of thousands and with a decimal point"
        )
    remarks = []
    if decimal:
        remarks.append(f"the comma is the decimal point in {where} ({commas[0]})")
    elif commas:
        remarks.append(f"the comma separates thousands in {where} ({commas[0]})")
    return np.array([_value(text, decimal) for text in bare], dtype=np.float64), tuple(remarks)


def _value(text: str, comma: bool) -> float:
    if text in NOTHING:
        return math.nan
    if text.casefold() in INFINITE:
        return -math.inf if text.startswith("-") else math.inf
    return float(text.replace(".", "").replace(",", ".") if comma else text.replace(",", ""))
