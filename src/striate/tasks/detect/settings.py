"""The settings that detection adds to a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from striate.ranges import check_fields


@dataclass(frozen=True, kw_only=True)
class DetectSettings:
    """What detection decides beside the recipe; None means "decided by the data".

    Raises UsageError, naming the setting, when a value is out of range.
    """

    edges: float | None = None  # weight of the boxes' loss beside the heat map's
    aimed: float | None = None  # share of crops that are laid over an object
    zoom: float | None = None  # largest zoom of a crop, in or out
    jitter: float | None = None  # largest change of contrast and brightness, of the full scale

    def __post_init__(self) -> None:
        check_fields(self)
