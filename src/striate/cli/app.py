"""The commands and their arguments. What they call is imported when they run, so that `--help` is instant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli import (
    diagnosing,
    explaining,
    predicting,
    probing,
    reporting,
    tiling,
    units,
    wrapping,
)
from striate.cli.options import Format, Formats, Model, Tasks, app

# Commands whose signature stands in a module of their own are registered by its import.
__all__ = [
    "app", "diagnosing", "explaining", "predicting", "probing", "reporting", "tiling", "units", "wrapping",
]  # fmt: skip


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from striate import __version__

        print(f"striate {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Train a convolutional network on your images, see what it sees, prove where it breaks."""


@app.command()
def train(
    data: Annotated[
        str,
        typer.Argument(
            help="A source (see `striate data`), a folder with a folder of images a class or with images/ and masks/, or a table."
        ),
    ],
    task: Tasks = None,
    model: Annotated[
        str | None,
        typer.Option(help="A name (see `striate models`), a layer pattern, or timm/NAME."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; a number is added when it is taken.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training images.")] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Time of the whole command, report included, instead of epochs: 90s or 5m."
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the images as the network sees them, in pixels.")
    ] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--from-scratch", help="Start from ImageNet weights, or from nothing."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Start from the weights in this file, as any trainer saved them."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(help="Decides the split, the first weights, the order and the augmentation."),
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any other setting of the recipe; may be given again.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the newest run of that name that was stopped."),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Note each layer's gradients and updates as it trains."),
    ] = False,
    find_rate: Annotated[
        bool,
        typer.Option("--find-rate", help="Take the learning rate that a range test suggests."),
    ] = False,
) -> None:
    """Train a network on images, evaluate it and write a report."""
    from striate.cli.training import train_command

    train_command(
        data,
        task=task,
        out=out,
        resume=resume,
        watch=watch,
        find_rate=find_rate,
        settings=settings or [],
        model=model,
        epochs=epochs,
        budget=budget,
        size=size,
        pretrained=pretrained,
        weights=str(weights) if weights else None,
        seed=seed,
        device=device,
        precision=precision,
    )


@app.command()
def data(
    data: Annotated[
        str | None, typer.Argument(help="A source or a folder; leave it out to list the sources.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the split.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="How the data are read, as in a training: val, test, count; masks, ignore.",
        ),
    ] = None,
    task: Tasks = None,
    page: Annotated[
        Path | None,
        typer.Option(help="Write all of it with its figures, masks over their images, as .html."),
    ] = None,
    format: Formats = Format.table,
) -> None:
    """List the sources, or describe one: classes, counts, sizes, damage."""
    from striate.cli.describing import data_command

    data_command(
        data, seed=seed, settings=settings or [], page=page, format=format.value, task=task
    )


@app.command()
def models(
    pattern: Annotated[
        str | None, typer.Argument(help="Only names that contain this; timm/ lists timm's.")
    ] = None,
    format: Formats = Format.table,
) -> None:
    """List the models with their parameters and multiply-adds."""
    from striate.cli.describing import models_command

    models_command(pattern, format=format.value)


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
        Path | None,
        typer.Option(help="Draw how the receptive field grows over an image, as .png or .svg."),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(help="The image under --figure; a sample photograph if not given."),
    ] = None,
    utilisation: Annotated[
        Path | None,
        typer.Option(help="Draw how often each pixel is read, as .png or .svg."),
    ] = None,
    effective: Annotated[
        Path | None,
        typer.Option(help="Draw how much each pixel counts of those that can be seen, as .png."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="The layer that the figures are drawn for.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over figures that exist.")] = False,
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Layer by layer: output size, window, receptive field, parameters, multiply-adds."""
    from striate.cli.summarising import summary_command

    summary_command(
        target, input=input, classes=classes, depth=depth, figure=figure, image=image,
        utilisation=utilisation, effective=effective, layer=layer, force=force, model=model,
        format=format.value,
    )  # fmt: skip


@app.command()
def lecture(
    number: Annotated[str, typer.Argument(help="000 to 004.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to put the page and its figures.")
    ] = None,
) -> None:
    """Make one lecture's page with all its figures, by running its code."""
    from striate.cli.teaching import lecture_command

    lecture_command(number, out)


@app.command()
def experiment(
    name: Annotated[
        str | None, typer.Argument(help="The experiment to run; leave it out to list them.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder of the page, findings and figures; experiments/NAME-1 if not given; a number is added when it is taken.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 0,
    budget: Annotated[
        str | None,
        typer.Option(help="Time, such as 3m, for an experiment whose length can be chosen."),
    ] = None,
    format: Formats = Format.table,
) -> None:
    """Run an experiment of the lectures, from data to verdict, as a page with figures."""
    from striate.cli.experimenting import experiment_command

    experiment_command(name, folder=out, seed=seed, budget=budget, format=format.value)


ORDER = (
    "train", "predict", "report", "data", "models", "summary", "lecture", "tile", "explain", "units", "probe", "diagnose",
    "experiment", "wrap",
)  # fmt: skip
"""In which `--help` lists them."""

app.registered_commands.sort(key=lambda command: ORDER.index(str(getattr(command.callback, "__name__", ""))))  # fmt: skip
