"""`striate tile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.options import (
    Folder,
    Force,
    Format,
    Formats,
    Model,
    On,
    Parts,
    Shards,
    Workers,
    app,
    belong_together,
    opened,
)
from striate.errors import UsageError

if TYPE_CHECKING:
    from striate.findings import Finding


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
    shard: Shards = None,
    parts: Parts = None,
    on: On = None,
    workers: Workers = None,
    format: Formats = Format.table,
) -> None:
    """Run the network on an image of any size, in bounded memory, at the image's own resolution."""
    from striate import api
    from striate.cli.console import print_path, progress, say

    belong_together(shard, parts, on, workers)
    if parts is not None and engine != "torch":
        raise UsageError("shards of tiles are computed by torch; leave --engine out")
    if parts is not None and on is not None:
        with progress("shards") as show:
            found = api.tile_on_ray(
                run, image, out, parts=parts, model=model, workers=workers, force=force, memory=memory, tile=tile, page=page,
                check=check, progress=lambda done, of: show("", done, of),
            )  # fmt: skip
        print_tiled(found, format)
        return
    if shard is not None and parts is not None:
        if force:
            raise UsageError(
                "a shard of tiles writes no output yet; leave --force out, and give it to `striate merge`"
            )
        with progress(f"shard {shard}") as show:
            made = api.tile_shard(
                opened(run, model), image, out, shard=shard, parts=parts, memory=memory, tile=tile, page=page, check=check,
                say=say, progress=lambda done, of: show("", done, of),
            )  # fmt: skip
        print_path(made)
        return
    with progress("tiles") as bar:
        found = api.tile(
            opened(run, model), image, out, memory=memory, tile=tile, page=page, force=force, check=check,
            engine=engine, say=say, progress=lambda done, of: bar("", done, of),
        )  # fmt: skip
    print_tiled(found, format)


def print_tiled(found: Finding, format: Format) -> None:
    """Print what was found of an image."""
    from striate.cli.console import print_csv, print_finding, print_json

    if format is Format.json:
        print_json(found.data["document"])
    elif format is Format.csv:
        print_csv(found.data["rows"])
    else:
        print_finding(found)
