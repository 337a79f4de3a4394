"""The network of a recipe, for the images and the classes of a run."""

from __future__ import annotations

import torch
from torch import nn

from striate.data import Preparation
from striate.models import build, full_size, labels_pixels
from striate.training import Recipe


def build_network(
    recipe: Recipe, preparation: Preparation, classes: int, *, fresh: bool = False, check: bool = False
) -> nn.Module:  # fmt: skip
    """(N, C, H, W) -> (N, classes) logits, or (N, classes, H, W) where it labels pixels; H, W of the images.

    fresh: without the weights that the recipe names. check: raise UsageError with the layer at which the images get stuck.
    Raises UsageError for a model or weights that do not exist or do not fit.
    """
    spec = str(recipe.model)
    network = build(
        spec,
        in_channels=preparation.channels,
        num_classes=classes,
        size=None if labels_pixels(spec) else preparation.size,
        pretrained=bool(recipe.pretrained) and not fresh,
        weights=None if fresh else recipe.weights,
        check=check,
        **recipe.model_options,
    )
    return full_size(network)


def first_network(recipe: Recipe, preparation: Preparation, classes: int) -> nn.Module:
    """The network as its training begins with it: drawn by the recipe's seed, or pretrained with a new head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return build_network(recipe, preparation, classes)
