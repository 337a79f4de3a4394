"""Colours: how images are normalised that a network sees at their own size, by levels, mean and spread of their pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.data import Preprocessing
from striate.data.depth import there
from striate.data.drawing import drawn
from striate.data.scale import check_together, measure
from striate.data.source import ImageSet
from striate.errors import DataError
from striate.models import preprocessing as preprocessing_of
from striate.training.recipe import Recipe

SAMPLE = 64  # images whose mean colour is taken


def _levels(split: ImageSet, index: int, draft: Preprocessing) -> np.ndarray:
    """(channels, n) uint8: the pixels of an image that hold data."""
    image = split.image(index)
    lost = 0.0 if split.missing is None else float(split.missing[index])
    levels = draft.colours(image).reshape(draft.channels, -1)
    return levels[:, there(image, draft, lost).ravel()] if image.dtype != np.uint8 else levels


def statistics(
    split: ImageSet, draft: Preprocessing
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a channel, of at most SAMPLE training images."""
    at = drawn(len(split), SAMPLE)
    parts = [_levels(split, int(i), draft)[:, ::7].astype(np.float64) / 255 for i in at]
    values = np.concatenate(parts, 1)
    if not values.size:
        raise DataError(f"no pixel of {len(at):,} training images holds data; look at the files")
    mean, std = values.mean(1).round(5), np.maximum(values.std(1), 1 / 255).round(5)
    return tuple(mean.tolist()), tuple(std.tolist())


def own_size_preprocessing(recipe: Recipe, source: Any) -> tuple[Preprocessing, list[str]]:
    """How images are seen at their own size, in crops of the recipe's `size` pixels a side, and the reasons.

    recipe: with model and size decided; a pretrained backbone brings its own mean and spread. source: whose training images
    decide the rest. Raises DataError where splits differ in depth, or no pixel holds data.
    """
    train = source.train
    backbone = str(recipe.model).partition(":")[2]
    known = preprocessing_of(backbone) if recipe.pretrained and backbone else None
    channels = recipe.channels or (3 if known or (train.channels == 3).any() else 1)
    scale = measure(train, black=recipe.black, white=recipe.white)
    check_together(source.splits.values(), scale)
    assert recipe.size is not None
    draft = Preprocessing(
        channels=channels, height=recipe.size, width=recipe.size, fit="crop", **scale.levels
    )
    mean, std = (known.mean, known.std) if known else statistics(train, draft)
    made = {**draft.to_dict(), "mean": list(mean), "std": list(std)}
    return Preprocessing.from_dict(made), list(scale.why)
