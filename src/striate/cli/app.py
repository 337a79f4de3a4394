"""The commands and their arguments. What they call is imported when they run, so that `--help` is instant."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="striate",
    help="Train a convolutional network on your images, see what it sees, prove where it breaks.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Format(str, Enum):
    """How results are printed."""

    table = "table"
    json = "json"
    csv = "csv"


Formats = Annotated[
    Format,
    typer.Option(
        "--format", help="How results are printed; json and csv go to standard output alone."
    ),
]


Tasks = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="What to learn: classify, multilabel (tags), regression (numbers) or segment; the data decide.",
    ),
]


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
def predict(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Images, folders, or patterns such as 'photos/*.jpg'."
        ),
    ],
    top: Annotated[int, typer.Option(help="How many classes to name.")] = 3,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where masks and overlays go; masks/ if not given."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over masks that exist.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    format: Formats = Format.table,
) -> None:
    """Name the classes of images, or write a mask for each where the run labels pixels."""
    from striate.cli.predicting import predict_command

    predict_command(
        run, paths, top=top, device=device, format=format.value, folder=out, force=force
    )


@app.command()
def report(run: Annotated[Path, typer.Argument(help="A run's folder.")]) -> None:
    """Write the run's report again from its findings."""
    from striate.cli.training import report_command

    report_command(run)


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
    format: Formats = Format.table,
) -> None:
    """Layer by layer: output size, window, receptive field, parameters, multiply-adds."""
    from striate.cli.summarising import summary_command

    summary_command(
        target, input=input, classes=classes, depth=depth, figure=figure, image=image,
        utilisation=utilisation, effective=effective, layer=layer, force=force, format=format.value,
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
def tile(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    image: Annotated[
        Path, typer.Argument(help="A TIFF, PNG, JPEG, .npy or Zarr image of any size.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Classes and certificate as JSON; for a run that labels pixels the map, .tif, .npy or .zarr.",
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
    force: Annotated[
        bool, typer.Option("--force", help="Write over an output that exists.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            help="Compare with the plain network where that is cheap; withhold what differs."
        ),
    ] = True,
    format: Formats = Format.table,
) -> None:
    """Run the network on an image of any size, in bounded memory, at the image's own resolution."""
    from striate.cli.tiling import tile_command

    tile_command(
        run,
        image,
        out=out,
        memory=memory,
        tile=tile,
        page=page,
        force=force,
        format=format.value,
        check=check,
    )


@app.command()
def explain(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SPEC",
            help="A run's folder, or a model with weights such as efficientnet-lite0 or timm/NAME.",
        ),
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", help="Images, folders, or patterns such as 'photos/*.jpg'."
        ),
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method", "-m", help="Only this method; may be given again. All by default."
        ),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(
            "--target", "-t", metavar="CLASS", help="Class to explain, by name or number."
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="ROW,COL", help="A pixel of a labelling network's map, or 10:40,20:60."
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Grad-CAM's layer (see `striate summary`).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="One picture (.png), arrays (.npz, .safetensors), or a folder for a picture a method.",
        ),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust/--no-trust",
            "--check/--no-check",
            help="Check how far each map can be trusted.",
        ),
    ] = True,
    seed: Annotated[int, typer.Option(help="Of noise and of the checks.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Write over an output that exists.")
    ] = False,
    format: Formats = Format.table,
) -> None:
    """Which pixels decided: maps by ten methods, each with how far to trust it."""
    from striate.cli.explaining import explain_command

    explain_command(
        target,
        images,
        methods=method or [],
        target=of,
        at=at,
        layer=layer,
        out=out,
        trust=trust,
        seed=seed,
        force=force,
        format=format.value,
    )


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
    format: Formats = Format.table,
) -> None:
    """What every unit looks for: layers, a layer's wall, or one unit's dossier."""
    from striate.cli.units import units_command

    units_command(
        target,
        layer=layer,
        unit=unit,
        data=data,
        image=image,
        out=out,
        limit=limit,
        seed=seed,
        force=force,
        format=format.value,
    )


@app.command()
def probe(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="shift, rotation, scale, flip, corruption, domain, spectrum, attack, calibration, shortcuts (of masks: shift, scale, flip, corruption, calibration); all if none. Another run's folder instead compares the two.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Test images instead of the run's own: a source or a folder.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Images of another domain, labelled or not, for the probe domain."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time, such as 60s; fewer images, wider intervals.")
    ] = None,
    images: Annotated[int, typer.Option(help="Images looked at, at most.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of noise and of the choice of images.")] = 0,
    store_temperature: Annotated[
        bool,
        typer.Option("--store-temperature", help="Let predict use the fitted temperature."),
    ] = False,
    format: Formats = Format.table,
) -> None:
    """Where it breaks: shift, corruption, other domains, waves, attacks, shortcuts; which units are to blame."""
    from striate.cli.probing import probe_command

    probe_command(
        run,
        names or [],
        data=data,
        against=against,
        budget=budget,
        images=images,
        seed=seed,
        store_temperature=store_temperature,
        format=format.value,
    )


@app.command()
def diagnose(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="gradients, activations, filters, updates, rates, initial-loss, one-batch, labels; all if none.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Images instead of the run's own: a source or a folder.")
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(help="Images looked at, at most; 2000 if not given, all to cross-validate."),
    ] = None,
    cross_validate: Annotated[
        int | None,
        typer.Option(
            metavar="K", help="Judge each label by one of K networks trained without its image."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the choice of images and the folds.")] = 0,
    format: Formats = Format.table,
) -> None:
    """What is wrong inside: gradients, units, filters, updates, learning rates, the start, one batch, labels."""
    from striate.cli.diagnosing import diagnose_command

    diagnose_command(
        run, names or [], data=data, images=images, cross_validate=cross_validate, seed=seed,
        format=format.value,
    )  # fmt: skip


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
