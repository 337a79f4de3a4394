"""Quantiles: the top of what every unit ever gives, kept in memory that does not grow with the images."""

from __future__ import annotations

import torch
from torch import Tensor

SLACK = 1e-6  # of a value, by which interpolation between equal ones may fall short of them
KEPT = 2048  # values of a unit that are kept, at most


class TopValues:
    """The threshold above which a share `quantile` of a unit's values lies, over all images and positions.

    units: how many. total: values that a unit will give, images times positions. Up to KEPT values above the threshold it is
    exact; beyond, it is that of positions drawn at random, the same number of each image, and the share above it is off by a
    factor of 1 ± 1 / sqrt(KEPT) or so.
    """

    def __init__(self, units: int, positions: int, images: int, quantile: float, seed: int) -> None:
        share = min(1.0, KEPT / max(quantile * positions * images, 1e-9))
        self.drawn = max(1, min(positions, int(share * positions)))
        self.quantile = quantile
        self.rank = int(quantile * self.drawn * images)  # so many lie above it, at most
        self.positions = positions
        self.generator = torch.Generator().manual_seed(seed)
        self.top = torch.full((units, self.rank + 1), -torch.inf)
        self.waiting: list[Tensor] = []
        self.count = 0

    def take(self, maps: Tensor) -> None:
        """Add maps (n, U, h, w)."""
        n, units = maps.shape[:2]
        rows = maps.reshape(n, units, -1)
        if self.drawn < self.positions:
            at = torch.rand(n, self.positions, generator=self.generator).topk(self.drawn).indices
            rows = rows.gather(2, at.unsqueeze(1).expand(-1, units, -1))
        self.waiting.append(rows.transpose(0, 1).reshape(units, -1))
        self.count += n
        if sum(w.shape[1] for w in self.waiting) > 2 * self.top.shape[1]:
            self._merge()

    def _merge(self) -> None:
        both = torch.cat([self.top, *self.waiting], 1)
        self.top = both.topk(self.top.shape[1], dim=1).values
        self.waiting = []

    def thresholds(self) -> Tensor:
        """(U,): values strictly above it are the top share.

        Where a unit saturates, as behind a ReLU6, more than that share reach its largest value: then it lies just below.
        """
        if self.waiting:
            self._merge()
        at = min(int(self.quantile * self.drawn * self.count), self.rank)
        found = self.top[:, at].clone()
        # A unit that is 0 everywhere stays off; one that is constant is on everywhere, which chance equals.
        saturated = (found == self.top[:, 0]) & (found != 0) & (at > 0)
        return torch.where(saturated, found - SLACK * found.abs(), found)

    @property
    def bytes(self) -> int:
        """Memory that it holds between images."""
        return self.top.nbytes
