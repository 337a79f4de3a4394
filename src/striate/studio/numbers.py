"""Numbers: what a question of the page must hold, read one by one, since anybody may send anything on a socket."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from striate.errors import UsageError

Box = tuple[tuple[int, int], tuple[int, int]]


def text_in(question: Mapping[str, Any], name: str) -> str:
    """Raises UsageError where there is none."""
    value = question.get(name)
    if not isinstance(value, str) or len(value) > 200:
        raise UsageError(f"the page sent no {name}; load it again")
    return value


def whole_in(question: Mapping[str, Any], name: str, least: int, most: int) -> int:
    """A whole number from `least` to `most`. Raises UsageError for anything else."""
    value = question.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(f"{name} is a whole number from {least} to {most}, got {value!r:.40}")
    return value


def number_from(value: Any, name: str, least: float, most: float) -> float:
    """A number from `least` to `most`. Raises UsageError for anything else."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not least <= value <= most:
        raise UsageError(f"{name} is a number from {least:g} to {most:g}, got {value!r:.40}")
    return float(value)


def box_in(question: Mapping[str, Any], shape: tuple[int, ...]) -> Box:
    """Rows and columns, ((top, bottom), (left, right)), inside an image (C, H, W). Raises UsageError for anything else."""
    given = question.get("box")
    try:
        (top, bottom), (left, right) = given  # type: ignore[misc]
    except (TypeError, ValueError):
        raise UsageError("the page sent no box; load it again") from None
    height, width = shape[1:]
    rows = {"top": (top, 0, height - 1), "bottom": (bottom, 1, height)}
    columns = {"left": (left, 0, width - 1), "right": (right, 1, width)}
    for name, (value, least, most) in {**rows, **columns}.items():
        whole_in({name: value}, name, least, most)
    if not (top < bottom and left < right):
        raise UsageError(
            f"the box holds no pixel: rows {top} to {bottom}, columns {left} to {right}"
        )
    return (top, bottom), (left, right)
