"""Pages of a TIFF."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from striate.images import MAX_PIXELS, read_image


def read_tiff_page(path: Path, page: int, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Page `page` of a TIFF of several: pixels (H, W, C). Raises DataError with the file's name."""
    return read_image(path, page=page, max_pixels=max_pixels)
