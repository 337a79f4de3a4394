"""Plan and Job: a training with everything decided, and the same with everything loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from striate.data import Preprocessing
from striate.training.batch import LossFunction
from striate.training.loop import Batches, Training
from striate.training.own import OwnLoss
from striate.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A recipe with every setting decided, the opened data, and the reasons for the decisions.

    source: with `classes`, `train`, `val`, `test`, `splits`, `where` and `fingerprint`; the rest is the task's.
    loss, augment: a person's own, in place of the task's loss and the recipe's augmentation; see `OwnLoss` and
    `OwnAugmentation`.
    """

    recipe: Recipe
    source: Any
    preprocessing: Preprocessing
    why: list[str] = field(default_factory=list)
    loss: Any = None
    augment: Any = None

    def loss_or(self, tasks: LossFunction) -> LossFunction:
        """The loss that a person gave, or the task's."""
        return tasks if self.loss is None else OwnLoss.of(self.loss, tasks)


@dataclass(kw_only=True)
class Job:
    """What a plan needs to run: batches, the training with its model, and its evaluation on the validation images.

    evaluate: model -> "loss" and the task's other numbers; None without validation images.
    """

    batches: Batches
    evaluate: Callable[[nn.Module], dict[str, float]] | None
    training: Training
    seconds_per_step: float
