"""The prediction of a detector: the objects of one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from striate.tasks.detect.objects import Objects
from striate.tasks.prediction import Drawing, Drawn, Prediction
from striate.tasks.segment.data.palette import palette

ALL = slice(None)
LISTED = 20  # objects of an image in a table that a person reads


@dataclass(frozen=True, kw_only=True)
class DetectionPrediction(Prediction):
    """One file's objects, best first, or the `error` why there are none known.

    size: (height, width) in pixels. objects: all that have any likelihood, in pixels of the upright image. sure: the score
    from which on they are taken for objects and shown. classes: the names of their labels. overlay: the picture that was
    written of them.
    """

    size: tuple[int, int] = (0, 0)
    objects: Objects = field(default_factory=lambda: Objects.of([], [], scores=[]), compare=False)
    classes: tuple[str, ...] = field(default=(), repr=False)
    overlay: str = ""
    sure: float = 0.0

    @cached_property
    def shown(self) -> Objects:
        """Those that are taken for objects, best first."""
        return self.objects.sure(self.sure)

    def listed(self, part: slice = ALL) -> list[dict[str, Any]]:
        """Class, score and box (left, top, right, bottom) of each object that is sure enough, or of a part of these, as JSON
        types."""
        objects = self.shown
        if part != ALL:
            objects = objects.take(np.arange(len(objects))[part])
        assert objects.scores is not None
        return [
            {
                "class": self.classes[label],
                "score": round(float(score), 6),
                "box": [round(v, 3) for v in box],
            }
            for label, score, box in zip(
                objects.labels.tolist(),
                objects.scores.tolist(),
                objects.boxes.tolist(),
                strict=True,
            )
        ]

    def rows(self, top: int = 1, part: slice = ALL) -> list[dict[str, Any]]:
        """See Prediction; a row an object, or for a part of them, and one without a class for an image without any."""
        start = {"path": self.path}
        end = {"overlay": self.overlay, "error": self.error or ""}
        names = ("left", "top", "right", "bottom")
        rows = [
            start
            | {"class": o["class"], "score": o["score"]}
            | dict(zip(names, o["box"], strict=True))
            | end
            for o in self.listed(part)
        ]
        empty = dict.fromkeys(("class", "score", *names), "")
        return rows or [start | empty | end]

    def document(self) -> dict[str, Any]:
        """See Prediction."""
        return {
            "path": self.path,
            "size": list(self.size),
            "score_from": self.sure,
            "objects": self.listed(),
            "overlay": self.overlay,
            "error": self.error,
        }

    def cells(self, top: int = 1) -> list[tuple[str, ...]]:
        """See Prediction; a line an object, the best 20."""
        rows: list[tuple[str, ...]] = [
            (o["class"], f"{o['score']:.2f}", " ".join(f"{v:.0f}" for v in o["box"]))
            for o in self.listed()
        ]
        if not rows:
            return [("no objects", "", "")]
        more = len(rows) - LISTED
        return rows[:LISTED] + ([(f"and {more:,} more", "", "")] if more > 0 else [])

    def drawing(self, classes: Sequence[str]) -> Drawing | None:
        """See Prediction; a colour a class."""
        colours = palette(tuple(classes))
        objects = []
        for label, one in zip(self.shown.labels.tolist(), self.listed(), strict=True):
            objects.append(Drawn.of(one, colours[label].tolist()))
        return Drawing(objects=tuple(objects))

    @classmethod
    def headings(cls, top: int = 1) -> tuple[str, ...]:
        """See Prediction."""
        return ("class", " score", " left top right bottom")
