"""Images with a class for every pixel: sources, masks, crops."""

from __future__ import annotations

from striate.data.masks.coding import IGNORE
from striate.data.masks.opening import MASK_SOURCES, is_mask_data, open_masks
from striate.data.masks.source import MaskSource, MaskSplit

__all__ = ["IGNORE", "MASK_SOURCES", "MaskSource", "MaskSplit", "is_mask_data", "open_masks"]
