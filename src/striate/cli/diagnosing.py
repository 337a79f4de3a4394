"""`striate diagnose`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.progress import Progress

from striate.cli.console import err, print_csv, print_finding
from striate.errors import StriateError
from striate.runs.diagnosing import diagnose_run


def diagnose_command(
    run: Path, names: Sequence[str], *, data: str | None, images: int | None, cross_validate: int | None, seed: int,
    format: str,
) -> None:  # fmt: skip
    """Diagnose a run and print the findings; what could not be done is said on standard error, and fails where named."""
    failed: list[tuple[str, StriateError]] = []
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("opening", total=None)

        def progress(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        found = diagnose_run(
            run, names, data=data, images=images, cross_validate=cross_validate, seed=seed,
            progress=progress, refused=lambda name, error: failed.append((name, error)),
        )  # fmt: skip
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
    for name, error in failed:
        err.print(escape(f"{name} could not be done: {error}"), soft_wrap=True)
    if names and failed:
        raise SystemExit(failed[0][1].exit_status)
