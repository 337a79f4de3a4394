"""Evaluate: everything that a run's report says, found once after training and stored in the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from striate.errors import StriateError
from striate.geometry import summary, trace
from striate.report import write_report
from striate.runs import provenance
from striate.runs.allowance import FIGURES, Allowance
from striate.runs.dossiers import unit_findings
from striate.runs.explaining import BUDGET as EXPLAINING
from striate.runs.explaining import explanations
from striate.runs.run import Run
from striate.runs.training_curves import training_curves
from striate.tasks.adopting import kind_of
from striate.tasks.task import never
from striate.training.callbacks import Listener

WRITTEN = 12  # figures that follow the explanations in a report
LEAST_SCORED = 4  # held-out images, however short the budget
SHORTEST = 1.0  # seconds below which no explanation is begun


def evaluate_run(
    run: Run,
    source: Any,
    listener: Listener,
    *,
    device: torch.device | None = None,
    why: Sequence[str] = (),
    allowance: Allowance | None = None,
) -> None:
    """Evaluate `run` on its held-out images, store the findings and leave the numbers in `run.info`.

    Uses the test split, or the validation split where there is no test split. allowance: the command's time; explanations
    and units are made as far as it goes.
    """
    listener.stage("evaluating")
    task, trained = run.task, run.trained
    name, split = ("test", source.test) if len(source.test) else ("val", source.val)
    run.add(task.describe(source, run.preprocessing))
    if not run.wrapped:  # nothing is to be trained on them
        run.add(task.check(source))
    headline = None
    if len(split):
        whole = len(split)
        split, assessed = assess_in_time(
            run, split, device or torch.device("cpu"), listener, allowance
        )
        run.info["results"] = {
            "split": name,
            "images": len(split),
            **task.results(assessed, run.classes),
        }
        for finding in task.report(trained, source, split, assessed, say=listener.say):
            if headline is None and len(split) < whole:
                part = f"Measured on {len(split):,} of {whole:,} images, drawn at random: as many as the budget allowed."
                finding = replace(finding, verdict=f"{finding.verdict} {part}")
            run.add(finding)
            headline = headline or finding
        if task.explained:
            explain_in_time(run, source, split, listener, allowance)
    if run.metrics:
        run.add(training_curves(run.metrics))
    try:
        traced = trace(run.model, trained.shape)
        run.add(summary(replace(traced, kind=kind_of(run.model))))
    except StriateError as error:
        listener.say(f"no layer table: {error}")
    facts = {
        **run.info.get("training", {}),
        "data": run.info["data"]["where"],
        "fingerprint": source.fingerprint,
    }
    recipe = provenance.recipe(
        run.info["recipe"], run.info["versions"], facts=facts | {"decided": list(why)}
    )
    if run.wrapped:
        elsewhere = "The network was trained elsewhere; these are the settings and versions of its analysis."
        recipe = replace(recipe, verdict=elsewhere)
    run.add(recipe)
    if headline is not None:
        listener.finding(headline)


def assess_in_time(
    run: Run, split: Any, device: torch.device, listener: Listener, allowance: Allowance | None
) -> tuple[Any, Any]:
    """The images that were measured, and what was found of them: all, or with a budget as many as its time allows.

    With a budget they come in a random order, until the time that is left is needed for the figures that follow.
    """
    enough = never
    if allowance is not None and allowance.seconds is not None:
        split = split.take(np.random.default_rng(run.recipe.seed).permutation(len(split)))
        needed = FIGURES * allowance.figure

        def enough(done: int) -> bool:
            return done >= LEAST_SCORED and allowance.left() < needed

    assessed = run.task.assess(
        run.trained, split, device=device, progress=listener.count, enough=enough
    )
    return split.take(range(len(assessed))) if len(assessed) < len(split) else split, assessed


def explain_in_time(
    run: Run, source: Any, split: Any, listener: Listener, allowance: Allowance | None
) -> None:
    """Explanations and units, as far as the command's time goes."""
    writing = WRITTEN * (allowance.figure if allowance else 0.0)
    free = allowance.left() - writing if allowance else float("inf")
    if free < SHORTEST:
        listener.say(
            f"no explanations or units: the budget is spent; `striate explain {run.path} IMAGE` and `striate units "
            f"{run.path}` make them"
        )
    else:
        explain_run(run, source, split, listener, min(EXPLAINING, 0.6 * free))


def explain_run(run: Run, source: Any, split: Any, listener: Listener, seconds: float) -> None:
    """Explanations, as many as fit into the seconds, and units; a sentence where the network allows none."""
    try:
        if (explained := explanations(run, split, budget=seconds)) is not None:
            run.add(explained)
    except StriateError as error:
        listener.say(f"no explanations: {error}")
    try:
        for finding in unit_findings(run, source):
            run.add(finding)
    except StriateError as error:
        listener.say(f"no units: {error}")


def report_run(run: Run, out: Path | None = None) -> None:
    """Write `report.html`, or `out`, from the run's findings, the checklist of a probed run brought up to date.

    Raises RunError where it cannot be written.
    """
    if (run.path / "findings" / "checklist.json").is_file():
        from striate.robustness import checklist, probes_of

        run.add(checklist(list(run.findings()), probes_of(run.task)))
    recipe, data = run.recipe, run.info["data"]
    results = run.info.get("results", {})
    outputs = run.task.outputs[len(run.classes) != 1]
    trained_here = {
        "trained for": f"{run.info.get('training', {}).get('seconds', 0):.0f} s",
        "image size": f"{run.preprocessing.height} × {run.preprocessing.width}",
        "seed": str(recipe.seed),
    }
    facts = {"tested on": f"{results.get('images', 0):,} images", **trained_here}
    # A folder is called by its name where it was given as "." or "..".
    where = str(recipe.data)
    named = Path(where).resolve().name if where.strip("./") == "" else where
    title, kept = f"{recipe.model} on {named}", f"{data['train']:,} training images"
    if run.wrapped:
        title, kept = f"{recipe.model}, trained elsewhere", run.info["wrapped"]["made_of"]
        tested = {"tested on": facts["tested on"]} if results.get("images") else {}
        facts = {**tested, "image size": facts["image size"]}
    write_report(
        out or run.path / "report.html",
        list(run.findings()),
        title=title,
        subtitle=f"{run.path.name}: {len(run.classes)} {outputs}, {kept}",
        facts=facts,
        generated=f"{run.info['created']} by Striate {run.info['versions']['striate']}",
    )
