"""Subject: a trained network with all that an analysis must know of it, from a run or from published weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from striate.data import Preparation
from striate.errors import UsageError
from striate.memory import keep_large_buffers
from striate.models import MODELS, build, imagenet_classes
from striate.models import preparation as preparation_of
from striate.runs.run import Run

IMAGENET = 1000  # classes of published weights


class FromPixels(nn.Module):
    """The network behind its own normalisation: float images (N, C, H, W) in [0, 1] to what the network gives."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: nn.Module, preparation: Preparation) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(preparation.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(preparation.std).view(1, -1, 1, 1))

    def forward(self, images: torch.Tensor) -> Any:
        """Normalise, then run the network."""
        return self.model((images - self.mean) / self.std)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network to be analysed.

    name: of the run's folder or the spec. model: in evaluation form, on the CPU. preparation: how images become its
    input. classes: in the order of its logits. temperature: what logits are divided by before the softmax. run: where
    it comes from, or None.
    """

    name: str
    model: nn.Module
    preparation: Preparation
    classes: tuple[str, ...]
    temperature: float = 1.0
    run: Run | None = None

    @property
    def pixels(self) -> FromPixels:
        """The network as a module from float images (N, C, H, W) in [0, 1], already of its size."""
        return FromPixels(self.model, self.preparation).eval()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(1, C, H, W) of its input."""
        return (1, self.preparation.channels, *self.preparation.size)

    def read(self, path: str | Path) -> np.ndarray:
        """An image file as the network sees it: (C, H, W) uint8; where pixels are labelled at its own size.

        Raises DataError.
        """
        if self.run is not None and self.run.labels_pixels:
            return self.preparation.read_colours(path)
        return self.preparation.read(Path(path))

    def normalise(self, batch: torch.Tensor) -> torch.Tensor:
        """uint8 (N, C, H, W) to the network's float32 input."""
        return self.preparation.normalise(batch)


def open_subject(target: str | Path | Run, *, weights: str | Path | None = None) -> Subject:
    """A run's network, or the network that a spec names with its published weights.

    target: a run, its folder, or a spec such as `efficientnet-lite0` or `timm/NAME`. weights: a file for a spec instead
    of published ones. Raises UsageError or RunError where there is no such run, spec or weights.
    """
    keep_large_buffers()  # what follows runs the network many times
    if not isinstance(target, Run) and Path(target).is_dir():
        target = Run.load(target)
    if isinstance(target, Run):
        return Subject(
            name=target.path.name,
            model=target.model,
            preparation=target.preparation,
            classes=target.classes,
            temperature=target.temperature,
            run=target,
        )
    spec = str(target)
    if spec not in MODELS and not spec.startswith("timm/") and any(c in spec for c in "/\\"):
        raise UsageError(
            f"there is no run at {spec}; give the folder that `striate train` made, or a model such as efficientnet-lite0"
        )
    known = preparation_of(spec)
    model = build(
        spec,
        in_channels=len(known.mean),
        num_classes=IMAGENET,
        size=known.size,
        pretrained=weights is None,
        weights=weights,
    )
    return Subject(
        name=spec,
        model=model.eval().to(memory_format=torch.channels_last),
        preparation=Preparation(
            channels=len(known.mean),
            height=known.size[0],
            width=known.size[1],
            fit="crop",
            interpolation=cast(Any, known.interpolation),
            crop_fraction=known.crop_fraction,
            mean=known.mean,
            std=known.std,
            full_scale=255,  # photographs of 8 bits
        ),
        classes=imagenet_classes(),
    )
