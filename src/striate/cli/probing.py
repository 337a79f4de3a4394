"""`striate probe`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress

from striate.cli.console import err, print_csv, print_finding
from striate.runs.probing import compare_runs, probe_run
from striate.training import parse_seconds


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
    second = names[0] if names and (Path(names[0]) / "run.toml").is_file() else None
    seconds = parse_seconds(budget) if budget is not None else None
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
        for finding in found:
            print_finding(finding, format)
        print(run / "report.html")
