"""The drawings of the pages: each function gives a Picture, and `.save("name.png")` writes it."""

from __future__ import annotations

from striate.lectures.draw.curves import bars, curves
from striate.lectures.draw.flow import flow
from striate.lectures.draw.images import images
from striate.lectures.draw.matrices import matrices
from striate.lectures.draw.picture import Picture, finding, saving_to
from striate.lectures.draw.tables import tables
from striate.lectures.draw.units import units
from striate.lectures.draw.volumes import volumes

__all__ = [
    "Picture",
    "bars",
    "curves",
    "finding",
    "flow",
    "images",
    "matrices",
    "saving_to",
    "tables",
    "units",
    "volumes",
]
