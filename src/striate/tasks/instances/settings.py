"""The settings that instance segmentation adds to a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from striate.tasks.detect.settings import DetectSettings

PIXELS, VOTES = 20.0, 1.0  # weights that are taken where none are given


@dataclass(frozen=True, kw_only=True)
class InstanceSettings(DetectSettings):
    """Those of detection, and the weights of what pixels learn; None means "decided by the data".

    Raises UsageError, naming the setting, when a value is out of range.
    """

    pixels: float | None = None  # weight of the pixels' loss beside the heat map's
    votes: float | None = None  # weight of the votes' loss
