"""`striate sweep`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from striate.cli.options import (
    Device,
    Format,
    Formats,
    Seed,
    Settings,
    Tasks,
    app,
    parse_settings,
)
from striate.cli.training import TAKEN
from striate.errors import UsageError


@app.command()
def sweep(
    data: Annotated[
        str, typer.Argument(help="A source, a folder or a table, as for `striate train`.")
    ],
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUES",
            help="A setting and its values, such as lr=0.1,0.01, or with --trials a range such as lr=1e-4..1e-1; may be "
            "given again.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="The sweep's folder; one that was stopped goes on."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time of all trials together, such as 1h, spent by successive halving."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="How many are drawn; all combinations if not given.")
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help="grid, random or optuna; random where --trials is given.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="K/N", help="The K-th of N processes that share --out."),
    ] = None,
    task: Tasks = None,
    epochs: Annotated[float | None, typer.Option(help="Of each trial, without --budget.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    settings: Settings = None,
    format: Formats = Format.table,
) -> None:
    """Train with each combination of settings, and compare them on one page."""
    from striate import api
    from striate.cli.console import print_csv, print_finding, print_json, print_path, say

    own: dict[str, Any] = dict(parse_settings(settings or [], TAKEN))
    for name in ("task", "epochs", "device", "seed", "budget"):
        if name in own:
            raise UsageError(f"--set {name}: give it as --{name}")
    found = api.sweep(
        data, over=over or [], out=out, budget=budget, trials=trials, sampler=sampler, shard=shard, seed=seed, say=say,
        task=task, epochs=epochs, device=device, **own,
    )  # fmt: skip
    if format is Format.json:
        print_json(found.data)
    elif format is Format.csv:
        print_csv(found.data["trials"])
    else:
        print_finding(found)
        print_path(found.data["page"])
