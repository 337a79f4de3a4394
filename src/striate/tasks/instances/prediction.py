"""The prediction of instance segmentation: the objects of one image with their masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from striate.tasks.detect.objects import Objects
from striate.tasks.detect.prediction import ALL, DetectionPrediction
from striate.tasks.instances.drawing import colour_of
from striate.tasks.instances.panoptic import apart
from striate.tasks.prediction import Drawing, Drawn

NUMBERED = 254  # objects that a mask of bytes tells apart


@dataclass(frozen=True, kw_only=True)
class InstancePrediction(DetectionPrediction):
    """As DetectionPrediction; `objects` have regions. labels: the label image that was written, of object numbers."""

    objects: Objects = field(
        default_factory=lambda: Objects.of([], [], scores=[], regions=[]), compare=False
    )
    labels: str = ""

    @cached_property
    def shown(self) -> Objects:
        """Those that are taken for objects, best first, with every pixel given to the best that has it; see `apart`. Their
        numbers, from 1, are those of the label image."""
        return apart(self.objects.sure(self.sure))

    def listed(self, part: slice = ALL) -> list[dict[str, Any]]:
        """As of a detection, and the area of each object in pixels."""
        areas = self.shown.areas[part].tolist()
        return [one | {"area": int(a)} for one, a in zip(super().listed(part), areas, strict=True)]

    def rows(self, top: int = 1, part: slice = ALL) -> list[dict[str, Any]]:
        """See Prediction."""
        areas: list[Any] = [one["area"] for one in self.listed(part)] or [""]
        rows = super().rows(top, part)
        return [
            {k: v for k, v in row.items() if k not in ("overlay", "error")}
            | {
                "area": area,
                "labels": self.labels,
                "overlay": row["overlay"],
                "error": row["error"],
            }
            for row, area in zip(rows, areas, strict=True)
        ]

    def document(self) -> dict[str, Any]:
        """See Prediction."""
        return super().document() | {"labels": self.labels}

    def cells(self, top: int = 1) -> list[tuple[str, ...]]:
        """See Prediction."""
        rows = super().cells(top)
        areas = [f"{one['area']:,}" for one in self.listed()]
        return [
            (*row, areas[i] if i < min(len(areas), len(rows)) else "") for i, row in enumerate(rows)
        ]

    def drawing(self, classes: Sequence[str]) -> Drawing | None:
        """See Prediction; a colour an object, and the mask holds the best 254 of them by their numbers, from 1."""
        shown, (height, width) = self.shown, self.size
        mask = np.zeros((height, width), np.uint8)
        parts, objects = {}, []
        for i, one in enumerate(self.listed()):
            r, g, b = colour_of(i).tolist()
            objects.append(Drawn.of(one, (r, g, b)))
            if i < NUMBERED and shown.regions is not None:
                mask[shown.regions[i].full(height, width)] = i + 1
                parts[i + 1] = (f"{i + 1}: {one['class']}", (r, g, b), one["area"])
        return Drawing(mask=mask, parts=parts, objects=tuple(objects))

    @classmethod
    def headings(cls, top: int = 1) -> tuple[str, ...]:
        """See Prediction."""
        return (*super().headings(top), " pixels")
