"""The settings that semantic segmentation adds to a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from striate.ranges import check_fields
from striate.training.settings import require_choice


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """What segmentation decides beside the recipe; None means "decided by the data".

    Raises UsageError, naming the setting, when a value is out of range.
    """

    NONE: ClassVar[dict[str, tuple[str, ...]]] = {
        "ignore": ("auto",)
    }  # "none" is a value of its own

    masks: str | None = (
        None  # what masks hold: numbers, colours, binary (0 or not), nearest (smoothed)
    )
    ignore: str | None = (
        None  # the value of pixels without a label, such as 255 or #ffffff, or none
    )
    foreground: float | None = None  # share of crops laid over one of the rarer classes
    dice: float | None = None  # weight of the Dice loss beside the cross-entropy
    class_weights: bool | None = None  # rare classes weigh more in the cross-entropy
    zoom: float | None = None  # largest zoom of a crop, in or out
    jitter: float | None = None  # largest change of contrast and brightness, of the full scale

    def __post_init__(self) -> None:
        require_choice(self, {"masks": ("numbers", "colours", "binary", "nearest")})
        check_fields(self)
