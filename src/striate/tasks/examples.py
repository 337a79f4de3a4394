"""Examples: images of a split as a network takes them, with targets, for analyses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Examples:
    """images: (N, C, H, W) uint8. targets: as in `Batch`, in the network's classes. keys: N names."""

    images: Tensor
    targets: Any
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)
