"""`striate diagnose`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress

from striate.cli.console import err, print_csv, print_finding
from striate.runs.diagnosing import diagnose_run


def diagnose_command(
    run: Path, names: Sequence[str], *, data: str | None, images: int, seed: int, format: str
) -> None:
    """Diagnose a run and print the findings."""
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("opening", total=None)

        def progress(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        found = diagnose_run(run, names, data=data, images=images, seed=seed, progress=progress)
    if format == "json":
        print(json.dumps([f.to_dict() for f in found], indent=1, default=str))
    elif format == "csv":
        print_csv(
            {"diagnostic": f.name, "status": f.status, "verdict": f.verdict, "advice": f.advice}
            for f in found
        )
    else:
        for finding in found:
            print_finding(finding, format)
        print(run / "report.html")
