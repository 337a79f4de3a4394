"""Trained: a network with all that an analysis must know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from striate.data import Preprocessing
from striate.tasks.task import Task
from striate.tasks.verbs import Verbs


class FromPixels(nn.Module):
    """The network behind its own normalisation: float images (N, C, H, W) in [0, 1] to what the network gives."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, -1, 1, 1))

    def forward(self, images: torch.Tensor) -> Any:
        """Normalise, then run the network."""
        return self.model((images - self.mean) / self.std)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained(Verbs):
    """A network to be used and analysed: from a run, from published weights, or a person's own.

    name: of the run's folder or the spec. model: in evaluation form, on the CPU. preprocessing: how images become its
    input. classes: names in the order of its outputs. task: what it was trained for. temperature: what logits are divided
    by before the softmax. precision, flip_test, seed: as in the recipe. run: where it comes from, or None.
    calibration: what the task fitted on validation images and needs for predictions, such as thresholds.
    """

    name: str
    model: nn.Module
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    task: Task
    temperature: float = 1.0
    precision: str = "auto"
    flip_test: bool = False
    seed: int = 0
    run: Any = None
    calibration: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pixels(self) -> FromPixels:
        """The network as a module from float images (N, C, H, W) in [0, 1], already of its size."""
        return FromPixels(self.model, self.preprocessing).eval()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(1, C, H, W) of its input."""
        return (1, self.preprocessing.channels, *self.preprocessing.size)

    def read(self, image: str | Path | np.ndarray) -> np.ndarray:
        """An image file, or an image (H, W, C), as the network sees it: (C, H, W) uint8. Raises DataError."""
        return self.task.read(self, Path(image) if isinstance(image, str) else image)

    def normalise(self, batch: torch.Tensor) -> torch.Tensor:
        """uint8 (N, C, H, W) to the network's float32 input."""
        return self.preprocessing.normalise(batch)
