"""Refitting: what reviewed labels change, at once: the last layer fitted again with the labels before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.errors import RunError, UsageError
from striate.models.logistic import fit_logistic
from striate.robustness.separation import features_of
from striate.runs.images import examples_of, source_of
from striate.runs.reviewing import REVIEWED, decisions, standing
from striate.runs.run import Run

STEPS = 60


@dataclass(frozen=True)
class Refitted:
    """How many of `of` images, whose labels no decision changed, are right with the last layer fitted to either labels.

    split: of those images. trained: training images with the labels before. relabelled, excluded: of them after.
    """

    before: int
    after: int
    of: int
    split: str
    trained: int
    relabelled: int
    excluded: int


def refitted(run: Run, *, source: Any = None, limit: int = REVIEWED) -> Refitted:
    """Fit the network's last layer to the training images twice, with their labels before and after what was decided.

    Both are judged on the same test images (validation images where there are none) with the labels that the data has;
    images about which anything was decided are left out of them, so that no decision can raise its own score. The layers
    before the last one stay as they were trained, on the labels before: a whole training may gain more. limit: images a
    split. Raises UsageError for a task without one class an image and where nothing was decided about training images,
    RunError without images.
    """
    if "labels" not in run.task.offers:
        raise UsageError(
            f"{run.path} gives {run.task.about}; labels are reviewed of networks that give one class an image"
        )
    source = source or source_of(run)
    held = standing(decisions(run.path))
    train = examples_of(run, source, "train", limit=limit, seed=run.recipe.seed)
    classes = {name: k for k, name in enumerate(run.classes)}
    labels = train.targets.clone()
    keep = torch.ones(len(train), dtype=torch.bool)
    for i, key in enumerate(train.keys):
        decision = held.get(key)
        if decision is not None and decision["action"] == "exclude":
            keep[i] = False
        elif decision is not None and decision["action"] == "relabel" and decision["to"] in classes:
            labels[i] = classes[decision["to"]]
    relabelled = int((labels != train.targets).sum())
    excluded = int((~keep).sum())
    if not relabelled + excluded:
        raise UsageError(
            "no decision changes a training image, so that nothing can be fitted otherwise; review the training images"
        )
    split = next((s for s in ("test", "val") if len(source.splits[s])), None)
    if split is None:
        raise RunError(f"{source.where} has no test or validation images to judge by")
    judged = examples_of(run, source, split, limit=limit, seed=run.recipe.seed)
    own = torch.tensor([key not in held for key in judged.keys])
    if not own.any():
        raise RunError(
            f"every {split} image that is looked at was decided about; leave some as they are"
        )
    module = run.trained.pixels
    x = features_of(module, train.images.float() / 255).double()
    y = features_of(module, judged.images[own].float() / 255).double()
    mean, spread = x.mean(0), x.std(0, correction=0).clamp(min=1e-6)
    x, y = (x - mean) / spread, (y - mean) / spread

    def right(features: Tensor, targets: Tensor) -> int:
        fitted = fit_logistic(features, targets, len(classes), steps=STEPS)
        return int((F.linear(y, *fitted).argmax(1) == judged.targets[own]).sum())

    before, after = right(x, train.targets), right(x[keep], labels[keep])
    return Refitted(before, after, int(own.sum()), split, len(train), relabelled, excluded)
