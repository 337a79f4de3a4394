"""Verification curves: true and false accepts at every threshold, the ROC, and the equal error rate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from striate.errors import DataError
from striate.tasks.embed.evaluation.embedded import Embedded
from striate.tasks.embed.evaluation.threshold import RULE_OF_THREE, TINY, refuse_rate

ONE_IDENTITY = "all images are of one identity, so that nobody could be taken for somebody else; add images of others"
NO_SECOND = (
    "no identity has two images, so that none could be recognised; add a second image of some"
)
EXACT = 1 << 22  # pairs up to which every similarity is a threshold
BINS = (
    1 << 18
)  # thresholds of more, evenly between the least and the greatest similarity; their counts are exact too


class Point(NamedTuple):
    """An operating point: the threshold, the rate of false accepts and that of true ones."""

    threshold: float
    far: float
    tar: float


@dataclass(frozen=True, eq=False)
class Curve:
    """How many pairs have a similarity of each threshold or more.

    thresholds (T,) falling. impostors, genuine: (T,) int64 pairs that each accepts. pairs: impostor pairs, genuine pairs.
    """

    thresholds: np.ndarray
    impostors: np.ndarray
    genuine: np.ndarray
    pairs: tuple[int, int]

    @cached_property
    def far(self) -> np.ndarray:
        """(T,) false accept rates."""
        return self.impostors / self.pairs[0]

    @cached_property
    def tar(self) -> np.ndarray:
        """(T,) true accept rates, 1 minus the false reject rates."""
        return self.genuine / self.pairs[1]

    @property
    def auc(self) -> float:
        """The area under the ROC: how often a genuine pair is more similar than an impostor pair, ties half."""
        x, y = np.append(0.0, self.far), np.append(0.0, self.tar)
        return float(np.trapezoid(y, x))

    def eer(self) -> Point:
        """Where false accepts and false rejects are as frequent, linear between thresholds; `far` is the rate."""
        x, y = np.append(0.0, self.far), np.append(0.0, self.tar)
        t = np.append(self.thresholds[0], self.thresholds)
        gap = x - (1 - y)  # rises from -1 to 1
        i = int(np.argmax(gap >= 0))
        step = gap[i] - gap[i - 1]
        part = -gap[i - 1] / step if step > 0 else 0.0
        rate = float(x[i - 1] + part * (x[i] - x[i - 1]))
        return Point(float(t[i - 1] + part * (t[i] - t[i - 1])), rate, 1 - rate)

    def at_far(self, rate: float) -> Point:
        """The lowest threshold that accepts at most `rate` of the impostor pairs. Raises UsageError below 3 / pairs."""
        refuse_rate(rate, self.pairs[0])
        allowed = int(np.floor(rate * self.pairs[0] + TINY))
        i = int(np.searchsorted(self.impostors, allowed, side="right")) - 1
        if i < 0:  # even the highest similarity is of too many impostor pairs
            return Point(float(np.nextafter(np.float32(self.thresholds[0]), np.float32(np.inf))), 0.0, 0.0)  # fmt: skip
        return Point(float(self.thresholds[i]), float(self.far[i]), float(self.tar[i]))

    def slope(self, far: float) -> float:
        """By how much the true accept rate rises with the false one around `far`, from half as many to twice as many."""
        low, high = np.searchsorted(self.far, [far / 2, min(1.0, far * 2)], side="right") - 1
        x = [0.0 if i < 0 else self.far[i] for i in (low, high)]
        y = [0.0 if i < 0 else self.tar[i] for i in (low, high)]
        return float((y[1] - y[0]) / (x[1] - x[0])) if x[1] > x[0] else 0.0

    @property
    def finest(self) -> float:
        """The lowest false accept rate that the pairs resolve, 3 / pairs."""
        return RULE_OF_THREE / self.pairs[0]

    def thinned(self, most: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(M,) thresholds, false and true accept rates for a drawing: evenly by the logarithm of the false ones."""
        first = max(1, int(self.impostors[self.impostors > 0][0]) if self.impostors[-1] else 1)
        wanted = np.geomspace(first, self.pairs[0], most)
        chosen = np.unique(
            np.clip(np.searchsorted(self.impostors, wanted, side="right") - 1, 0, None)
        )
        return self.thresholds[chosen], self.far[chosen], self.tar[chosen]


def curve_of(embedded: Embedded) -> Curve:
    """The curve of all pairs of N images. Raises DataError where there are no genuine or no impostor pairs."""
    refuse_no_pairs(embedded)
    if len(embedded) * (len(embedded) - 1) // 2 <= EXACT:
        genuine, impostor = [], []
        for _, s, same in embedded.upper():
            known = ~np.isnan(s)
            genuine.append(s[same & known])
            impostor.append(s[~same & known])
        return curve_from(np.concatenate(genuine), np.concatenate(impostor))
    return _binned(embedded)


def curve_from(genuine: np.ndarray, impostor: np.ndarray) -> Curve:
    """The curve of given similarities, genuine (M,) and impostor (N,)."""
    g, i = np.sort(genuine), np.sort(impostor)
    thresholds = np.unique(np.concatenate((g, i)))[::-1]
    return Curve(
        thresholds,
        len(i) - np.searchsorted(i, thresholds, side="left"),
        len(g) - np.searchsorted(g, thresholds, side="left"),
        (len(i), len(g)),
    )


def refuse_no_pairs(embedded: Embedded) -> None:
    """Raise DataError where no two images are of one identity, or none of different ones."""
    refuse_nothing(embedded)
    if not embedded.impostor_pairs:
        raise DataError(ONE_IDENTITY)
    if not embedded.genuine_pairs:
        raise DataError(NO_SECOND)


def refuse_nothing(embedded: Embedded) -> None:
    """Raise DataError where there is no image."""
    if not len(embedded):
        raise DataError(
            "no image has an embedding with a direction: the network gives zeros, or what is no number; train it again with "
            "a lower learning rate"
        )


def _binned(embedded: Embedded) -> Curve:
    """Counts at evenly spaced thresholds: a pair counts in the bin of the highest threshold that accepts it."""
    low, high = np.inf, -np.inf
    for _, s, _same in embedded.upper():
        known = s[~np.isnan(s)]
        low, high = float(known.min(initial=low)), float(known.max(initial=high))
    edges = np.linspace(low, high, BINS, dtype=np.float32)
    width = max((high - low) / (BINS - 1), 1e-12)
    counts = np.zeros((2, BINS), dtype=np.int64)
    for _, s, same in embedded.upper():
        known = ~np.isnan(s)
        values, kind = s[known], same[known]
        at = np.clip(((values - low) / width).astype(np.int64), 0, BINS - 1)
        # Rounding may miss by one: the count at an edge is of the similarities that reach it, exactly.
        at -= values < edges[at]
        above = np.minimum(at + 1, BINS - 1)
        at = np.where(values >= edges[above], above, np.maximum(at, 0))
        for which, mask in enumerate((~kind, kind)):
            counts[which] += np.bincount(at[mask], minlength=BINS)
    falling = counts[:, ::-1].cumsum(1)
    used = np.flatnonzero(counts.sum(0)[::-1])
    pairs = (embedded.impostor_pairs, embedded.genuine_pairs)
    return Curve(edges[::-1][used], falling[0, used], falling[1, used], pairs)
