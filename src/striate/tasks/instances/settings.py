"""The settings that instance segmentation adds to a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from striate.tasks.detect.settings import DetectSettings

PIXELS, VOTES = 20.0, 1.0  # weights that are taken where none are given
MASKS = 1.0  # the same of the pixels of Mask R-CNN, as in its paper


@dataclass(frozen=True, kw_only=True)
class InstanceSettings(DetectSettings):
    """Those of detection, and the weights of what pixels learn; None means "decided by the data".

    Raises UsageError, naming the setting, when a value is out of range.
    """

    pixels: float | None = (
        None  # weight of the pixels' loss beside the heat map's, or the masks' of Mask R-CNN
    )
    votes: float | None = None  # weight of the votes' loss
