"""Similarities of changed images to images as they are, and what a fixed threshold then accepts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.answer import answer_of
from striate.borrow import forward
from striate.errors import DataError
from striate.statistics.clusters import Share, difference_of_clusters, share_of_clusters
from striate.tasks.embed.evaluation.curve import curve_of
from striate.tasks.embed.evaluation.embedded import Embedded
from striate.tasks.embed.findings.held import resolved
from striate.tasks.embed.metric import unit_rows

PIXELS = 2**20  # of images that go through the network at once
SHOWN = (0.05, 0.5, 0.95)  # quantiles of similarities


def embeddings_of(context: Any, images: Tensor) -> np.ndarray:
    """(N, d) float32 embeddings of length 1 of images (N, C, H, W) in [0, 1]; zeros where one has no direction."""
    at_once = max(1, PIXELS // (images.shape[-1] * images.shape[-2]))
    parts = []
    with torch.inference_mode():
        for part in images.split(at_once):
            parts.append(answer_of(forward(context.model, part)).float().cpu().numpy())
    return unit_rows(np.concatenate(parts))


@dataclass(frozen=True, eq=False)
class Gallery:
    """embeddings (N, d) of the images as they are, with identities labels (N,), and the threshold that stays fixed.

    rate: of false accepts that it was chosen for among these very images.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    threshold: float
    rate: float

    @classmethod
    def of(cls, context: Any) -> Gallery:
        """Of a probe context. Raises DataError where no two images are of one identity, or all are."""
        labels = torch.as_tensor(context.targets).cpu().numpy().astype(np.int64)
        embeddings = embeddings_of(context, context.images)
        known = np.linalg.norm(embeddings, axis=1) > 0
        embedded = Embedded.of(embeddings[known], labels[known])
        curve = curve_of(embedded)
        rate = resolved(
            curve.pairs[0]
        )  # which so few pairs may not resolve: then that is what is told
        return cls(embeddings, labels, curve.at_far(rate).threshold, rate)

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.embeddings):
            raise DataError(f"{len(self.embeddings)} images have {len(self.labels)} identities")

    @cached_property
    def identity(self) -> np.ndarray:
        """(N,) 0 to G - 1."""
        inverse: np.ndarray = np.unique(self.labels, return_inverse=True)[1]
        return inverse

    def seen(self, changed: np.ndarray) -> Seen:
        """What the threshold accepts of pairs of a changed image and another one as it is. changed: (N, d)."""
        s = changed @ self.embeddings.T
        same = self.identity[:, None] == self.identity[None]
        np.fill_diagonal(same, False)
        other = self.identity[:, None] != self.identity[None]
        accepts = s >= np.float32(self.threshold)
        g = int(self.identity.max()) + 1

        def by_identity(pairs: np.ndarray) -> np.ndarray:
            return np.bincount(self.identity, pairs.sum(1), g) + np.bincount(self.identity, pairs.sum(0), g)  # fmt: skip

        best_own = np.where(same, s, -np.inf).max(1)
        asked = same.any(1)
        hit = (best_own > np.where(other, s, -np.inf).max(1)) & asked
        return Seen(
            genuine=tuple(np.quantile(s[same], SHOWN)), impostor=tuple(np.quantile(s[other], SHOWN)),
            accepted=by_identity(accepts & same) / 2, genuine_pairs=by_identity(same) / 2,
            false=by_identity(accepts & other), impostor_pairs=by_identity(other),
            hits=np.bincount(self.identity, hit, g), asked=np.bincount(self.identity, asked, g),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Seen:
    """Of a change: quantiles of both kinds of similarities, and (G,) numbers by identity of what is accepted and found.

    A pair of two identities is in both of their numbers.
    """

    genuine: tuple[float, ...]
    impostor: tuple[float, ...]
    accepted: np.ndarray
    genuine_pairs: np.ndarray
    false: np.ndarray
    impostor_pairs: np.ndarray
    hits: np.ndarray
    asked: np.ndarray

    @property
    def tar(self) -> Share:
        """Genuine pairs that are accepted."""
        return share_of_clusters(self.accepted, self.genuine_pairs)

    @property
    def far(self) -> Share:
        """Impostor pairs that are accepted."""
        return share_of_clusters(
            self.false, self.impostor_pairs, count=self.false.sum() / 2, total=self.impostor_pairs.sum() / 2
        )  # fmt: skip

    @property
    def recall(self) -> Share:
        """Changed images whose nearest image as it is is of their identity."""
        return share_of_clusters(self.hits, self.asked)

    def lost(self, clean: Seen) -> tuple[float, float, float]:
        """The change of the true accept rate from `clean`, with its 95 % interval over the same identities."""
        return difference_of_clusters(clean.accepted, self.accepted, self.genuine_pairs)
