"""Retrieval: each image is searched for among all others: recall at k, mean average precision, R-precision, MAP@R."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.errors import DataError
from striate.statistics.clusters import Share, share_of_clusters
from striate.tasks.embed.evaluation.curve import refuse_nothing
from striate.tasks.embed.evaluation.embedded import Embedded

KS = (1, 5, 10)


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What a search with each of Q images finds, those whose identity has another image.

    queries: (Q,) their indices as they were given. identity: (Q,) their labels. first: (Q,) the rank, from 1, of the nearest
    image of the same identity. precision: (Q,) average precision over all ranks. r_precision, map_at_r: (Q,) with R other
    images of the identity, the share of them among the R nearest, and the average precision of those R (Musgrave, Belongie
    and Lim 2020, "A Metric Learning Reality Check", section 3).
    """

    queries: np.ndarray
    identity: np.ndarray
    first: np.ndarray
    precision: np.ndarray
    r_precision: np.ndarray
    map_at_r: np.ndarray

    def recall(self, k: int) -> Share:
        """The share of queries with an image of their identity among the k nearest others, over identities."""
        return self.mean(self.first <= k)

    def mean(self, values: np.ndarray) -> Share:
        """The mean of a number a query (Q,) in [0, 1], with its 95 % interval over identities."""
        _, inverse, of = np.unique(self.identity, return_inverse=True, return_counts=True)
        return share_of_clusters(np.bincount(inverse, values), of)

    def scores(self, ks: Sequence[int] = KS) -> dict[str, Share]:
        """All measures by name, with intervals over identities."""
        return {
            **{f"recall_at_{k}": self.recall(k) for k in ks},
            "mean_average_precision": self.mean(self.precision),
            "r_precision": self.mean(self.r_precision),
            "map_at_r": self.mean(self.map_at_r),
        }


def retrieve(embedded: Embedded) -> Retrieval:
    """Search with every image for the others of its identity among all other images.

    An image of another identity that is as similar comes first: a tie finds nobody, so that embeddings which are all the
    same find none. Raises DataError where no identity has two images.
    """
    refuse_nothing(embedded)
    counts = embedded.counts[embedded.identity]
    if not (counts > 1).any():
        raise DataError(
            "no identity has two images, so that none could be found; add a second image of some"
        )
    parts: list[tuple[float, float, float, float]] = []
    for start, stop in embedded.rows():
        s = embedded.embeddings[start:stop] @ embedded.embeddings.T
        for i in range(start, stop):
            if counts[i] > 1:
                parts.append(_of_query(s[i - start], i, embedded))
    first, precision, r_precision, map_at_r = np.array(parts).T
    asked = counts > 1
    back = np.argsort(embedded.order[asked])
    return Retrieval(
        embedded.order[asked][back], embedded.labels[asked][back], first[back].astype(np.int64), precision[back],
        r_precision[back], map_at_r[back],
    )  # fmt: skip


def _of_query(s: np.ndarray, i: int, embedded: Embedded) -> tuple[float, float, float, float]:
    """First rank, average precision, R-precision and MAP@R from an image's similarities (N,) to all."""
    begin = embedded.starts[embedded.identity[i]]
    end = begin + embedded.counts[embedded.identity[i]]
    own = np.sort(np.delete(s[begin:end], i - begin))[::-1]
    # Only those that reach the least similar image of the identity stand before any of them.
    others = np.concatenate((s[:begin], s[end:]))
    before = np.sort(others[others >= own[-1]])
    found = np.arange(1, len(own) + 1)
    ranks = found + len(before) - np.searchsorted(before, own, side="left")
    within = ranks <= len(own)
    shares = found / ranks
    return (
        float(ranks[0]), float(shares.mean()), float(within.mean()), float(shares[within].sum() / len(own)),
    )  # fmt: skip
