"""`striate probe`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import Data, Folder, Format, Formats, Model, Seed, app, opened
from striate.errors import UsageError

BRIEF = 3  # probes from which on tables are left to the report


@app.command()
def probe(
    run: Folder,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="shift, rotation, scale, flip, corruption, domain, spectrum, attack, calibration, shortcuts (of "
            "masks: shift, scale, flip, corruption, calibration); all if none. Only by name, because it trains: samples. "
            "Another run's folder instead compares the two.",
        ),
    ] = None,
    data: Data = None,
    against: Annotated[
        str | None,
        typer.Option(help="Images of another domain, labelled or not, for the probe domain."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time, such as 60s; fewer images, wider intervals.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "--images",
            help="Images looked at, at most; 2000 if not given, fewer for the costly probes of a large network.",
        ),
    ] = None,
    seed: Seed = 0,
    store_temperature: Annotated[
        bool,
        typer.Option("--store-temperature", help="Let predict use the fitted temperature."),
    ] = False,
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Where it breaks: shift, corruption, other domains, waves, attacks, shortcuts; where failures enter."""
    from striate import api
    from striate.cli.console import print_findings, print_path, progress

    names = names or []
    second = None if not names or names[0] in api.PROBES else other_run(names)
    if second is not None and (against or budget is not None or store_temperature):
        raise UsageError(
            "--against, --budget and --store-temperature are for probing one run; two are compared on --limit N images"
        )
    with progress("opening") as bar:
        if second is not None:
            found = [
                api.compare(
                    run,
                    second,
                    names=names[1:],
                    data=data,
                    limit=2000 if limit is None else limit,
                    seed=seed,
                    progress=bar,
                )
            ]
        else:
            found = api.probe(
                opened(run, model), data, names=names, against=against, limit=limit, budget=budget, seed=seed,
                store_temperature=store_temperature, progress=bar,
            )  # fmt: skip
    if format is not Format.table:
        print_findings(found, format, kind="probe")
        return
    for finding in found:
        # The tables are in the report; ten of them would bury the sentences.
        brief = len(found) > BRIEF or finding.name == "checklist"
        print_findings([finding], format, tables=not brief)
    print_path(Path(run) / "report.html")


def other_run(names: Sequence[str]) -> Path | None:
    """The run to compare with, where the first name is a folder. Raises UsageError for a path where there is none."""
    path = Path(names[0])
    if names[0] and path.is_dir():
        return path
    if os.sep in names[0] or "/" in names[0]:
        raise UsageError(f"there is no run at {path} to compare with; give a run's folder")
    return None
