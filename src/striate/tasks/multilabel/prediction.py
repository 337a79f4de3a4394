"""The prediction of a tagger: tags with their probabilities, and which of them are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from striate.tasks.prediction import Prediction


@dataclass(frozen=True, kw_only=True)
class TagPrediction(Prediction):
    """One image's tags. tags: those whose probability reaches their threshold; top: the likeliest, given or not.

    Both hold names with probabilities, the likeliest first.
    """

    tags: tuple[tuple[str, float], ...] = ()
    top: tuple[tuple[str, float], ...] = ()

    def rows(self, top: int = 1) -> list[dict[str, Any]]:
        """See Prediction."""
        flat: dict[str, Any] = {"path": self.path, "error": self.error or ""}
        flat["tags"] = "; ".join(name for name, _ in self.tags)
        for i in range(top):
            name, probability = self.top[i] if i < len(self.top) else ("", None)
            flat[f"tag_{i + 1}"] = name
            flat[f"probability_{i + 1}"] = "" if probability is None else round(probability, 6)
        return [flat]

    def document(self) -> dict[str, Any]:
        """See Prediction."""
        lists = {
            name: [{"tag": tag, "probability": round(p, 6)} for tag, p in pairs]
            for name, pairs in (("tags", self.tags), ("top", self.top))
        }
        return {"path": self.path, "error": self.error, **lists}

    def cells(self, top: int = 1) -> list[tuple[str, ...]]:
        """See Prediction; all tags that are given, and the likeliest others up to `top`."""
        given = ", ".join(f"{name} {p:.0%}" for name, p in self.tags) or "no tag"
        names = {name for name, _ in self.tags}
        others = [f"{name} {p:.0%}" for name, p in self.top[:top] if name not in names]
        return [(given, "", ", ".join(others))]

    @classmethod
    def headings(cls, top: int = 1) -> tuple[str, ...]:
        """See Prediction."""
        return ("tags", "", "not given")
