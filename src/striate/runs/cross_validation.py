"""Cross-validation: every training image judged by a network that did not learn it, for labels that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from striate.data import load_memory
from striate.errors import UsageError
from striate.runs.preparing import prepare
from striate.runs.run import Run
from striate.tasks.image_task import VALIDATION_BATCH
from striate.tasks.plan import Plan
from striate.training.batches import MemoryImages, OrderedBatches
from striate.training.callbacks import Listener
from striate.training.loop import fit, predict_logits


def folds_of(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(N,) the fold of each image, classes in equal shares. Raises UsageError for a number that does not fit."""
    counts = np.bincount(labels)
    least = int(counts[counts > 0].min())
    if not 2 <= folds <= least:
        raise UsageError(
            f"--cross-validate takes 2 to {max(least, 2)} here, the images of the smallest class, got {folds}"
        )
    rng = np.random.default_rng(seed)
    fold = np.empty(len(labels), dtype=np.int64)
    for c in np.unique(labels):
        at = rng.permutation(np.flatnonzero(labels == c))
        fold[at] = (np.arange(len(at)) + rng.integers(folds)) % folds
    return fold


def out_of_fold(
    run: Run,
    source: Any,
    folds: int,
    *,
    seed: int = 0,
    epochs: float | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[torch.Tensor, Any]:
    """Probabilities (N, classes) of the training images, each by one of `folds` trainings of the run's recipe without it.

    limit: at most so many images, drawn by `seed`. Returns them with the source whose training images they are. Raises
    UsageError for a number of folds that does not fit.
    """
    train = source.train
    if limit is not None and limit < len(train):
        train = train.take(np.sort(np.random.default_rng(seed).permutation(len(train))[:limit]))
        source = replace(source, train=train)
    fold = folds_of(train.labels, folds, seed)
    none = train.take([])
    device = torch.device("cpu")
    probabilities = torch.zeros(len(train), len(source.classes))
    recipe = run.recipe.replace(budget=None, limit=None, epochs=epochs or run.recipe.epochs)
    for f in range(folds):
        if progress is not None:
            progress(f, folds)
        part = replace(source, train=train.take(np.flatnonzero(fold != f)), val=none, test=none)
        plan = Plan(recipe=recipe, source=part, preprocessing=run.preprocessing, why=[])
        job = prepare(plan, device, Listener())
        fit(job.training, job.batches)
        held = np.flatnonzero(fold == f)
        images = MemoryImages(*load_memory(train.take(held), run.preprocessing))
        ordered = OrderedBatches(
            images=images, preprocessing=run.preprocessing, batch=VALIDATION_BATCH, device=device
        )
        with job.training.average.applied() as model:
            logits = predict_logits(model, ordered, dtype=job.training.dtype)
        probabilities[torch.from_numpy(held)] = (logits / run.temperature).softmax(1)
    return probabilities, source
