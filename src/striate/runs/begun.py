"""Begun: what a training is asked to do, written down before anything is read, so that it can begin again.

`begun.toml` holds the recipe as it was given, with what the data decide left open. `run.toml`, which says all of it, takes
its place once the data are checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from striate.errors import RunError
from striate.reading import read_file
from striate.runs.migrating import FORMAT
from striate.runs.record import now
from striate.runs.run import BEGUN, Run
from striate.runs.stored import LARGEST, altered, check_digests, check_recipe, parsed, to_toml
from striate.schema import Key, expect
from striate.tasks.table import find_task
from striate.training.recipe import Recipe
from striate.writing import write_atomically

KEYS = {
    "format": Key(int), "created": Key(str), "task": Key(str), "recipe": Key(dict), "own": Key(dict, optional=True),
    "find_rate": Key(bool, optional=True), "digests": Key(dict),
}  # fmt: skip


def note_begun(path: Path, recipe: Recipe, more: dict[str, Any]) -> None:
    """Write the recipe into the run's folder. more: entries that `run.toml` will have beside it. Raises WriteError."""
    info = {
        "format": FORMAT,
        "created": now(),
        "task": recipe.task,
        "recipe": recipe.to_dict(),
        **more,
    }
    write_atomically(path / BEGUN, to_toml(info))


def begun_run(path: Path) -> Run:
    """A run that was stopped before its data were checked: its recipe is what was asked for. Raises RunError."""
    file = path / BEGUN
    try:
        info = parsed(read_file(file, limit=LARGEST))
        expect(info, KEYS)
        if info["format"] != FORMAT:
            raise ValueError(f"format must be {FORMAT}, got {info['format']}")
        check_digests(info)
        check_recipe(info["recipe"], find_task(info["task"]).settings)
        run = Run(path, info)
        _ = run.recipe
    except OSError as error:
        raise RunError(
            f"cannot read {file}: {error.strerror or error}; train again without --resume"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise altered(file, error) from error
    return run
