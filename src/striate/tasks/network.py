"""The network as a training begins with it."""

from __future__ import annotations

import torch
from torch import nn

from striate.data import Preprocessing
from striate.tasks.task import Task
from striate.training.recipe import Recipe


def first_network(
    task: Task, recipe: Recipe, preprocessing: Preprocessing, outputs: int
) -> nn.Module:
    """The network as its training begins with it: drawn by the recipe's seed, or pretrained with a new head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return task.build(recipe, preprocessing, outputs)
