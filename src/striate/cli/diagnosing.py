"""`striate diagnose`."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import Folder, Format, Formats, Model, app, opened
from striate.documents import to_json
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
    data: Annotated[
        str | None, typer.Option(help="Images instead of the run's own: a source or a folder.")
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(help="Images looked at, at most; 2000 if not given, all to cross-validate."),
    ] = None,
    cross_validate: Annotated[
        int | None,
        typer.Option(
            metavar="K", help="Judge each label by one of K networks trained without its image."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the choice of images and the folds.")] = 0,
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """What is wrong inside: gradients, units, filters, updates, learning rates, the start, one batch, labels."""
    from rich.markup import escape
    from rich.progress import Progress

    from striate import api
    from striate.cli.console import err, print_csv, print_finding, print_path

    failed: list[
        tuple[str, StriateError]
    ] = []  # said on standard error, and fails where it was named
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("opening", total=None)

        def progress(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        found = api.diagnose(
            opened(run, model), data, names=names or [], limit=images, cross_validate=cross_validate, seed=seed,
            progress=progress, refused=lambda name, error: failed.append((name, error)),
        )  # fmt: skip
    if format is Format.json:
        print(to_json([f.to_dict() for f in found]))
    elif format is Format.csv:
        print_csv(
            {"diagnostic": f.name, "status": f.status, "verdict": f.verdict, "advice": f.advice}
            for f in found
        )
    else:
        for finding in found:
            print_finding(finding, format.value)
        print_path(run / "report.html")
    for name, error in failed:
        err.print(escape(f"{name} could not be done: {error}"), soft_wrap=True)
    if names and failed:
        raise SystemExit(failed[0][1].exit_status)
