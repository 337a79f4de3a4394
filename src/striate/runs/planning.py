"""Planning: from what a person chose, and the data, to a recipe with every setting decided."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from striate.data.own import is_given
from striate.data.place import name_of_place
from striate.errors import RunError, UsageError
from striate.runs.migrating import FORMAT
from striate.runs.preparing import require_room
from striate.runs.recipe_keys import from_recipe
from striate.runs.record import now, versions
from striate.runs.run import Run
from striate.tasks.plan import Plan
from striate.tasks.table import find_task
from striate.tasks.task import Task
from striate.training.callbacks import Listener
from striate.training.recipe import Recipe
from striate.training.settings import names_of
from striate.volumes import is_volume
from striate.wording import quoted


def source_name(data: str) -> str:
    """What a run is called after: the source's name, the folder's, or a table's without its ending."""
    if is_given(data):  # without the fingerprint, which distinguishes data of one name
        return data.partition(":")[2].rpartition("-")[0] or "run"
    if is_volume(data):
        return name_of_place(Path(data).expanduser())
    if not any(c in data for c in "/\\.~"):
        return data or "run"
    path = Path(data).expanduser().resolve()
    return (path.stem if path.is_file() else path.name) or "run"


def open_data(task: Task, recipe: Recipe, listener: Listener, source: Any = None) -> Any:
    """The recipe's source, or the one that is open already, checked. Raises DataError or UsageError."""
    listener.stage("reading images")
    source = task.open(recipe, listener.count) if source is None else source
    listener.finding(task.check(source))
    return source


def plan_from(
    task: Task, recipe: Recipe, device: torch.device, listener: Listener, source: Any = None
) -> Plan:
    """Open (unless it is given) and check the data, and decide everything that the recipe leaves open."""
    plan = task.plan(recipe, open_data(task, recipe, listener, source), device)
    listener.decided(plan.recipe, plan.why)
    require_room(task, plan, device)
    return plan


def plan_again(run: Run, device: torch.device, listener: Listener, source: Any = None) -> Plan:
    """The plan of a run that was stopped. Raises RunError when its data changed, and where its recipe cannot be followed."""
    if run.finished:
        raise RunError(f"{run.path} is finished; train a new run instead of resuming this one")
    with from_recipe(run.path, run.info["recipe"], "data"):
        source = open_data(run.task, run.recipe, listener, source)
    if source.fingerprint != run.info["data"]["fingerprint"]:
        raise RunError(
            f"the images of {run.recipe.data} are not those of the fingerprint in {run.path / 'run.toml'}: they changed "
            "since it began; train a new run"
        )
    names = run.task.output_names(run.recipe, source)
    if names != tuple(run.classes):
        raise RunError(
            f"{run.path / 'run.toml'}: classes are {', '.join(map(quoted, run.classes[:5]))}, and the images have "
            f"{', '.join(map(quoted, names[:5]))}; it was altered, so train a new run"
        )
    plan = Plan(recipe=run.recipe, source=source, preprocessing=run.preprocessing, why=[])
    with from_recipe(run.path, run.info["recipe"], "model"):  # refused as a new training would be
        refuse_open(run, run.task.plan(run.recipe, source, device).recipe)
        require_room(run.task, plan, device)
    return plan


def refuse_open(run: Run, decided: Recipe) -> None:
    """Raise RunError for a setting that a stopped run's recipe leaves open: it decided all of them when it began."""
    for name in names_of(Recipe):
        if name != "settings" and getattr(run.recipe, name) is None is not getattr(decided, name):
            raise RunError(
                f"{run.path / 'run.toml'} was altered: recipe.{name} is missing, which a training decides when it begins; "
                "restore the file or train again"
            )


def refuse_changes(run: Run, given: Mapping[str, Any]) -> None:
    """Raise UsageError for a setting that is not the one a resumed run began with: it would have no effect."""
    if given.get("task", run.task.name) != run.task.name:
        raise UsageError(
            f"a resumed run keeps its task: {run.path} began with {run.task.name}, got {given['task']}; leave it out"
        )
    recipe = run.task.recipe(dict(given))
    left_open = run.task.recipe({"data": recipe.data})
    own = names_of(type(recipe.settings)) if recipe.settings is not None else []
    pairs = [
        ("recipe", n) for n in names_of(Recipe) if n not in ("data", "device", "fsdp", "settings")
    ]
    for where, name in [*pairs, *(("settings", n) for n in own)]:
        value, kept, open_value = (
            getattr(r if where == "recipe" else r.settings, name)
            for r in (recipe, run.recipe, left_open)
        )
        if value not in (open_value, kept):
            raise UsageError(
                f"a resumed run keeps its settings: {run.path} began with {name}={kept}, got {name}={value}; leave it out, "
                "or train anew without --resume"
            )


def first_info(plan: Plan) -> dict[str, Any]:
    """What `run.toml` says before the first step."""
    source = plan.source
    return {
        "format": FORMAT,
        "task": plan.recipe.task,
        "created": now(),
        "finished": False,
        "classes": list(find_task(str(plan.recipe.task)).output_names(plan.recipe, source)),
        "recipe": plan.recipe.to_dict(),
        "preprocessing": plan.preprocessing.to_dict(),
        "data": {
            "where": source.where,
            "fingerprint": source.fingerprint,
            **{name: len(split) for name, split in source.splits.items()},
        },
        "versions": versions(),
    }
