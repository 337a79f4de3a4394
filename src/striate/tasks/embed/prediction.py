"""The prediction of an embedding network: a direction, and the length that it had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from striate.tasks.prediction import Prediction

SHOWN = 4  # numbers of an embedding in a table that a person reads


@dataclass(frozen=True, kw_only=True)
class EmbeddingPrediction(Prediction):
    """One image's embedding of length 1, and the length of the network's own; none where that is 0.

    dimensions: how many numbers it has, or would have.
    """

    embedding: tuple[float, ...] = ()
    length: float | None = None
    dimensions: int = 0

    def rows(self, top: int = 1) -> list[dict[str, Any]]:
        """See Prediction; a column a dimension, e0, e1, ..."""
        numbers: dict[str, Any] = dict.fromkeys(map("e{}".format, range(self.dimensions)), "")
        numbers |= {f"e{i}": value for i, value in enumerate(self.embedding)}
        length = "" if self.length is None else self.length
        return [{"path": self.path, "error": self.error or "", "length": length, **numbers}]

    def document(self) -> dict[str, Any]:
        """See Prediction."""
        return {
            "path": self.path,
            "error": self.error,
            "length": self.length,
            "embedding": list(self.embedding) if self.embedding else None,
        }

    def cells(self, top: int = 1) -> list[tuple[str, ...]]:
        """See Prediction; the first few numbers."""
        first = " ".join(f"{value:+.3f}" for value in self.embedding[:SHOWN])
        more = " ..." if len(self.embedding) > SHOWN else ""
        return [(f"{len(self.embedding)}", f"{self.length or 0:.3g}", first + more)]

    @classmethod
    def headings(cls, top: int = 1) -> tuple[str, ...]:
        """See Prediction."""
        return (" dimensions", " length", "embedding, of length 1")
