"""Prediction: what a task says of one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One image's prediction, or the `error` why there is none.

    path: the file, or the number of an array. scalars: the numbers that can be explained, by name.
    """

    path: str
    error: str | None = None
    scalars: Mapping[str, float] = field(default_factory=dict, compare=False)

    def rows(self, top: int = 1) -> list[dict[str, Any]]:
        """As flat rows of a table; one at least. top: how many alternatives are shown, where there are any."""
        return [{"path": self.path, **self.scalars, "error": self.error or ""}]

    def document(self) -> dict[str, Any]:
        """As JSON types."""
        return {"path": self.path, **self.scalars, "error": self.error}

    def cells(self, top: int = 1) -> list[tuple[str, ...]]:
        """As lines of a table that a person reads, without the file's name; see `headings`."""
        return [(", ".join(f"{name} {value:.4g}" for name, value in self.scalars.items()),)]

    @classmethod
    def headings(cls, top: int = 1) -> tuple[str, ...]:
        """The headings of `cells`; one that begins with a blank is right-aligned."""
        return ("prediction",)
