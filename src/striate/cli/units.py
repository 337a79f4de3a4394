"""`striate units`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from striate.api import Finding


@app.command()
def units(
    target: Network,
    layer: Unit = None,
    unit: Annotated[int | None, typer.Option(help="One unit of the layer: its dossier.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Images to look at: a source or a folder; a run's own test images if not given."
        ),
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Show the maps of this image and its nearest neighbours.")
    ] = None,
    out: Pages = None,
    limit: Limit = 2000,
    seed: Seed = 0,
    force: Force = False,
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """What every unit looks for: layers, a layer's wall, or one unit's dossier."""
    from striate import api
    from striate.cli.console import progress

    place = None if out is None else api.output_path(out, api.UNITS, force=force, folder=True)
    with progress("reading") as bar:
        found = api.units(
            opened(target, model), layer=layer, unit=unit, data=data, image=image, limit=limit, seed=seed,
            say=lambda text: bar(text, 0, 0),
        )  # fmt: skip
    title = f"Units of {Path(target).name if Path(target).is_dir() else target}"
    show_units(found, place, title, format, force=force)


def show_units(
    found: list[Finding],
    place: Path | None,
    title: str,
    format: Format,
    *,
    name: str = "units",
    force: bool,
) -> None:
    """Findings about units: as `format` says on standard output, and with their pictures at `place`, if there is one."""
    from striate import api
    from striate.cli.console import print_finding, print_json, say

    written = []
    if place is not None:
        written = api.write_units(found, place, title=title, name=name, force=force)
    if format is Format.json:
        print_json([f.to_dict() for f in found])
    else:
        for finding in found if format is Format.table else found[:1]:
            print_finding(finding, format)
    for path in written:
        say(f"wrote {path}")
    if place is None and format is Format.table:
        say("-o FILE.html or FILE.png keeps the pictures")
