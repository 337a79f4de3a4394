"""Watching: what a watched training noted of its layers, as a finding."""

from __future__ import annotations

import math

from striate.diagnostics import updates
from striate.errors import RunError
from striate.files import leads_out
from striate.findings import Finding
from striate.runs.run import Run
from striate.training.watch import Update, read_updates

UPDATES = "updates.csv"


def updates_of(run: Run) -> Finding:
    """The updates that a training with `--watch` noted. Raises RunError where it noted none."""
    rows = noted_updates(run)
    if not rows:
        raise RunError(
            f"{run.path} has no record of its updates: `striate train ... --watch` writes one; train again with it"
        )
    return updates(rows, optimizer=run.recipe.optimizer or "")


def noted_updates(run: Run, *, before: float = math.inf) -> list[Update]:
    """What was noted at steps below `before`; nothing where there is no such file. Raises RunError for another file."""
    path = run.path / UPDATES
    try:
        return read_updates(path, before=before)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        if leads_out(path):  # to any file, of which nothing is quoted
            said = "it is a link out of the run"
        raise RunError(f"{path} was altered and cannot be read ({said}); delete it") from error
