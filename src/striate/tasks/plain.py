"""Plain findings: what a task says of its data and of its results where it has nothing of its own to say."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.errors import DataError
from striate.findings import Finding, Table
from striate.statistics.clusters import clustered_bootstrap
from striate.statistics.resampling import weighted_bootstrap
from striate.tasks.metric import Metric, clusters_of
from striate.wording import as_sentence


def check_plain(source: Any) -> Finding:
    """What came up when the source was opened. Raises DataError where there is nothing to train on."""
    if not len(source.train):
        raise DataError(
            f"{source.where} has no training images; make val and test smaller, or add images"
        )
    notes = tuple(getattr(source, "notes", ()))
    return Finding(
        name="data-check",
        title="Data check",
        verdict=" ".join(map(as_sentence, notes)) if notes else "Nothing came up.",
        status="note" if notes else "good",
        data={"notes": list(notes)},
    )  # fmt: skip


def describe_plain(source: Any) -> Finding:
    """How many images each split has."""
    counts = {name: len(split) for name, split in source.splits.items()}
    return Finding(
        name="data",
        title="Data",
        verdict=f"{sum(counts.values()):,} images, {counts['train']:,} of them to train on.",
        tables=(Table(columns=("split", "images"), rows=tuple(counts.items()), formats=("", ",")),),
        data={"where": source.where, "images": counts},
    )


def headline_plain(
    metric: Metric, outputs: Any, targets: Any, *, about: str, seed: int = 0
) -> Finding:
    """The metric's scores of N predictions, the first with a bootstrap 95 % interval."""
    evidence = metric.evidence(outputs, targets)
    scores = {name: float(value) for name, value in metric.score(evidence).items()}
    first = next(iter(scores))

    def weighted(counts: np.ndarray) -> np.ndarray:
        return np.asarray(metric.score(evidence, counts)[first])

    clusters = clusters_of(metric, evidence)
    if clusters is None:
        interval = weighted_bootstrap(weighted, len(evidence), seed=seed)
    else:
        interval = clustered_bootstrap(weighted, clusters, seed=seed)
    return Finding(
        name="headline",
        title="How good it is",
        verdict=f"{metric.name}: {scores[first]:.3g} (95 % interval {interval.text('.3g')}) on {len(evidence):,} images "
        f"that it never saw; the task is {about}.",
        tables=(Table(columns=("score", "value"), rows=tuple(scores.items()), formats=("", ".4g")),),
        data={**scores, "interval": [float(interval.low), float(interval.high)]},
        seed=seed,
    )  # fmt: skip
