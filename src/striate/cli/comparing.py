"""`striate compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import Force, Format, Formats, Model, Seed, app, opened


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="An image.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The image it is compared with.")],
    network: Annotated[
        str,
        typer.Option(
            "--network",
            "-n",
            metavar="RUN|SPEC",
            help="Whose features are compared: a run's folder, or a model with weights.",
        ),
    ] = "efficientnet-lite0",
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this layer (see `striate summary`); may be given again. One a resolution by default."
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Weights of the network's spec, and linear weights of the package lpips; may be given again.",
        ),
    ] = None,
    resize: Annotated[
        bool,
        typer.Option(
            "--resize", help="Read both images as the network's preprocessing does, at one size."
        ),
    ] = False,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="Draw where they differ, as .png."),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """How different two images look to a network, and where."""
    from striate import api
    from striate.cli.console import print_csv, print_finding, print_json, print_path

    found = api.compare_images(
        first, second, opened(network, model), layers=layer or None, weights=weights or None, resize=resize, out=out,
        force=force, seed=seed,
    )  # fmt: skip
    if format is Format.json:
        print_json(found.to_dict())
    elif format is Format.csv:
        names = ("distance", "kind", "network", "psnr", "ssim", "ms-ssim")
        print_csv([{"a": first, "b": second, **{n: found.data[n] for n in names}}])
    else:
        print_finding(found)
        if out is not None:
            print_path(out)
