"""Plan and Job: a training with everything decided, and the same with everything loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from striate.data import Preparation, Source
from striate.data.masks import MaskSource
from striate.training.loop import Batches, Training
from striate.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A recipe with every setting decided, the opened data, and the reasons for the decisions."""

    recipe: Recipe
    source: Source | MaskSource
    preparation: Preparation
    why: list[str]


@dataclass(kw_only=True)
class Job:
    """What a plan needs to run: batches, the training with its model, and its evaluation on the validation images.

    evaluate: model -> (loss, accuracy), or (loss, accuracy, mean IoU); None without validation images.
    """

    batches: Batches
    evaluate: Callable[[nn.Module], tuple[float, ...]] | None
    training: Training
    seconds_per_step: float
