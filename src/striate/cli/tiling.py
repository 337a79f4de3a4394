"""`striate tile`."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import Folder, Force, Format, Formats, Model, app, opened


@app.command()
def tile(
    run: Folder,
    image: Annotated[
        str, typer.Argument(help="A TIFF, PNG, JPEG, .npy or Zarr image of any size.")
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            help="Classes and certificate as JSON; for semantic segmentation the mask, .tif, .npy or .zarr.",
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
    force: Force = False,
    check: Annotated[
        bool,
        typer.Option(
            help="Compare with the plain network where that is cheap; withhold what differs."
        ),
    ] = True,
    engine: Annotated[
        str,
        typer.Option(
            help="What computes the crops: torch, onnxruntime or openvino, which are proven here first, or auto."
        ),
    ] = "torch",
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Run the network on an image of any size, in bounded memory, at the image's own resolution."""
    from striate import api
    from striate.cli.console import print_csv, print_finding, print_json, progress, say

    with progress("tiles") as bar:
        found = api.tile(
            opened(run, model), image, out, memory=memory, tile=tile, page=page, force=force, check=check,
            engine=engine, say=say, progress=lambda done, of: bar("", done, of),
        )  # fmt: skip
    if format is Format.json:
        print_json(found.data["document"])
    elif format is Format.csv:
        print_csv(found.data["rows"])
    else:
        print_finding(found)
