"""`striate experiment`."""

from __future__ import annotations

import time
from pathlib import Path

from rich.progress import Progress

from striate import __version__
from striate.cli.console import err, out, print_csv, print_path
from striate.documents import to_json
from striate.errors import UsageError
from striate.findings import Finding, Table
from striate.lectures.experiments import (
    EXPERIMENTS,
    experiment_folder,
    run_experiment,
    write_experiment,
)
from striate.lectures.experiments.setting import Setting
from striate.report.terminal import terminal
from striate.training.recipe import parse_seconds


def experiment_command(
    name: str | None, *, folder: Path | None, seed: int, budget: str | None, format: str
) -> None:
    """List the experiments, or run one, print its findings and the path of its page."""
    if name is None:
        if folder is not None or budget is not None:
            raise UsageError(f"name the experiment to run: {', '.join(EXPERIMENTS)}")
        show_list(format)
        return
    started = time.perf_counter()
    seconds = parse_seconds(budget) if budget is not None else None
    with experiment_folder(name, folder) as made, Progress(console=err, transient=True) as bar:
        task = bar.add_task("opening", total=None)

        def progress(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of or None)

        found = run_experiment(name, Setting(seed=seed, budget=seconds, progress=progress))
        took = time.perf_counter() - started
        facts = {"Experiment": name, "Seed": str(seed), "Time": f"{took:.0f} s"}
        made_by = f"Made by `striate experiment {name} --seed {seed}`, Striate {__version__}"
        page = write_experiment(made, name, found, facts=facts, generated=made_by)
    if format == "json":
        print(to_json([f.to_dict() for f in found]))
    elif format == "csv":
        print_csv({"finding": f.name, "status": f.status, "verdict": f.verdict} for f in found)
    else:
        for finding in found:
            out.print(terminal(finding, folder=made / "findings"))
        print_path(page)


def show_list(format: str) -> None:
    """Every experiment with its sentence."""
    rows = tuple((name, entry.about) for name, entry in EXPERIMENTS.items())
    finding = Finding(
        name="experiments",
        title="Experiments",
        verdict=f"{len(rows)} experiments of the lectures, from data to verdict; `striate experiment NAME` runs one.",
        tables=(Table(columns=("experiment", "what it shows"), rows=rows),),
        data={"experiments": {name: entry.about for name, entry in EXPERIMENTS.items()}},
    )
    if format == "json":
        print(to_json(finding.to_dict()))
    elif format == "csv":
        print_csv({"experiment": n, "about": a} for n, a in rows)
    else:
        out.print(terminal(finding))
