"""Pairs: all pairs of unit vectors that are at least so similar, in blocks, so that memory grows with the vectors alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

BLOCK = 1024  # rows and columns of similarities that are held at a time


def pairs_above(
    vectors: np.ndarray, threshold: float, *, groups: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pairs i < j of vectors (N, d) whose product is `threshold` or more, block by block: similarities, i and j, (m,) each.

    groups: (N,) numbers; only pairs of different ones are looked at.
    """
    for start in range(0, len(vectors), BLOCK):
        rows = vectors[start : start + BLOCK]
        for other in range(start, len(vectors), BLOCK):
            columns = vectors[other : other + BLOCK]
            if groups is not None:
                held = np.unique(np.concatenate((groups[start : start + BLOCK], groups[other : other + BLOCK])))  # fmt: skip
                if len(held) == 1:  # of one group alone
                    continue
            scores = rows @ columns.T
            i, j = np.nonzero(scores >= threshold)
            keep = i + start < j + other
            if groups is not None:
                keep &= groups[i + start] != groups[j + other]
            i, j = i[keep], j[keep]
            if len(i):
                yield scores[i, j], i + start, j + other


def similar_pairs(
    vectors: np.ndarray, threshold: float, *, groups: np.ndarray | None = None, most: int | None = None,
    seen: Callable[[np.ndarray, np.ndarray], None] = lambda i, j: None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:  # fmt: skip
    """`pairs_above`, the most similar first: similarities, i and j, (m,) each, and how many pairs there are in all.

    vectors: (N, d). groups: (N,). most: so many are kept. seen: called with i and j, (m,), of every pair, of those too that
    are not kept.
    """
    best = (np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64))
    total = 0
    for found in pairs_above(vectors, threshold, groups=groups):
        total += len(found[0])
        seen(found[1], found[2])
        if most is not None and len(best[0]) == most:
            # What comes after all that are kept need not be sorted: of equals too, or a million equal pairs would be, a
            # block, where many images are the same.
            worst, last, other = best[0][-1], best[1][-1], best[2][-1]
            before = (found[1] < last) | ((found[1] == last) & (found[2] < other))
            reach = (found[0] > worst) | ((found[0] == worst) & before)
            found = tuple(part[reach] for part in found)
            if not len(found[0]):
                continue
        scores = np.concatenate((best[0], found[0]))
        i, j = np.concatenate((best[1], found[1])), np.concatenate((best[2], found[2]))
        order = np.lexsort((j, i, -scores))[:most]
        best = scores[order], i[order], j[order]
    return *best, total
