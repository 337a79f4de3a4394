"""`striate units`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.options import Format, Formats, Model, app, opened
from striate.documents import to_json
from striate.errors import UsageError

if TYPE_CHECKING:
    from striate.findings import Finding

SUFFIXES = (".html", ".png")


@app.command()
def units(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SPEC",
            help="A run's folder, or a model with weights such as efficientnet-lite0 or timm/NAME.",
        ),
    ],
    layer: Annotated[
        str | None, typer.Option(help="One layer's units (see `striate summary`).")
    ] = None,
    unit: Annotated[int | None, typer.Option(help="One unit of the layer: its dossier.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Images to look at: a source or a folder; a run's own test images if not given."
        ),
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="Show the maps of this image and its nearest neighbours.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A page (.html), pictures (.png), or a folder for both."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Images looked at, at most.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of noise, synthesis and the choice of images.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Write over an output that exists.")
    ] = False,
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """What every unit looks for: layers, a layer's grid of units, or one unit's dossier."""
    from rich.progress import Progress

    from striate import api
    from striate.cli.console import err, print_finding

    if out is not None and out.suffix.lower() not in (*SUFFIXES, ""):
        raise UsageError(f"-o takes a file ending in .html or .png, or a folder; got {out}")
    if out is not None and out.suffix and out.exists() and not force:
        raise UsageError(f"{out} exists; choose another name, or --force to write over it")
    if limit < 1:
        raise UsageError(f"--limit counts images from 1, got {limit}")
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("reading", total=None)
        found = api.units(
            opened(target, model), layer=layer, unit=unit, data=data, image=image, limit=limit, seed=seed,
            say=lambda text: bar.update(task, description=text),
        )  # fmt: skip
    written = []
    if out is not None:
        title = f"Units of {Path(target).name if Path(target).is_dir() else target}"
        written = write(found, out, title)
    if format is Format.json:
        print(to_json([f.to_dict() for f in found]))
    else:
        for finding in found if format is Format.table else found[:1]:
            print_finding(finding, format.value)
    for path in written:
        err.print(f"striate: wrote {path}", soft_wrap=True, markup=False)
    if out is None and format is Format.table:
        err.print("striate: -o FILE.html or FILE.png keeps the pictures", soft_wrap=True)


def write(findings: list[Finding], out: Path, title: str) -> list[Path]:
    """A page (.html), the first finding's first picture and the others numbered (.png), or both in a folder."""
    from striate import __version__
    from striate.findings import SUFFIX
    from striate.report import write_report
    from striate.writing import write_atomically

    page = out if out.suffix.lower() == ".html" else None
    picture = out if out.suffix.lower() == ".png" else None
    if not out.suffix:
        page, picture = out / "units.html", out / "units.png"
    written = []
    if page is not None:
        written.append(
            write_report(
                page, findings, title=title, subtitle=findings[0].verdict, facts={},
                generated=f"Striate {__version__}",
            )
        )  # fmt: skip
    if picture is not None:
        figures = [f for finding in findings for f in finding.figures]
        for number, figure in enumerate(figures, 1):
            path = picture if number == 1 else picture.with_stem(f"{picture.stem}-{number}")
            path = path.with_suffix(SUFFIX[figure.media])
            write_atomically(path, figure.content)
            written.append(path)
    return written
