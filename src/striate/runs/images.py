"""The images of a run: its source opened again, and a split as tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch

from striate.data import Source, load_memory
from striate.data.naming import alike, normal
from striate.data.source import TargetSplit
from striate.errors import DataError, RunError, UsageError
from striate.runs.run import Run
from striate.tasks.segment.data import MaskSource
from striate.tasks.table import task_for

S = TypeVar("S", Source, MaskSource)


def source_of(
    run: Run,
    data: str | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Source:
    """The run's own source with the run's own split, or `data` with the run's classes.

    Raises RunError where the run's data is gone, changed or of other classes, and says what to pass instead.
    """
    recipe = run.recipe
    source = open_again(
        run, data, "images",
        lambda where, count: task_for(where, run.task).open(
            recipe.replace(data=where, count=count), progress
        ),
    )  # fmt: skip
    known = {normal(name): name for name in run.classes}
    source = replace(source, classes=tuple(known.get(normal(c), c) for c in source.classes))
    if strange := sorted(set(source.classes) - set(run.classes)):
        like = {alike(name): name for name in run.classes}
        near = next((name for name in strange if alike(name) in like), None)
        hint = f"; rename {near!r} to {like[alike(near)]!r}" if near is not None else ""
        raise RunError(
            f"{data or recipe.data} has classes that {run.path} does not know: {', '.join(strange[:5])}; "
            f"it knows {', '.join(run.classes[:10])}{hint}"
        )
    return source


def open_again(run: Run, data: str | None, what: str, opening: Callable[[str, int | None], S]) -> S:
    """What `opening(data, count)` finds for the run's own data, or for `data` (then all of it).

    Raises RunError where the run's own data is gone or changed since its training.
    """
    recipe = run.recipe
    if data is None and not recipe.data:
        raise RunError(f"{run.path} has no images of its own; give some with --data")
    own = data is None or data == recipe.data
    try:
        source = opening(recipe.data if own else str(data), recipe.count if own else None)
    except (DataError, UsageError) as error:
        if not own:
            raise
        raise RunError(
            f"the images of {run.path} cannot be opened: {error}; give where they are with --data"
        ) from error
    if data is None and source.fingerprint != run.info["data"]["fingerprint"]:
        raise RunError(
            f"the images of {recipe.data} changed since {run.path} was trained, so that its test images may be ones it "
            f"has learned; give {what} with --data, or --data {recipe.data} to use them all the same"
        )
    return source


def images_of(
    run: Run,
    split: str = "test",
    *,
    limit: int | None = None,
    seed: int = 0,
    data: str | None = None,
    source: Source | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A split's images as the network sees them, uint8 (N, C, H, W), and labels (N,) int64 in the run's classes,
    or targets (N, K) float32 of tasks that have such.

    split: "train", "val" or "test"; an empty test split gives the validation split. limit: at most so many, drawn by
    `seed` in equal shares of the classes as far as they go. Raises RunError where there are none.
    """
    source = source or source_of(run, data)
    chosen = source.splits[split]
    if split == "test" and not len(chosen):
        chosen = source.val
    if not len(chosen):
        raise RunError(f"{source.where} has no {split} images; give others with --data")
    if limit is not None and limit < len(chosen):
        chosen = chosen.take(balanced(chosen.labels, limit, seed))
    images, labels = load_memory(chosen, run.preprocessing)
    if isinstance(chosen, TargetSplit):
        return images, torch.from_numpy(chosen.targets)
    place = torch.tensor([run.classes.index(name) for name in source.classes])
    return images, place[labels]


def balanced(labels: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Indices (limit,) in order, classes in equal shares as far as they go, drawn by `seed`."""
    rng = np.random.default_rng(seed)
    turn = np.empty(len(labels), dtype=np.int64)  # which image of its class each is
    for c in np.unique(labels):
        at = np.flatnonzero(labels == c)
        turn[rng.permutation(at)] = np.arange(len(at))
    order = np.lexsort((rng.random(len(labels)), turn))
    return np.sort(order[:limit])
