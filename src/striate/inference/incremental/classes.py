"""Classes: positions along one axis whose boxes get the same size in every layer.

Every distinct size of a batch is a program of its own, with kernels to prepare, so intervals that are nearly alike
share one size: the largest of theirs. Starting from intervals that agree exactly, the two classes whose union adds the
least arithmetic are joined, and the numbers of classes along the axes are those of the least predicted time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from striate.inference.incremental.lines import Line

LARGEST = 48  # classes to start from; more are joined in pairs of neighbours first


@dataclass(frozen=True)
class Class:
    """A set of intervals (their indices) along one axis.

    sizes: for each value the size of its boxes. starts: for each value where the box of every interval starts, by
    the interval's index (meant for members only).
    """

    members: np.ndarray
    sizes: Mapping[int, int]
    starts: Mapping[int, np.ndarray]


def unite(
    sizes: Sequence[np.ndarray], work: np.ndarray, count: int, overhead: float
) -> tuple[np.ndarray, ...]:
    """For each axis the class of each interval.

    sizes: for each axis (intervals, layers), what each interval changes in each layer. work: (layers,) cost of one
    position. count: how many boxes the intervals are paired to. overhead: cost of one more program.
    """
    ladders = []
    for k, table in enumerate(sizes):
        others = [t.mean(0) for j, t in enumerate(sizes) if j != k]
        weight = work * np.prod(others, axis=0) if others else work
        ladders.append(_ladder(table, weight))
    best: tuple[float, tuple[int, ...]] | None = None
    for rungs in product(*(range(len(ladder)) for ladder in ladders)):
        means = work
        programs = 1
        for ladder, rung, table in zip(ladders, rungs, sizes, strict=True):
            labels = ladder[rung]
            means = means * _largest(table, labels)[labels].mean(0)
            programs *= int(labels.max()) + 1
        cost = float(means.sum()) * count + overhead * min(programs, count)
        if best is None or cost < best[0]:
            best = (cost, rungs)
    assert best is not None
    return tuple(ladder[rung] for ladder, rung in zip(ladders, best[1], strict=True))


def _largest(table: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The largest size of each class in each layer."""
    largest = np.zeros((int(labels.max()) + 1, table.shape[1]), table.dtype)
    np.maximum.at(largest, labels, table)
    return largest


def _ladder(table: np.ndarray, weight: np.ndarray) -> list[np.ndarray]:
    """Labels of every number of classes, from one class up to all that differ (at most LARGEST)."""
    unique, labels = np.unique(table, axis=0, return_inverse=True)
    labels = labels.reshape(-1)
    counts = np.bincount(labels).astype(np.float64)
    tops = unique.astype(np.float64)
    ladder = []

    def join(i: int, j: int) -> None:
        nonlocal tops, counts, labels
        tops[i] = np.maximum(tops[i], tops[j])
        counts[i] += counts[j]
        labels = np.where(labels == j, i, labels)
        labels = labels - (labels > j)
        tops, counts = np.delete(tops, j, 0), np.delete(counts, j)

    while len(tops) > LARGEST:
        a, b = tops[:-1], tops[1:]
        both = np.maximum(a, b)
        added = counts[:-1] * ((both - a) @ weight) + counts[1:] * ((both - b) @ weight)
        i = int(added.argmin())
        join(i, i + 1)
    while True:
        ladder.append(labels)
        if len(tops) == 1:
            return ladder[::-1]
        own = tops @ weight
        both = np.maximum(tops[:, None], tops[None]) @ weight
        added = counts[:, None] * (both - own[:, None]) + counts[None] * (both - own[None])
        added[np.tril_indices(len(tops))] = np.inf
        join(*divmod(int(added.argmin()), len(tops)))


def classes(
    lines: Mapping[int, Line], extents: Mapping[int, int], labels: np.ndarray
) -> list[Class]:
    """The classes of one axis, from the intervals that each value's changes span."""
    groups = []
    for label in range(int(labels.max()) + 1):
        members = np.flatnonzero(labels == label)
        sizes, starts = {}, {}
        for v, spans in lines.items():
            n = extents[v]
            size = max(int(spans.sizes[members].max()), 1)
            sizes[v] = size
            starts[v] = np.minimum(spans.starts, n - size)
        groups.append(Class(members, sizes, starts))
    return groups
