"""The table of tasks: by name, and by what data are for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from striate.errors import UsageError
from striate.tasks.classify.task import Classify
from striate.tasks.segment.task import Segment
from striate.tasks.task import Task
from striate.training.recipe import Recipe
from striate.training.settings import names_of

TASKS: dict[str, Task] = {task.name: task for task in (Segment(), Classify())}
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
    """The task that is named, or the first that accepts the data."""
    if task is not None:
        return find_task(task)
    return next(known for known in [*_GIVEN.values(), *TASKS.values()] if known.accepts(data))


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
