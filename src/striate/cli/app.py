"""The commands. Each stands in a module of its own, which registers it when it is imported, and imports what it calls when
it runs, so that `--help` is instant."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import typer
import typer.main

from striate.cli import (
    comparing,
    converting,
    describing,
    diagnosing,
    dissecting,
    experimenting,
    explaining,
    exporting,
    galleries,
    predicting,
    probing,
    reporting,
    reviewing,
    studio,
    summarising,
    sweeping,
    teaching,
    tiling,
    training,
    units,
    wrapping,
)
from striate.cli.options import app

__all__ = [
    "app",
    "command",
    "comparing",
    "converting",
    "describing",
    "diagnosing",
    "dissecting",
    "experimenting",
    "explaining",
    "exporting",
    "galleries",
    "predicting",
    "probing",
    "reporting",
    "reviewing",
    "studio",
    "summarising",
    "sweeping",
    "teaching",
    "tiling",
    "training",
    "units",
    "wrapping",
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


@functools.cache
def command() -> Any:
    """All commands, made once: where many are run in one process, making them is most of a short one."""
    return typer.main.get_command(app)


ORDER = (
    "train", "sweep", "predict", "merge", "report", "studio", "review", "data", "convert", "models", "summary", "lecture",
    "tile", "explain", "compare", "units", "dissect", "probe", "diagnose", "experiment", "wrap", "export", "verify",
)  # fmt: skip
"""In which `--help` lists them."""

app.registered_commands.sort(key=lambda command: ORDER.index(str(getattr(command.callback, "__name__", ""))))  # fmt: skip
