"""Batches of several images of each of several identities."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from striate.training.batches import TrainingBatches


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
        return min(max(2, self.batch // self.each), len(self.images.labels.unique()))

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the images."""
        return max(1, len(self.images) // (self.identities * self.each))

    def order(self, epoch: int) -> list[torch.Tensor]:
        """The index tensors of one epoch, (P * K,) each."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        labels = self.images.labels
        by_identity = torch.argsort(labels, stable=True)
        counts = torch.bincount(labels)
        groups: dict[int, list[torch.Tensor]] = {}
        for identity, images in enumerate(by_identity.split(counts.tolist())):
            if len(images):
                groups[identity] = self._groups(images, generator)
        batches: list[torch.Tensor] = []
        for _ in range(self.steps_per_epoch):
            drawn = self._drawn(groups, generator)
            for identity in drawn:
                if not groups[identity]:
                    mine = by_identity[labels[by_identity] == identity]
                    groups[identity] = self._groups(mine, generator)
            batches.append(torch.cat([groups[identity].pop() for identity in drawn]))
        return batches

    def _groups(self, images: torch.Tensor, generator: torch.Generator) -> list[torch.Tensor]:
        """An identity's images in groups of K, in a random order; the last is filled up from the others."""
        order = images[torch.randperm(len(images), generator=generator)]
        short = -len(order) % self.each
        if short:
            spare = order[: max(0, len(order) - len(order) % self.each)]
            pool = spare if len(spare) else order
            again = pool[torch.randperm(len(pool), generator=generator)]
            order = torch.cat([order, again.repeat(-(-short // len(again)))[:short]])
        return list(order.split(self.each))

    def _drawn(
        self, groups: dict[int, list[torch.Tensor]], generator: torch.Generator
    ) -> list[int]:
        """P different identities, those with the most images still to come first; ties at random."""
        names = list(groups)
        left = torch.tensor([float(len(groups[name])) for name in names])
        order = torch.argsort(left + torch.rand(len(names), generator=generator), descending=True)
        return [names[i] for i in order[: self.identities].tolist()]
