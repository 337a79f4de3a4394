"""`striate review`."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import app
from striate.cli.studio import announce, refuse_missing


@app.command()
def review(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run that classifies.")],
    apply: Annotated[
        bool,
        typer.Option(
            "--apply", help="Move image files as labels.jsonl of the run says. Nothing is erased."
        ),
    ] = False,
    port: Annotated[int, typer.Option(help="Where the page is served; 0 takes a free port.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Review the labels that a network doubts, in the browser; --apply moves the files."""
    from striate import api

    if apply:
        from striate.cli.console import print_finding

        print_finding(api.review(run))
        return
    opened = api.load(run)
    refuse_missing()
    from striate.studio.server import serve

    serve([str(opened.path)], port, opened=announce("review", browser), view="review")
