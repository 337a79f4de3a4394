"""Prediction: what a task says of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One object of a drawing. box: left, top, right, bottom, in pixels of the image. colour: red, green, blue."""

    name: str
    score: float
    box: tuple[float, float, float, float]
    colour: tuple[int, int, int]

    @classmethod
    def of(cls, listed: Mapping[str, Any], colour: Sequence[int]) -> Drawn:
        """An object as predictions list it, with "class", "score" and "box", in a colour of three numbers."""
        left, top, right, bottom = listed["box"]
        r, g, b = colour
        return cls(
            name=listed["class"],
            score=listed["score"],
            box=(left, top, right, bottom),
            colour=(r, g, b),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawing:
    """What a prediction looks like over its image.

    mask: (H, W) uint8, whose part each pixel is, or None. parts: number of the mask -> what it is called, its colour (red,
    green, blue), and how many pixels it has; a number that is not there, such as of a background, is left clear.
    objects: boxes, best first.
    """

    mask: np.ndarray | None = None
    parts: Mapping[int, tuple[str, tuple[int, int, int], int]] = field(default_factory=dict)
    objects: tuple[Drawn, ...] = ()


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

    def drawing(self, classes: Sequence[str]) -> Drawing | None:
        """What it looks like over its image; None for what is no picture. classes: the network's."""
        return None

    @classmethod
    def headings(cls, top: int = 1) -> tuple[str, ...]:
        """The headings of `cells`; one that begins with a blank is right-aligned."""
        return ("prediction",)
