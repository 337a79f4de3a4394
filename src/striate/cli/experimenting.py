"""`striate experiment`."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import Format, Formats, Seed, app
from striate.errors import UsageError


@app.command()
def experiment(
    name: Annotated[
        str | None, typer.Argument(help="The experiment to run; leave it out to list them.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder of the page, findings and figures, a new one; experiments/NAME-1 if not given.",
        ),
    ] = None,
    seed: Seed = 0,
    budget: Annotated[
        str | None,
        typer.Option(help="Time, such as 3m, for an experiment whose length can be chosen."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="A source or a folder with a folder a class, for an experiment that takes one."
        ),
    ] = None,
    format: Formats = Format.table,
) -> None:
    """Run an experiment of the lectures, from data to verdict, as a page with figures."""
    from striate import api
    from striate.cli.console import out as console
    from striate.cli.console import print_finding, print_findings, print_path, progress
    from striate.report.terminal import terminal

    if name is None:
        known = api.experiments()
        if out is not None or budget is not None or data is not None:
            raise UsageError(f"name the experiment to run: {', '.join(known.data['experiments'])}")
        print_finding(known, format)
        return
    with progress("opening") as bar:
        found, page = api.experiment(
            name, out=out, seed=seed, budget=budget, data=data, progress=bar
        )
    if format is not Format.table:
        print_findings(found, format)
        return
    for finding in found:
        console.print(terminal(finding, folder=page.parent / "findings"))
    print_path(page)
