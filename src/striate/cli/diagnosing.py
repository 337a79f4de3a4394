"""`striate diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import Data, Folder, Format, Formats, Model, Seed, app, opened
from striate.errors import StriateError


@app.command()
def diagnose(
    run: Folder,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="gradients, activations, filters, updates, rates, initial-loss, one-batch, labels; all if none.",
        ),
    ] = None,
    data: Data = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "--images",
            help="Images looked at, at most; 2000 if not given, all to cross-validate.",
        ),
    ] = None,
    cross_validate: Annotated[
        int | None,
        typer.Option(
            metavar="K", help="Judge each label by one of K networks trained without its image."
        ),
    ] = None,
    seed: Seed = 0,
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """What is wrong inside: gradients, units, filters, updates, learning rates, the start, one batch, labels."""
    from striate import api
    from striate.cli.console import print_findings, print_path, progress, say

    # Said on standard error, and a failure where it was asked for by name.
    failed: list[tuple[str, StriateError]] = []
    with progress("opening") as bar:
        found = api.diagnose(
            opened(run, model), data, names=names or [], limit=limit, cross_validate=cross_validate, seed=seed,
            progress=bar, refused=lambda name, error: failed.append((name, error)),
        )  # fmt: skip
    print_findings(found, format, kind="diagnostic")
    if format is Format.table:
        print_path(Path(run) / "report.html")
    for name, error in failed:
        say(f"{name} could not be done: {error}")
    if names and failed:
        raise SystemExit(failed[0][1].exit_status)
