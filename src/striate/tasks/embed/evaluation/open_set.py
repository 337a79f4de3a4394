"""Open-set identification: whether those who are enrolled are found, and strangers are not taken for anyone.

P. J. Phillips, P. Grother and R. Micheals, "Evaluation Methods in Face Recognition", Handbook of Face Recognition (2005),
section 2.3: the detection and identification rate at a false alarm rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from striate.errors import DataError
from striate.statistics.clusters import Share, share_of_clusters
from striate.tasks.embed.evaluation.embedded import Embedded
from striate.tasks.embed.evaluation.threshold import Threshold, threshold_at


@dataclass(frozen=True, eq=False)
class Probes:
    """Images that are searched for in a gallery: M of people who are enrolled, S of strangers.

    best: (M,) the similarity to the own identity's nearest image in the gallery. rank: (M,) from 1, of the own identity.
    identity: (M,). strangers: (S,) the highest similarity to anyone. stranger_identity: (S,). enrolled: identities in the
    gallery.
    """

    best: np.ndarray
    rank: np.ndarray
    identity: np.ndarray
    strangers: np.ndarray
    stranger_identity: np.ndarray
    enrolled: int

    def found(self, threshold: float, rank: int = 1) -> Share:
        """The detection and identification rate: probes of the enrolled whose own identity reaches the threshold at that
        rank or before, with its 95 % interval over identities."""
        return _share((self.best >= np.float32(threshold)) & (self.rank <= rank), self.identity)

    def alarms(self, threshold: float) -> Share:
        """The false alarm rate: probes of strangers that reach the threshold with anyone, with its interval."""
        return _share(self.strangers >= np.float32(threshold), self.stranger_identity)

    def threshold(self, rate: float) -> Threshold:
        """The lowest threshold that takes at most `rate` of the strangers' images for somebody. Raises UsageError."""
        return threshold_at(self.strangers, rate)


def identify(embedded: Embedded, *, enrolled: float = 0.5, each: int = 1, seed: int = 0) -> Probes:
    """Enrol `each` images of a share `enrolled` of the identities, drawn by the seed; all other images are probes.

    Those of identities that are not enrolled are strangers; identities with no more than `each` images are. Of a person with
    several images in the gallery the nearest counts. Raises DataError where nobody can be enrolled, or no stranger is left.
    """
    rng = np.random.default_rng(seed)
    able = np.flatnonzero(embedded.counts > each)
    wanted = min(len(able), max(1, round(enrolled * embedded.identities)))
    if not wanted or wanted == embedded.identities:
        raise DataError(
            f"open-set identification enrols {each} of the images of some identities and needs others as strangers; got "
            f"{embedded.identities} identities, {len(able)} of them with more images than that; add identities, or images"
        )
    chosen = np.sort(rng.permutation(able)[:wanted])
    gallery = np.concatenate(
        [embedded.starts[g] + rng.permutation(embedded.counts[g])[:each] for g in chosen]
    )
    return probe(embedded, np.sort(gallery))


def probe(embedded: Embedded, gallery: np.ndarray) -> Probes:
    """Search for all images that are not in the gallery. gallery: (M,) indices in the order of `embedded`, rising."""
    n = len(embedded)
    is_probe = np.ones(n, dtype=bool)
    is_probe[gallery] = False
    names = embedded.identity[gallery]
    begins = np.flatnonzero(np.append(True, names[1:] != names[:-1]))
    people = names[begins]
    column = np.full(embedded.identities, -1)
    column[people] = np.arange(len(people))
    best, rank, who, strangers, stranger_identity = [], [], [], [], []
    for start, stop in embedded.rows():
        rows = np.arange(start, stop)[is_probe[start:stop]]
        if not len(rows):
            continue
        s = np.maximum.reduceat(
            embedded.embeddings[rows] @ embedded.embeddings[gallery].T, begins, axis=1
        )
        own = column[embedded.identity[rows]]
        known = own >= 0
        mine = s[known, own[known]]
        best.append(mine)
        # Another as similar comes first: a tie identifies nobody.
        rank.append((s[known] >= mine[:, None]).sum(1))
        who.append(embedded.labels[rows[known]])
        strangers.append(s[~known].max(1))
        stranger_identity.append(embedded.labels[rows[~known]])
    return Probes(
        np.concatenate(best), np.concatenate(rank), np.concatenate(who), np.concatenate(strangers),
        np.concatenate(stranger_identity), len(people),
    )  # fmt: skip


def _share(hits: np.ndarray, identity: np.ndarray) -> Share:
    _, inverse, of = np.unique(identity, return_inverse=True, return_counts=True)
    return share_of_clusters(np.bincount(inverse, hits, len(of)), of)
