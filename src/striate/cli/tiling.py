"""`striate tile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import Folder, Format, Formats, Model, app, opened
from striate.documents import to_json


@app.command()
def tile(
    run: Folder,
    image: Annotated[
        Path, typer.Argument(help="A TIFF, PNG, JPEG, .npy or Zarr image of any size.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Classes and certificate as JSON; for a run that labels pixels the map, .tif, .npy or .zarr.",
        ),
    ] = None,
    memory: Annotated[
        str, typer.Option(help="What may be used above the model, such as 500MB or 2GB.")
    ] = "1GB",
    tile: Annotated[
        int | None, typer.Option(help="Pixels of a tile's side, instead of --memory.")
    ] = None,
    page: Annotated[
        int | None, typer.Option(help="Of a TIFF of several pages, counted from 1.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over an output that exists.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            help="Compare with the plain network where that is cheap; withhold what differs."
        ),
    ] = True,
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Run the network on an image of any size, in bounded memory, at the image's own resolution."""
    from rich.progress import Progress

    from striate import api
    from striate.cli.console import err, print_csv, print_finding

    with Progress(console=err, transient=True) as progress:
        bar = progress.add_task("tiles", total=None)
        found = api.tile(
            opened(run, model), image, out, memory=memory, tile=tile, page=page, force=force, check=check,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )  # fmt: skip
    if format is Format.json:
        print(to_json(found.data["document"]))
    elif format is Format.csv:
        print_csv(found.data["rows"])
    else:
        print_finding(found, format.value)
