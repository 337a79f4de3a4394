"""`striate convert`."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import Format, Formats, Seed, app


@app.command()
def convert(
    data: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="A folder of images with annotations, an annotation file, or a generated source such as scenes.",
        ),
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="The folder that is made.")],
    to: Annotated[
        str, typer.Option(help="The format that is written: coco, yolo, voc, labelme, cvat or csv.")
    ] = "coco",
    images: Annotated[
        bool,
        typer.Option(
            "--images/--no-images",
            help="Copy the images too, or write annotations alone, for the folder of IN.",
        ),
    ] = True,
    count: Annotated[int | None, typer.Option(help="Images of a generated source.")] = None,
    size: Annotated[int | None, typer.Option(help="Pixels of a side of a generated image.")] = None,
    seed: Seed = 0,
    format: Formats = Format.table,
) -> None:
    """Write annotations of objects (boxes, outlines) in another format."""
    from striate import api
    from striate.cli.console import print_csv, print_finding, print_json, print_path, progress

    with progress("reading images") as bar:
        found = api.convert(
            data, out, to=to, images=images, count=count, size=size, seed=seed,
            progress=lambda done, of: bar("", done, of),
        )  # fmt: skip
    if format is Format.json:
        print_json(found.to_dict())
    elif format is Format.csv:
        names = ("out", "to", "format", "images", "objects", "outlines", "crowds", "faults")
        print_csv([{n: found.data[n] for n in names}])
    else:
        print_finding(found)
        print_path(out)
