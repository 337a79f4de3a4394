"""Images with a class for every pixel: sources, masks, crops."""

from __future__ import annotations

from striate.tasks.segment.data.coding import IGNORE
from striate.tasks.segment.data.source import MaskSource, MaskSplit
from striate.tasks.segment.data.sources import MASK_SOURCES, is_mask_data, open_masks

__all__ = ["IGNORE", "MASK_SOURCES", "MaskSource", "MaskSplit", "is_mask_data", "open_masks"]
