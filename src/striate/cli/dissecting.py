"""`striate dissect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import Force, Format, Formats, Limit, Model, Network, Seed, app, opened


@app.command()
def dissect(
    target: Network,
    concepts: Annotated[
        str,
        typer.Option(
            help="A folder with a folder of images/ and masks/ a concept, a segmentation data set (each class is a "
            "concept), or `concepts`, generated scenes."
        ),
    ] = "concepts",
    layer: Annotated[
        str | None, typer.Option(help="One layer's units alone (see `striate summary`).")
    ] = None,
    quantile: Annotated[
        float, typer.Option(help="Share of a unit's responses that counts as on.")
    ] = 0.005,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="A page (.html), pictures (.png), or a folder for both."),
    ] = None,
    limit: Limit = 2000,
    seed: Seed = 0,
    force: Force = False,
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Name the units: which colours, stripes, textures, shapes or things each one finds."""
    from striate import api
    from striate.cli.console import print_finding, print_json, progress, say

    place = None if out is None else api.output_path(out, api.UNITS, force=force, folder=True)
    with progress("reading") as bar:
        found = api.dissect(
            opened(target, model), concepts, layer=layer, quantile=quantile, limit=limit, seed=seed,
            progress=bar,
        )  # fmt: skip
    title = f"What units of {Path(target).name if Path(target).is_dir() else target} find"
    written = [] if place is None else api.write_units(found, place, title=title)
    if format is Format.json:
        print_json([f.to_dict() for f in found])
    else:
        for finding in found if format is Format.table else found[:1]:
            print_finding(finding, format)
    for path in written:
        say(f"wrote {path}")
    if out is None and format is Format.table:
        say("-o FILE.html or FILE.png keeps the pictures")
