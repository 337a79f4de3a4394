"""The table of tasks: by name, and by what data are for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from striate.data import list_sources
from striate.errors import UsageError
from striate.findings import Finding
from striate.tasks.classify.task import Classify
from striate.tasks.multilabel.task import Multilabel
from striate.tasks.regression.task import Regression
from striate.tasks.segment.task import Segment
from striate.tasks.task import Task
from striate.training.recipe import Recipe
from striate.training.settings import names_of

TASKS: dict[str, Task] = {
    task.name: task for task in (Segment(), Multilabel(), Regression(), Classify())
}
"""In the order in which they are asked whether data are theirs; the last takes whatever is left."""

_GIVEN: dict[
    str, Task
] = {}  # passed to `train` as objects, so that their runs open in the same process


def find_task(task: str | Task) -> Task:
    """A task by its name, or the task itself. Raises UsageError for a name that no task has, with the nearest."""
    if isinstance(task, Task):
        if task.name not in TASKS:
            _GIVEN[task.name] = task
        return task
    known = TASKS.get(task) or _GIVEN.get(task) or _plugged(task)
    if known is None:
        names = [*TASKS, *_GIVEN]
        near = difflib.get_close_matches(task, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise UsageError(f"there is no task {task!r}; {hint}")
    return known


def task_for(data: str | Path, task: str | Task | None = None) -> Task:
    """The task that is named, or the first that accepts the data.

    Raises UsageError where the data can only be another task's than the one that is named.
    """
    accepting = (known for known in [*_GIVEN.values(), *TASKS.values()] if known.accepts(data))
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


def open_source(data: str | Path, *, task: str | Task | None = None, **settings: Any) -> Any:
    """Open images and their targets, split into train, validation and test.

    data: a named source, a folder, or a table of labels. task: decided by the data if not given. settings: of a recipe, as
    far as they say how data are read: seed, val, test, count, and the task's own. Raises UsageError for an unknown name or
    a wrong setting, DataError if the images cannot be used.
    """
    chosen = task_for(data, task)
    return chosen.open(recipe_for(chosen, {"data": str(data), **settings}))


def sources() -> Finding:
    """The table of sources, of all tasks."""
    return list_sources({n: about for task in TASKS.values() for n, about in task.sources.items()})


def _plugged(name: str) -> Task | None:
    for entry in entry_points(group="striate.tasks", name=name):
        try:
            made = entry.load()
        except Exception as error:  # whatever a package of somebody else raises
            raise UsageError(
                f"the task {name!r} of the package {entry.value} cannot be imported: {error}"
            ) from error
        return made if isinstance(made, Task) else made()  # type: ignore[no-any-return]
    return None


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
