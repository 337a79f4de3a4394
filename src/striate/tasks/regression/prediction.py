"""The prediction of a regression: numbers with their units and intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from striate.tasks.prediction import Prediction


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number: its name and unit, and the interval that holds the truth with the probability `level`, if one is known."""

    name: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None
    level: float = 0.9

    def texts(self) -> tuple[str, str]:
        """The value with its unit, and the interval, rounded to what the interval's width leaves certain."""
        unit = f" {self.unit}" if self.unit else ""
        if self.low is None or self.high is None:
            return f"{self.value:.4g}{unit}", ""
        places = digits((self.high - self.low) / 2)
        value, low, high = (rounded(x, places) for x in (self.value, self.low, self.high))
        return f"{value}{unit}", f"{low} to {high}{unit}"


def digits(step: float) -> int:
    """Places after the point that show a step with two digits; negative for steps of 100 and more."""
    return 1 - math.floor(math.log10(step)) if step > 0 else 3


def rounded(value: float, places: int) -> str:
    """A number with that many places, without a minus before zero."""
    text = f"{round(value, places):.{max(places, 0)}f}"
    return text.removeprefix("-") if not any(c in "123456789" for c in text) else text


@dataclass(frozen=True, kw_only=True)
class NumberPrediction(Prediction):
    """One image's numbers."""

    numbers: tuple[Number, ...] = ()

    def rows(self, top: int = 1) -> list[dict[str, Any]]:
        """See Prediction; a row a number."""
        base = {"path": self.path, "error": self.error or ""}
        return [{**base, **_flat(number)} for number in self.numbers] or [
            {**base, **dict.fromkeys(("target", "value", "low", "high", "unit"), "")}
        ]

    def document(self) -> dict[str, Any]:
        """See Prediction."""
        numbers = []
        for number in self.numbers:
            flat = _flat(number)
            bounds = {name: None if flat[name] == "" else flat[name] for name in ("low", "high")}
            numbers.append({**flat, **bounds, "level": number.level})
        return {"path": self.path, "error": self.error, "numbers": numbers}

    def cells(self, top: int = 1) -> list[tuple[str, ...]]:
        """See Prediction; a line a number."""
        return [(number.name, *number.texts()) for number in self.numbers] or [("", "", "")]

    @classmethod
    def headings(cls, top: int = 1) -> tuple[str, ...]:
        """See Prediction."""
        return ("", " value", " 90 % interval")


def _flat(number: Number) -> dict[str, Any]:
    bounds = {
        "low": "" if number.low is None else number.low,
        "high": "" if number.high is None else number.high,
    }
    flat = {"target": number.name, "value": number.value, **bounds, "unit": number.unit}
    return {k: float(f"{v:.7g}") if isinstance(v, float) else v for k, v in flat.items()}
