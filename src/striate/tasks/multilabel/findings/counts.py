"""Counts of right and wrong tags, and the precision, recall and F1 that follow."""

from __future__ import annotations

import numpy as np


def counts_of(given: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N, 3, K): of each image and tag whether it is rightly given, wrongly given, or missed."""
    true = targets > 0.5
    return np.stack((given & true, given & ~true, ~given & true), 1).astype(np.float64)


def f1_of(counts: np.ndarray) -> np.ndarray:
    """F1 (...) of counts (..., 3) = (rightly given, wrongly given, missed); nan where a tag is neither given nor there."""
    hits, false, missed = np.moveaxis(counts, -1, 0)
    return ratio(2 * hits, 2 * hits + false + missed)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, arrays of any shape, the same; nan where there is nothing to divide by."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def macro(each: np.ndarray, occurs: np.ndarray) -> np.ndarray:
    """The mean (...) over the tags that occur, of values (..., K) and a mask of their shape; nan where none does."""
    known = occurs & ~np.isnan(each)
    return ratio(np.where(known, each, 0).sum(-1), known.sum(-1).astype(np.float64))
