"""Verification at a threshold: false and true accepts with intervals over identities, by group where groups are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from striate.statistics.clusters import (
    Share,
    jackknife_variance,
    score_interval,
    share_of_clusters,
    without_each,
)
from striate.tasks.embed.evaluation.curve import Curve, Point
from striate.tasks.embed.evaluation.embedded import Embedded

PLACES = 4096


@dataclass(frozen=True)
class Rates:
    """At a threshold: far, the share of impostor pairs that are accepted, and tar, that of genuine pairs."""

    threshold: float
    far: Share
    tar: Share


@dataclass(frozen=True, eq=False)
class Accepted:
    """What a threshold accepts, by identity: (G,) impostor pairs that each takes part in, and its genuine pairs."""

    impostors: np.ndarray
    genuine: np.ndarray
    impostor_pairs: np.ndarray
    genuine_pairs: np.ndarray


def accepted_at(embedded: Embedded, threshold: float) -> Accepted:
    """Pairs of similarity `threshold` or more, by identity."""
    g = embedded.identities
    impostors, genuine = np.zeros(g), np.zeros(g)
    for start, s, same in embedded.upper():
        with np.errstate(invalid="ignore"):
            accepts = s >= np.float32(threshold)
        rows, columns = embedded.identity[start : start + len(s)], embedded.identity[start:]
        impostor = accepts & ~same
        impostors += np.bincount(rows, impostor.sum(1), g) + np.bincount(columns, impostor.sum(0), g)  # fmt: skip
        genuine += np.bincount(rows, (accepts & same).sum(1), g)
    n = embedded.counts
    return Accepted(impostors, genuine, n * (len(embedded) - n), n * (n - 1) / 2)


def rates_at(embedded: Embedded, threshold: float) -> Rates:
    """False and true accepts of all pairs, each with its 95 % interval over identities and Wilson's over pairs.

    Wilson's takes pairs for independent, which they are not, since each image stands in many; the interval over identities
    is the one that holds. Rates are nan where there are no such pairs.
    """
    seen = accepted_at(embedded, threshold)
    far = share_of_clusters(
        seen.impostors, seen.impostor_pairs, count=seen.impostors.sum() / 2, total=seen.impostor_pairs.sum() / 2
    )  # fmt: skip
    return Rates(threshold, far, share_of_clusters(seen.genuine, seen.genuine_pairs))


def rates_by_group(
    embedded: Embedded, groups: Sequence[object] | np.ndarray, threshold: float
) -> Mapping[str, Rates]:
    """As `rates_at`, of the pairs within each group, in order of their names. groups: (N,) one an image as it was given."""
    names = np.array([str(group) for group in groups])
    return {name: rates_at(embedded.take(names == name), threshold) for name in sorted(set(names))}


def eer_interval(embedded: Embedded, curve: Curve) -> tuple[Point, tuple[float, float]]:
    """The equal error rate's point and its 95 % interval over identities.

    By the delta method: without an identity both rates change at the threshold, and where they cross moves by their changes,
    weighed by how steep the curves of both are there.
    """
    point = curve.eer()
    far, tar, slope = _without_each(embedded, curve, point)
    # d(EER) = (b dFAR + a dFRR) / (a + b), with a, b the slopes of FAR and of FRR; slope = b / a
    change = (slope * far - tar) / (1 + slope)
    return point, _interval(point.far, change, embedded)


def tar_interval(
    embedded: Embedded, curve: Curve, rate: float
) -> tuple[Point, tuple[float, float]]:
    """The true accept rate at a false accept rate, and its 95 % interval over identities, by the delta method as above."""
    point = curve.at_far(rate)
    far, tar, slope = _without_each(embedded, curve, point)
    return point, _interval(point.tar, tar - slope * far, embedded)


def auc_interval(embedded: Embedded, curve: Curve) -> tuple[float, float]:
    """The 95 % interval over identities of the area under the ROC.

    The area is the mean over genuine pairs of the share of impostor pairs below them, and over impostor pairs of the share
    of genuine pairs above: leaving out an identity changes both means (DeLong, DeLong and Clarke-Pearson 1988, of single
    samples). Shares of genuine pairs are read off at 4,096 of them.
    """
    g = embedded.identities
    genuine, impostors = np.zeros(g), np.zeros(g)
    every = max(1, len(curve.thresholds) // PLACES)
    rising = curve.thresholds[::-1][::every]
    above, below = curve.tar[::-1][::every], 1 - curve.far[::-1][::every]
    for start, s, same in embedded.upper():
        known = ~np.isnan(s)
        at = np.clip(np.searchsorted(rising, np.where(known, s, 0), side="right") - 1, 0, None)
        rows, columns = embedded.identity[start : start + len(s)], embedded.identity[start:]
        genuine += np.bincount(rows, np.where(same & known, below[at], 0).sum(1), g)
        placed = np.where(~same & known, above[at], 0)
        impostors += np.bincount(rows, placed.sum(1), g) + np.bincount(columns, placed.sum(0), g)
    n = embedded.counts
    changes = np.zeros(g)
    for sums, of, twice in (
        (genuine, n * (n - 1) / 2, 1),
        (impostors, n * (len(embedded) - n), 2),
    ):
        count, total = sums.sum() / twice, of.sum() / twice
        changes += without_each(sums, of, count, total) - count / total
    return _interval(curve.auc, changes, embedded)


def _without_each(
    embedded: Embedded, curve: Curve, point: Point
) -> tuple[np.ndarray, np.ndarray, float]:
    """(G,) changes of both rates at a point's threshold where an identity is left out, and the ROC's slope there."""
    seen = accepted_at(embedded, point.threshold)
    changes = []
    for counts, of, twice in (
        (seen.impostors, seen.impostor_pairs, 2),
        (seen.genuine, seen.genuine_pairs, 1),
    ):
        total, count = of.sum() / twice, counts.sum() / twice
        changes.append(without_each(counts, of, count, total) - count / total)
    return changes[0], changes[1], curve.slope(max(point.far, curve.finest))


def _interval(rate: float, changes: np.ndarray, embedded: Embedded) -> tuple[float, float]:
    g = int((~np.isnan(changes)).sum())
    if g < 2:
        return 0.0, 1.0
    variance, spread = jackknife_variance(changes), rate * (1 - rate)
    effective = float(g) if spread <= 0 or variance <= 0 else spread / variance
    return score_interval(rate, effective, g)
