"""Watching: what a watched training noted of its layers, as a finding."""

from __future__ import annotations

from striate.diagnostics import updates
from striate.errors import RunError
from striate.findings import Finding
from striate.runs.run import Run
from striate.training.watch import read_updates

UPDATES = "updates.csv"


def updates_of(run: Run) -> Finding:
    """The updates that a training with `--watch` noted. Raises RunError where it noted none."""
    path = run.path / UPDATES
    try:
        rows = read_updates(path)
    except ValueError as error:
        raise RunError(f"{path} was altered and cannot be read ({error}); delete it") from error
    if not rows:
        raise RunError(
            f"{run.path} has no record of its updates: `striate train ... --watch` writes one; train again with it"
        )
    return updates(rows, optimizer=run.recipe.optimizer or "")
