"""Opening: a trained network from a run, its folder, or a spec with published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch

from striate.data import Preprocessing
from striate.errors import UsageError
from striate.memory import keep_large_buffers
from striate.models import MODELS, build, imagenet_classes
from striate.models import preprocessing as preprocessing_of
from striate.runs.run import Run
from striate.tasks.table import find_task
from striate.tasks.trained import FromPixels, Trained
from striate.wording import in_quotes

__all__ = ["FromPixels", "Trained", "open_trained", "refuse_unknown"]

IMAGENET = 1000  # classes of published weights


def open_trained(
    target: str | Path | Run | Trained, *, weights: str | Path | None = None
) -> Trained:
    """A run's network, or the network that a spec names with its published weights.

    target: a run, its folder, a Trained, or a spec such as `efficientnet-lite0` or `timm/NAME`. weights: a file for a spec
    instead of published ones. Raises UsageError or RunError where there is no such run, spec or weights.
    """
    keep_large_buffers()  # what follows runs the network many times
    if isinstance(target, Trained):
        return target
    if isinstance(target, str | Path) and Path(target).is_dir():
        target = Run.load(target)
    if isinstance(target, Run):
        return target.trained
    spec = str(target)
    refuse_unknown(spec, weights)
    known = preprocessing_of(spec)
    model = build(
        spec,
        in_channels=len(known.mean),
        num_classes=IMAGENET,
        size=known.size,
        pretrained=weights is None,
        weights=weights,
        check=False,  # its own size, which fits; to check it takes two seconds for what torch loads then
    )
    return Trained(
        name=spec,
        model=model.eval().to(memory_format=torch.channels_last),
        preprocessing=Preprocessing(
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
        task=find_task("classify"),
    )


def refuse_unknown(spec: str, weights: str | Path | None = None) -> None:
    """Raise UsageError for a text that is no model with published weights, or with `weights` no model at all."""
    if spec not in MODELS and not spec.startswith("timm/") and any(c in spec for c in "/\\"):
        raise UsageError(
            f"there is no run at {spec}; give the folder that `striate train` made, or a model such as efficientnet-lite0"
        )
    if weights is None and spec not in MODELS and not spec.startswith("timm/"):
        raise UsageError(
            f"{in_quotes(spec)} is no run and no model with published weights; give the folder that `striate train` made, "
            "or a model such as efficientnet-lite0"
        )
