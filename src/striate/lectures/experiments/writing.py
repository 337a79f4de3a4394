"""An experiment's folder: the page, its findings as JSON, every figure as a file; whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from striate.errors import RunError, WriteError
from striate.findings import Finding
from striate.lectures.experiments.drawing import Chart
from striate.lectures.experiments.setting import Progress, Setting, silent
from striate.lectures.experiments.table import find_experiment, run_experiment
from striate.report import write_report
from striate.runs.record import versions
from striate.runs.run import new_folder
from striate.writing import write_atomically, writing_folder


def make_experiment(
    name: str,
    out: Path | None = None,
    *,
    seed: int = 0,
    budget: float | None = None,
    data: str | None = None,
    progress: Progress = silent,
) -> tuple[list[Finding], Path]:
    """Run an experiment into a folder of its own; see `striate.experiment`."""
    began = time.perf_counter()
    with experiment_folder(name, out) as folder:
        setting = Setting(seed=seed, budget=budget, data=data, progress=progress)
        found = run_experiment(name, setting)
        seconds = time.perf_counter() - began
        facts = {"Experiment": name, "Seed": str(seed), "Time": f"{seconds:.0f} s"}
        given = "" if data is None else f" --data {shlex.quote(data)}"
        if data is not None:
            facts["Data"] = data
        made_by = f"Made by `striate experiment {name}{given} --seed {seed}`, Striate {versions()['striate']}"
        return found, write_experiment(folder, name, found, facts=facts, generated=made_by)


@contextmanager
def experiment_folder(name: str, given: Path | None = None) -> Iterator[Path]:
    """A new folder for an experiment: `wanted`, or `experiments/NAME-1`; a number is added when it is taken.

    It is gone again, with the folders that were made above it, when the block ends with nothing in it, as it does when the
    work is refused or interrupted.
    Raises UsageError for an unknown experiment, RunError where the folder cannot be made.
    """
    find_experiment(name)
    made = not (given is not None and given.is_dir())
    wanted = given or Path("experiments") / name
    above = [p for p in wanted.parents if not p.exists()]  # made for it, the nearest first
    folder = new_folder(wanted, numbered=given is None)
    try:
        yield folder
    finally:
        if made or folder != given:
            with contextlib.suppress(OSError):
                for one in (folder, *above):
                    one.rmdir()  # refuses a folder that holds anything


def write_experiment(
    folder: Path,
    name: str,
    findings: Sequence[Finding],
    *,
    facts: Mapping[str, str],
    generated: str,
) -> Path:
    """Fill an empty folder with `report.html`, `findings/*.json` and the figures, charts as SVG and as PNG; the page's path.

    Nothing appears before everything is written. Raises RunError where it cannot be.
    """
    entry = find_experiment(name)
    try:
        with writing_folder(folder) as part:
            for finding in findings:
                finding.save(part / "findings")
                for i, figure in enumerate(finding.figures, 1):
                    if isinstance(figure, Chart):
                        write_atomically(
                            part / "findings" / f"{finding.name}-{i}.png", figure.png, durable=False
                        )
            page = write_report(
                part / "report.html", findings, title=entry.title, subtitle=entry.about, facts=facts, generated=generated,
            )  # fmt: skip
    except (OSError, WriteError) as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise RunError(
            f"cannot write the experiment to {folder}: {reason}; choose another folder with -o"
        ) from error
    return folder / page.name
