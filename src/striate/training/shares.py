"""Shares: which images of a batch, or of a set, are one process's. Integers alone."""

from __future__ import annotations

import numpy as np


def share(count: int, rank: int, size: int) -> tuple[int, int]:
    """(first, end) of the contiguous part of `count` things that process `rank` of `size` takes.

    Parts differ by one at most. Where there are fewer things than processes, the last ones take none.
    """
    each, more = divmod(count, size)
    first = rank * each + min(rank, more)
    return first, first + each + (rank < more)


def parts(count: int, micro: int, rank: int, size: int) -> list[tuple[int, int, int]]:
    """(first, end, number of images) of each micro-batch of a batch of `count` images: those from first to end are taken.

    Every micro-batch, of `micro` images or fewer, is shared out, so that it is the one that a single process has, whatever
    their number. first and end count from the batch's beginning.
    """
    found = []
    for start in range(0, count, micro):
        many = min(micro, count - start)
        first, end = share(many, rank, size)
        found.append((start + first, start + end, many))
    return found


def positions(count: int, micro: int, rank: int, size: int) -> np.ndarray:
    """(n,) int64 places in a batch of the images that process `rank` of `size` takes, see `parts`."""
    spans = [np.arange(first, end) for first, end, _ in parts(count, micro, rank, size)]
    return np.concatenate(spans) if spans else np.zeros(0, dtype=np.int64)
