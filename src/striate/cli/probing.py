"""`striate probe`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.options import Folder, Format, Formats, Model, app, opened
from striate.documents import to_json
from striate.errors import UsageError

if TYPE_CHECKING:
    from striate.findings import Finding

BRIEF = 3  # probes from which on tables are left to the report


@app.command()
def probe(
    run: Folder,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="shift, rotation, scale, flip, corruption, domain, spectrum, attack, calibration, shortcuts (of "
            "masks: shift, scale, flip, corruption, calibration); all if none. "
            "Another run's folder instead compares the two.",
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
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Where it breaks: shift, corruption, other domains, waves, attacks, shortcuts; where failures enter."""
    from rich.progress import Progress

    from striate import api
    from striate.cli.console import err, print_csv, print_path
    from striate.training import parse_seconds

    names = names or []
    second = other_run(names)
    seconds = parse_seconds(budget) if budget is not None else None
    if second is not None and (against or seconds is not None or store_temperature):
        raise UsageError(
            "--against, --budget and --store-temperature are for probing one run; two are compared on --images N"
        )
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("opening", total=None)

        def progress(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        if second is not None:
            found = [
                api.compare(
                    run,
                    second,
                    names=names[1:],
                    data=data,
                    limit=images,
                    seed=seed,
                    progress=progress,
                )
            ]
        else:
            found = api.probe(
                opened(run, model), data, names=names, against=against, limit=images, budget=seconds, seed=seed,
                store_temperature=store_temperature, progress=progress,
            )  # fmt: skip
    if format is Format.json:
        print(to_json([f.to_dict() for f in found]))
    elif format is Format.csv:
        print_csv(
            {"probe": f.name, "status": f.status, "verdict": f.verdict, "advice": f.advice}
            for f in found
        )
    else:
        show(found)
        print_path(run / "report.html")


def other_run(names: Sequence[str]) -> Path | None:
    """The run to compare with, where the first name is a folder. Raises UsageError for a path where there is none."""
    from striate.robustness import PROBES

    if not names or names[0] in PROBES:
        return None
    path = Path(names[0])
    if path.is_dir():
        return path
    if os.sep in names[0] or "/" in names[0]:
        raise UsageError(f"there is no run at {path} to compare with; give a run's folder")
    return None


def show(found: Sequence[Finding]) -> None:
    """Findings for people: with their tables where there are few, and the checklist's sentence alone."""
    from striate.cli.console import print_finding

    brief = len(found) > BRIEF
    for finding in found:
        if brief or finding.name == "checklist":
            # The tables are in the report; ten of them would bury the sentences.
            finding = replace(finding, tables=())
        print_finding(finding, "table")
