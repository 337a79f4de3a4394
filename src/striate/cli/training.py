"""`striate train`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from striate.cli.clock import began
from striate.cli.options import Device, Seed, Settings, Tasks, app, parse_settings
from striate.cli.ranks import leads
from striate.errors import UsageError

TAKEN = {
    "data": "name the data as DATA",
    "out": "give it as --out",
    "resume": "give --resume",
    "watch": "give --watch",
    "find_rate": "give --find-rate",
    "augment": "an augmentation of your own is given in Python",
    "callbacks": "they are given in Python",
    "listener": "leave it out",
    "started": "leave it out",
}


@app.command()
def train(
    data: Annotated[
        str,
        typer.Argument(
            help="A source (see `striate data`), a folder with a folder a class or with images/ and masks/, or a table."
        ),
    ],
    task: Tasks = None,
    model: Annotated[
        str | None,
        typer.Option(help="A name (see `striate models`), a layer pattern, or timm/NAME."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="The run's folder; a number is added when it is taken."),
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
        str | None,
        typer.Option(help="Start from the weights in this file, as any trainer saved them."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    settings: Settings = None,
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
    from striate import api
    from striate.cli.console import print_path
    from striate.cli.live import Terminal

    if budget is not None and epochs is not None:
        raise UsageError("--epochs and --budget are two ways to say how long; give one of them")
    options: dict[str, Any] = {
        "task": task, "model": model, "epochs": epochs, "budget": budget, "size": size, "pretrained": pretrained,
        "weights": weights, "seed": seed, "device": device, "precision": precision,
    }  # fmt: skip
    for key, value in parse_settings(settings or [], TAKEN).items():
        if options.get(key) not in (None, "auto", 0):
            raise UsageError(f"{key} was given twice: as --{key} and as --set {key}; give it once")
        options[key] = value
    if not leads():  # another process of this training shows it and writes
        api.train(
            data,
            out=out,
            resume=resume,
            watch=watch,
            find_rate=find_rate,
            started=began(),
            **options,
        )
        return
    listener = Terminal()
    with listener.progress:
        run = api.train(
            data, out=out, resume=resume, watch=watch, find_rate=find_rate, listener=listener, started=began(),
            **options,
        )  # fmt: skip
    print_path(run.path / "report.html")
