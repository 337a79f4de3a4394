"""`striate summary`."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import Force, Format, Formats, Model, app, opened


@app.command()
def summary(
    target: Annotated[
        str,
        typer.Argument(
            metavar="SPEC|RUN",
            help="A model's name, a layer pattern, timm/NAME, or a run's folder.",
        ),
    ],
    input: Annotated[
        str | None,
        typer.Option("--input", metavar="CxHxW", help="Shape of one image, such as 3x224x224."),
    ] = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes.")] = None,
    depth: Annotated[int | None, typer.Option(help="Levels of modules to show.")] = None,
    figure: Annotated[
        str | None,
        typer.Option(help="Draw how the receptive field grows over an image, as .png or .svg."),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(help="The image under --figure; a sample photograph if not given."),
    ] = None,
    utilisation: Annotated[
        str | None,
        typer.Option(help="Draw how often each pixel is read, as .png or .svg."),
    ] = None,
    effective: Annotated[
        str | None,
        typer.Option(help="Draw how much each pixel counts of those that can be seen, as .png."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="The layer that the figures are drawn for.")
    ] = None,
    force: Force = False,
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Layer by layer: output size, window, receptive field, parameters, multiply-adds."""
    from striate import api
    from striate.cli.console import err, print_csv, print_json
    from striate.cli.layers import show

    found = api.summary(
        opened(target, model), input=input, classes=classes, depth=depth, figure=figure, image=image,
        utilisation=utilisation, effective=effective, layer=layer, force=force, grown=False,
    )  # fmt: skip
    lines = [found.data["effective"]] if effective is not None else []
    for line in [*lines, *(f"wrote {path}" for path in found.data["files"])]:
        err.print(line, soft_wrap=True, markup=False)
    if format is Format.json:
        print_json(found.data["layers"])
    elif format is Format.csv:
        print_csv(found.data["layers"])
    else:
        show(found, f"{target} on {' × '.join(map(str, found.data['totals']['input'][1:]))}")
