"""`striate export` and `striate verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.options import Force, Format, Formats, Model, Network, app, opened

if TYPE_CHECKING:
    from striate.findings import Finding


@app.command()
def export(
    run: Network,
    out: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Its ending says the kind: .onnx, .xml (OpenVINO), .pt2, .safetensors.",
        ),
    ],
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            help="Of the images that the file will take, such as 480x640; any size if not given.",
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="f32, bf16 (.pt2, .xml), or int8 (.xml), which is measured on validation images before it is let through."
        ),
    ] = "f32",
    data: Annotated[
        str | None,
        typer.Option(help="Images with labels that int8 is measured on, if not the run's own."),
    ] = None,
    drop: Annotated[
        float,
        typer.Option(help="How much of the metric int8 may cost; 0.01 is one point of a hundred."),
    ] = 0.01,
    script: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Also write a program that uses it with numpy, Pillow and onnxruntime.",
        ),
    ] = None,
    force: Force = False,
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Write the network into one file for other programs, with the proof that its answers are the same."""
    from striate import api
    from striate.cli.console import print_path, progress

    with progress("export") as bar:
        found = api.export(
            opened(run, model), out, size=size, precision=precision, data=data, drop=drop, script=script, force=force,
            progress=lambda text: bar(text, 0, 0),
        )  # fmt: skip
    _print(found, format)
    if format is Format.table:
        print_path(out)


@app.command()
def verify(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `striate export` wrote.")],
    keep: Annotated[
        bool,
        typer.Option(
            "--keep/--no-keep", help="Append processor, versions and the result to the file."
        ),
    ] = True,
    format: Formats = Format.table,
) -> None:
    """Repeat the proof that travels in an exported file, on this machine."""
    from striate import api

    _print(api.verify(file, keep=keep), format)


def _print(found: Finding, format: Format) -> None:
    from striate.cli.console import print_finding, print_json

    if format is Format.json:
        print_json(found.data)
    else:
        print_finding(found, format)
