"""The command line's application, and the options that several commands have. Nothing slow is imported here.

Numbers are checked where the public functions take them, by the one table of `striate.ranges`; paths are passed on as text,
so that an empty one is not taken for the present folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from striate.errors import UsageError

if TYPE_CHECKING:
    from striate.api import Run

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
        help="What to learn: classify, multilabel (tags), regression, segment, detect or instances; else the data decide.",
    ),
]
Folder = Annotated[str, typer.Argument(help="A run's folder.")]
Network = Annotated[
    str,
    typer.Argument(
        metavar="RUN|SPEC",
        help="A run's folder, or a model with weights such as efficientnet-lite0 or timm/NAME.",
    ),
]
Images = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE...", help="Images, folders, or patterns such as 'photos/*.jpg'."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any other setting of the recipe; may be given again.",
    ),
]
Seed = Annotated[int, typer.Option(help="Everything random follows from it.")]
Unit = Annotated[
    str | None, typer.Option("--layer", help="One layer's units alone (see `striate summary`).")
]
Pages = Annotated[
    str | None,
    typer.Option("--out", "-o", help="A page (.html), pictures (.png), or a folder for both."),
]
Data = Annotated[
    str | None,
    typer.Option("--data", help="Images instead of the run's own: a source or a folder."),
]
Limit = Annotated[int, typer.Option("--limit", "--images", help="Images looked at, at most.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Force = Annotated[bool, typer.Option("--force", help="Write over an output that exists.")]

Shards = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="K/N",
        help="Only the K-th of N parts, into --parts; `striate merge` puts them together.",
    ),
]
Parts = Annotated[
    str | None,
    typer.Option(
        "--parts", metavar="DIR", help="Where shards go; a shard that was stopped goes on."
    ),
]
On = Annotated[
    str | None,
    typer.Option("--on", metavar="ray", help="Run on a Ray cluster, with what is done in --parts."),
]
Workers = Annotated[
    int | None,
    typer.Option(help="Of --on ray; one a processor or GPU of the cluster if not given."),
]


def belong_together(
    shard: str | None, parts: str | None, on: str | None, workers: int | None
) -> None:
    """Raise UsageError for one of these options without those that it needs."""
    if on not in (None, "ray"):
        raise UsageError(
            f"--on takes ray, got {on!r}; on Slurm and by hand --shard K/N does the same"
        )
    if on is not None and shard is not None:
        raise UsageError("--on ray deals out the work by itself; leave --shard out")
    if on is None and workers is not None:
        raise UsageError("--workers is how many --on ray has; give both, or neither of them")
    if on is not None and parts is None:
        raise UsageError(
            "--on ray keeps what is done in a folder that all machines reach; give --parts DIR"
        )
    if on is None and (shard is None) != (parts is None):
        raise UsageError(
            "--shard K/N and --parts DIR belong together; give both, or neither of them"
        )


def opened(target: str, model: str | None) -> Run | str:
    """The target, or its run with the network that `model` makes."""
    if model is None:
        return target
    from striate import api

    if not os.path.lexists(os.path.join(os.path.expanduser(target), "run.toml")):
        raise UsageError(
            f"--model says what makes the network of a run, and there is no run at {target}; give a run's folder, or leave "
            "--model out"
        )
    return api.load(target, model=api.find_factory(model))


def parse_settings(pairs: Sequence[str], taken: Mapping[str, str]) -> dict[str, str]:
    """`key=value` texts as a mapping.

    taken: names that are arguments of the command and no settings of a recipe, each with how it is given instead. Raises
    UsageError for one of those, for a key that is given twice, and for a text without `=`.
    """
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(
                f"--set takes KEY=VALUE, got {pair!r}; write for example --set lr=0.01"
            )
        name = key.strip().replace("-", "_")
        if name in taken:
            raise UsageError(f"--set {name}: it is no setting of a recipe; {taken[name]}")
        if name in settings:
            raise UsageError(f"--set {name} was given twice; give it once")
        settings[name] = value.strip()
    return settings
