"""The table of tasks: by name, and by what data are for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from striate.data import SOURCES, list_sources, remember
from striate.data.own import PREFIX as GIVEN
from striate.data.own import is_given
from striate.errors import UsageError
from striate.findings import Finding
from striate.paths import given_path, warn_of_folder
from striate.plugins import Later, Table
from striate.tasks.task import Progress, Task
from striate.training.recipe import Recipe
from striate.training.settings import names_of
from striate.wording import in_quotes


def _plugged(name: str, made: Any) -> Task:
    """A plug-in's row: a Task, or a class or function that makes one."""
    task = made if isinstance(made, Task) else made()
    if not isinstance(task, Task):
        raise UsageError(f"a task derives from striate.tasks.task.Task, got {type(task).__name__}")
    return task


TASKS: Table[Task] = Table(
    "striate.tasks",
    Later(
        {
            "detect": "striate.tasks.detect.task:Detect",
            "segment": "striate.tasks.segment.task:Segment",
            "instances": "striate.tasks.instances.task:Instances",
            "multilabel": "striate.tasks.multilabel.task:Multilabel",
            "regression": "striate.tasks.regression.task:Regression",
            "embed": "striate.tasks.embed.task:EmbedTask",
            "classify": "striate.tasks.classify.task:Classify",
        }
    ),
    _plugged,
    first=True,
)
"""In the order in which they are asked whether data are theirs; the last takes whatever is left."""

# Passed to `train` as objects, so that their runs open in the same process.
_GIVEN: dict[str, Task] = {}


def find_task(task: str | Task) -> Task:
    """A task by its name, or the task itself. Raises UsageError for a name that no task has, with the nearest."""
    if isinstance(task, Task):
        if task.name not in TASKS:
            _GIVEN[task.name] = task
        return task
    known = TASKS.get(task) or _GIVEN.get(task)
    if known is None:
        if task in TASKS.failed:
            raise UsageError(TASKS.failed[task])
        names = [*TASKS, *_GIVEN]
        near = difflib.get_close_matches(task, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise UsageError(f"there is no task {in_quotes(task)}; {hint}")
    return known


def task_for(data: str | Path, task: str | Task | None = None) -> Task:
    """The task that is named, or the first that accepts the data.

    Raises UsageError where the data can only be another task's than the one that is named.
    """
    given_path(data, "data")
    accepting = (known for known in TASKS.values() if known.accepts(data))
    if task is None:
        return next(accepting)
    chosen = find_task(task)
    if not chosen.exclusive:
        whose = next(accepting)
        if whose.exclusive and whose is not chosen:
            raise UsageError(
                f"{data} has {whose.about}, not {chosen.about}; leave the task out, or say {whose.name}"
            )
    return chosen


def task_of(data: Any, task: str | Task | None = None) -> Task:
    """The task that data given in Python are for: the one that is named, or by the kind of source, classes if not."""
    if isinstance(data, str | Path):
        if str(data) in SOURCES or any(str(data) in known.sources for known in TASKS.values()):
            warn_of_folder(str(data))
        return task_for(data, task)
    if task is not None:
        return find_task(task)
    return next((known for known in TASKS.values() if known.owns(data)), TASKS["classify"])


def take_data(data: Any, recipe: Recipe, task: Task, progress: Progress | None = None) -> Any:
    """A source of data given in Python, which opens again under its name as long as it is held."""
    source = task.take(data, recipe, progress)
    name = str(source.name)
    if not is_given(name):
        source = replace(source, name=f"{GIVEN}{name}-{source.fingerprint[:8]}")
    return remember(source)


def open_source(data: Any, *, task: str | Task | None = None, **settings: Any) -> Any:
    """Open images and their targets, split into train, validation and test.

    data: a named source, a folder, or a table of labels; a Dataset of (image, label), (images, labels), a table of pandas,
    polars or pyarrow. task: decided by the data if not given. settings: of a recipe, as far as they say how data are read:
    seed, val, test, count, and the task's own. Raises UsageError for an unknown name or a wrong setting, DataError if the
    images cannot be used.
    """
    chosen = task_of(data, task)
    if isinstance(data, str | Path):
        return chosen.open(recipe_for(chosen, {"data": str(data), **settings}))
    return take_data(data, recipe_for(chosen, {"data": "data", **settings}), chosen)


def sources() -> Finding:
    """The table of sources, of all tasks."""
    return list_sources({n: about for task in TASKS.values() for n, about in task.sources.items()})


def recipe_for(task: Task, settings: Mapping[str, Any]) -> Recipe:
    """A recipe of a task from typed values or text.

    Raises UsageError for a name that no setting has, and for a setting that means something for other tasks alone.
    """
    own = names_of(task.settings) if task.settings is not None else []
    for name, value in settings.items():
        others = [t for t in TASKS.values() if t.settings and name in names_of(t.settings)]
        foreign = name not in own and bool(others) and name not in names_of(Recipe)
        if value is not None and (foreign or name in task.unused):
            whose = f"the task {others[0].name}" if foreign else "other tasks"
            hint = task.unused.get(name, "")
            raise UsageError(
                f"{name}={value} is a setting of {whose} and has no effect on {settings['data']}, which has {task.about}; "
                f"leave it out{hint}"
            )
    return task.recipe(settings)
