"""`striate report`."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import Folder, Model, app, opened


@app.command()
def report(
    run: Folder,
    data: Annotated[
        str | None,
        typer.Option(
            help="Images to evaluate the network on first: a source, a folder with a folder for each class, or images "
            "without labels."
        ),
    ] = None,
    model: Model = None,
) -> None:
    """Write the run's report again from its findings, or of images that are given."""
    from striate import api
    from striate.cli.console import print_path

    print_path(api.report(opened(run, model), data))
