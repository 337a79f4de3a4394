"""Reporting: a trained network evaluated, or shown, on images that are given, and the page of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from striate.data import Source
from striate.data.files import find_files
from striate.data.tree import lies_loose
from striate.errors import DataError, StriateError, UsageError
from striate.findings import Finding, Table
from striate.geometry import summary, trace
from striate.runs.dossiers import units_of
from striate.runs.evaluate import evaluate_run, report_run
from striate.runs.explaining import explain_images
from striate.runs.images import source_of
from striate.runs.wrapping import lent_run, network_input
from striate.tasks.adopting import kind_of
from striate.tasks.trained import Trained
from striate.training.callbacks import Listener

SHOWN = 10  # images that are explained
LISTED = 1000  # predictions
UNITS = ("filters", "selective-units", "dead-units")


def report_data(trained: Trained, data: str | None, out: Path | None = None) -> Path:
    """Evaluate a network on `data`, if that is given, and write its page; returns where.

    data: a source, a folder with one folder of images a class, or one of images alone. Findings stay in the network's run,
    if it has one.
    """
    with lent_run(trained) as run:
        if data is not None and Path(data).is_dir() and lies_loose(Path(data)):
            for finding in shown(trained, data):
                run.add(finding)
        elif data is not None:
            source = matched(source_of(run, data), run.classes)
            source = as_tested(source) if run.wrapped else source
            run.info["data"] = {
                "where": source.where, "fingerprint": run.info["data"]["fingerprint"],
                **{name: len(split) for name, split in source.splits.items()},
            } if run.wrapped else run.info["data"]  # fmt: skip
            evaluate_run(run, source, Listener())
            if run.wrapped and trained.run is not None:
                run.save_info()
        elif not any(run.findings()):
            raise UsageError(
                f"nothing was found of {run.path} yet, whose folder findings is empty; give images with --data FOLDER, in "
                "Python data="
            )
        report_run(run, out)
        return out or run.path / "report.html"


def as_tested(source: Any) -> Any:
    """A source whose images nobody learned from, all of them as test images where it has no others."""
    if len(source.test) or len(source.val):
        return source
    return replace(source, train=source.train.take([]), test=source.train)


def matched(source: Any, classes: Sequence[str]) -> Any:
    """A source whose labels number a network's classes, where it has labels and lacks some or orders them otherwise."""
    if tuple(source.classes) == tuple(classes) or not isinstance(source, Source):
        return source
    if not set(source.classes) <= set(classes):  # identities, which are no outputs
        return source
    place = np.array([tuple(classes).index(name) for name in source.classes])
    splits: dict[str, Any] = {
        name: replace(split, labels=place[split.labels]) for name, split in source.splits.items()
    }
    return replace(source, classes=tuple(classes), **splits)


def shown(trained: Trained, folder: str) -> list[Finding]:
    """What the network says of images without labels: its input, predictions, explanations, units and layers."""
    made = [predicted(trained, folder), network_input(trained, folder)]
    files = find_files(folder).files[:SHOWN]
    if trained.task.explained:
        images = [(Path(name).name, pixels) for name, pixels in readable(trained, files)]
        explained = explain_images(trained, images, len(images))
        made += [explained] if explained is not None else []
    try:
        made += [f for f in units_of(trained, data=folder) if f.name in UNITS]
        traced = trace(trained.model, trained.shape)
        made.append(summary(replace(traced, kind=kind_of(trained.model))))
    except StriateError:  # a network that cannot be traced is shown without its layers
        pass
    return made


def predicted(trained: Trained, folder: str) -> Finding:
    """The predictions of the images in a folder, as the first section of a report."""
    inputs = find_files(folder)
    predictions = list(trained.task.predict(trained, inputs, top=1))
    rows = [row for p in predictions for row in p.rows(1)]
    read = [p for p in predictions if p.error is None]
    names = list(rows[0])
    return Finding(
        name="headline",
        title="Predictions",
        verdict=f"{len(read):,} images without labels: what the network says of each; how often it is right is not known.",
        status="note",
        tables=(
            Table(
                columns=tuple(names),
                rows=tuple(tuple(_cell(row[n]) for n in names) for row in rows[:LISTED]),
                formats=tuple(".1%" if n.startswith(("probability", "share")) else "" for n in names),
            ),
        ),
        data={"predictions": [p.document() for p in predictions[:LISTED]]},
    )  # fmt: skip


def readable(trained: Trained, files: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Files that can be read, as the network sees them."""
    for name in files:
        try:
            yield name, trained.read(name)
        except DataError:  # its row says why
            continue


def _cell(value: Any) -> Any:
    return value if isinstance(value, int | float) else Path(str(value)).name
