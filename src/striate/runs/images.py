"""The images of a run: its source opened again, and a split as tensors."""

from __future__ import annotations

from typing import Any

import torch

from striate.errors import DataError, RunError, SplitError, UsageError
from striate.runs.recipe_keys import flat, named_in
from striate.runs.run import Run
from striate.tasks.examples import Examples
from striate.tasks.table import task_for
from striate.tasks.task import Progress, Task
from striate.training.recipe import Recipe


def source_of(
    run: Run,
    data: str | None = None,
    *,
    progress: Progress | None = None,
) -> Any:
    """The run's own source with the run's own split, or `data` (then all of it), with the run's classes.

    Raises RunError where the run's data is gone, changed or of other classes, and says what to pass instead.
    """
    recipe = run.recipe
    if data is None and not recipe.data:
        raise RunError(f"{run.path} has no images of its own; give some with --data")
    own = data is None or data == recipe.data
    where, count = (recipe.data, recipe.count) if own else (str(data), None)
    try:
        task = task_for(where, run.task)
        source = opened_whole(task, recipe.replace(data=where, count=count), progress)
    except (DataError, UsageError) as error:
        if not own:
            raise
        known = flat(run.info["recipe"])
        key = named_in(error.sentence, known) or "data"
        raise RunError(
            f"the images of {run.path} cannot be opened by recipe.{key} of its run.toml: {error.sentence}; give where they "
            "are with --data"
        ) from error
    if data is None and source.fingerprint != run.info["data"]["fingerprint"]:
        raise RunError(
            f"the images of {recipe.data} are not those of the fingerprint in {run.path / 'run.toml'}: they changed since "
            "it was trained, so that its test images may be ones it has learned; give others with --data, or --data "
            f"{recipe.data} to use them all the same"
        )
    try:
        return task.match(source, run.classes, where)
    except DataError as error:
        raise RunError(str(error)) from error


def opened_whole(task: Task, recipe: Recipe, progress: Progress | None = None) -> Any:
    """A source in the splits that a recipe asks for, or in its own where it brings some and none is to be drawn."""
    try:
        return task.open(recipe, progress)
    except SplitError:
        if recipe.val or recipe.test:  # shares that a person asked for
            raise
        return task.open(recipe.replace(val=None, test=None), progress)


def examples_of(
    run: Run, source: Any, split: str = "test", *, limit: int | None = None, seed: int = 0
) -> Examples:
    """A split's images and targets; an empty test split gives the validation split. Raises RunError where there are none.

    limit: at most so many, drawn by `seed`; of classes in equal shares as far as they go.
    """
    chosen = source.splits[split]
    if split == "test" and not len(chosen):
        chosen = source.val
    if not len(chosen):
        raise RunError(f"{source.where} has no {split} images; give others with --data")
    return run.task.load_examples(
        source, chosen, run.preprocessing, run.classes, limit=limit, seed=seed
    )


def images_of(
    run: Run,
    split: str = "test",
    *,
    limit: int | None = None,
    seed: int = 0,
    data: str | None = None,
    source: Any = None,
) -> tuple[torch.Tensor, Any]:
    """A split's images as the network sees them, uint8 (N, C, H, W), and targets in the run's classes; see `examples_of`."""
    examples = examples_of(run, source or source_of(run, data), split, limit=limit, seed=seed)
    return examples.images, examples.targets
