"""`striate lecture`."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import app


@app.command()
def lecture(
    number: Annotated[str, typer.Argument(help="000 to 004.")],
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Where to put the page and its figures.")
    ] = None,
) -> None:
    """Make one lecture's page with all its figures, by running its code."""
    from striate import api
    from striate.cli.console import out as screen
    from striate.cli.console import print_path, progress

    with progress(f"lecture {number}") as bar:
        found = api.lecture(number, out, progress=lambda done, of: bar("", done, of))
    for heading, printed in found.tables[0].rows:
        screen.print(str(heading), style="bold", markup=False)
        screen.print_lines(f"{printed}\n", markup=False, highlight=False)
    print_path(found.data["page"])
