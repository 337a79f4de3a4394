"""The prediction of a classifier: classes with their probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from striate.tasks.prediction import Prediction


@dataclass(frozen=True, kw_only=True)
class ClassPrediction(Prediction):
    """One image's classes with their probabilities, best first."""

    top: tuple[tuple[str, float], ...] = ()

    def rows(self, top: int = 1) -> list[dict[str, Any]]:
        """See Prediction."""
        flat: dict[str, Any] = {"path": self.path, "error": self.error or ""}
        for i in range(top):
            name, probability = self.top[i] if i < len(self.top) else ("", None)
            flat[f"class_{i + 1}"] = name
            flat[f"probability_{i + 1}"] = "" if probability is None else round(probability, 6)
        return [flat]

    def document(self) -> dict[str, Any]:
        """See Prediction."""
        top = [{"class": name, "probability": round(p, 6)} for name, p in self.top]
        return {"path": self.path, "error": self.error, "top": top}

    def cells(self, top: int = 1) -> list[tuple[str, ...]]:
        """See Prediction."""
        line: list[str] = []
        for name, probability in self.top[:top]:
            line += [name, f"{probability:.1%}"]
        return [tuple(line)]

    @classmethod
    def headings(cls, top: int = 1) -> tuple[str, ...]:
        """See Prediction."""
        return ("class", " ", *("", " ") * (top - 1))
