"""The settings that detection adds to a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from striate.errors import UsageError
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
    longest: int | None = (
        None  # pixels to which larger images are reduced, along the longer side; 0: none is
    )
    enlarge: float | None = None  # by how much all images are enlarged, or reduced below 1

    regions: int | None = (
        None  # of an image that a second pass learns from, and half as many anchors
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.longest and (self.enlarge or 1.0) != 1.0:
            raise UsageError(
                f"longest = {self.longest} and enlarge = {self.enlarge:g} both say at which size images are seen; give one: "
                "longest for photographs of any size, enlarge where a pixel always shows as much"
            )
