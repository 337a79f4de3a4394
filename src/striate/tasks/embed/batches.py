"""Batches of several images of each of several identities."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from striate.training.batches import TrainingBatches

LOOKED_AHEAD = 4  # batches' worth of groups in which identities are looked for that a batch lacks


@dataclass(frozen=True, kw_only=True)
class BalancedBatches(TrainingBatches):
    """Endless batches of P identities with `each` = K images of every one, P x K = `batch` (Hermans et al. 2017, section 2).

    An epoch takes every identity as often as its images fill K, at least once, so that each image comes about once; of an
    identity with fewer than K images some come again. A batch holds P different identities as far as there are so many. Step
    s is the same whether the loop began at 0 or at s.
    """

    each: int

    @property
    def identities(self) -> int:
        """P, at least 2, or all there are."""
        return min(max(2, self.batch // self.each), self.present)

    @cached_property
    def present(self) -> int:
        """Identities that there are."""
        return len(self.images.labels.unique())

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the images."""
        return max(1, len(self.images) // (self.identities * self.each))

    def order(self, epoch: int) -> list[torch.Tensor]:
        """The index tensors of one epoch, (P * K,) each."""
        rng = np.random.default_rng((self.seed, epoch))
        labels = self.images.labels.numpy()
        by_identity = np.argsort(labels, kind="stable")
        _, counts = np.unique(labels, return_counts=True)
        images = np.split(by_identity, np.cumsum(counts)[:-1])
        # An identity's groups stand at even distances in the epoch, so that they rarely meet in a batch.
        groups: list[tuple[float, int, np.ndarray]] = []
        for identity, mine in enumerate(images):
            parts = in_groups(mine, self.each, rng)
            groups += [((k + rng.random()) / len(parts), identity, g) for k, g in enumerate(parts)]
        waiting = deque(group[1:] for group in sorted(groups, key=lambda group: group[:2]))
        batches = []
        for _ in range(self.steps_per_epoch):
            batch: dict[int, np.ndarray] = {}
            later: list[tuple[int, np.ndarray]] = []
            while (
                waiting
                and len(batch) < self.identities
                and len(later) < LOOKED_AHEAD * self.identities
            ):
                identity, group = waiting.popleft()
                if identity in batch:
                    later.append((identity, group))
                else:
                    batch[identity] = group
            waiting.extendleft(reversed(later))
            while len(batch) < self.identities:  # one identity has most of what is left
                identity = int(rng.integers(len(images)))
                if identity not in batch:
                    batch[identity] = in_groups(images[identity], self.each, rng)[0]
            batches.append(torch.from_numpy(np.concatenate(list(batch.values()))))
        return batches


def in_groups(images: np.ndarray, each: int, rng: np.random.Generator) -> list[np.ndarray]:
    """An identity's images (n,) int64 in groups of `each`, in a random order; the last is filled up from the others."""
    order = rng.permutation(images)
    last = order[len(order) - len(order) % each :]
    short = -len(order) % each
    if short:
        others = rng.permutation(order[: len(order) - len(last)])[:short]
        filled = np.concatenate([order, others, np.resize(order, short - len(others))])
        return np.split(filled, len(filled) // each)
    return np.split(order, len(order) // each)
