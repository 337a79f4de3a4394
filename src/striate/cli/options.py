"""The command line's application, and options that several commands have. Nothing slow is imported here."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from striate.runs import Run

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
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="FILE.py:FUNCTION",
        help="What makes the network of a run that was wrapped or trained in Python; the file is run.",
    ),
]
Tasks = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="What to learn: classify, multilabel (tags), regression (numbers) or segment; the data decide.",
    ),
]
Folder = Annotated[Path, typer.Argument(help="A run's folder.")]


def opened(target: str | Path, model: str | None) -> Run | str | Path:
    """The target, or its run with the network that `model` makes."""
    if model is None:
        return target
    from striate import api

    return api.load(target, model=api.find_factory(model))
