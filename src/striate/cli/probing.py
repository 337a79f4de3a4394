"""`striate probe`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from striate.cli.console import err, print_csv, print_finding
from striate.errors import UsageError
from striate.findings import Finding
from striate.robustness import PROBES
from striate.runs.probing import probe_run
from striate.runs.probing_pairs import compare_runs
from striate.training import parse_seconds

BRIEF = 3  # probes from which on tables are left to the report


def probe_command(
    run: Path,
    names: Sequence[str],
    *,
    data: str | None,
    against: str | None,
    images: int,
    budget: str | None,
    seed: int,
    store_temperature: bool,
    format: str,
) -> None:
    """Probe a run, or compare two where the first name is another run's folder; print the findings."""
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
                compare_runs(
                    run, second, names[1:], data=data, images=images, seed=seed, progress=progress
                )
            ]
        else:
            found = probe_run(
                run, names, data=data, against=against, images=images, budget=seconds, seed=seed,
                store_temperature=store_temperature, progress=progress,
            )  # fmt: skip
    if format == "json":
        print(json.dumps([f.to_dict() for f in found], indent=1, default=str))
    elif format == "csv":
        print_csv(
            {"probe": f.name, "status": f.status, "verdict": f.verdict, "advice": f.advice}
            for f in found
        )
    else:
        show(found)
        print(run / "report.html")


def other_run(names: Sequence[str]) -> Path | None:
    """The run to compare with, where the first name is a folder. Raises UsageError for a path where there is none."""
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
    brief = len(found) > BRIEF
    for finding in found:
        if brief or finding.name == "checklist":
            # The tables are in the report; ten of them would bury the sentences.
            finding = replace(finding, tables=())
        print_finding(finding, "table")
