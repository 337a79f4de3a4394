"""`striate dissect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import (
    Force,
    Format,
    Formats,
    Limit,
    Model,
    Network,
    Pages,
    Seed,
    Unit,
    app,
    opened,
)
from striate.cli.units import show_units


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
    layer: Unit = None,
    quantile: Annotated[
        float, typer.Option(help="Share of a unit's responses that counts as on.")
    ] = 0.005,
    out: Pages = None,
    limit: Limit = 2000,
    seed: Seed = 0,
    force: Force = False,
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Name the units: which colours, stripes, textures, shapes or things each one finds."""
    from striate import api
    from striate.cli.console import progress

    place = None if out is None else api.output_path(out, api.UNITS, force=force, folder=True)
    with progress("reading") as bar:
        found = api.dissect(
            opened(target, model), concepts, layer=layer, quantile=quantile, limit=limit, seed=seed,
            progress=bar,
        )  # fmt: skip
    title = f"What units of {Path(target).name if Path(target).is_dir() else target} find"
    show_units(found, place, title, format, name="dissection", force=force)
