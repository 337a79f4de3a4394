"""Dissecting: a trained network and concepts brought together, findings stored, the report written again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from striate.errors import RunError
from striate.findings import Finding
from striate.runs.dossiers import network_of, seen_by
from striate.runs.evaluate import report_run
from striate.runs.opening import Trained, open_trained
from striate.runs.run import Run
from striate.tasks.concepts import GENERATED, open_concepts
from striate.units import Network
from striate.units.concept_silencing import silence_concepts, units_by_concept
from striate.units.dissection import QUANTILE, Dissection, dissect_units
from striate.units.dissection_finding import find_dissection, find_silenced

LIMIT = 2000
SILENCED = 500  # images with labels on which units are silenced

Progress = Callable[[str, int, int], None]


def dissect_run(
    target: str | Path | Run | Trained,
    concepts: str | Path = GENERATED,
    *,
    layer: str | None = None,
    quantile: float = QUANTILE,
    limit: int = LIMIT,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Finding]:
    """What units find, and what the classes lose without the units of a concept, where there are labels.

    target: also a spec with published weights. concepts: see `open_concepts`. A run keeps the findings of a dissection of
    all its layers, and its report is written again. Raises UsageError for a network without maps, DataError for concepts
    that cannot be used.
    """
    say = progress or (lambda what, done, of: None)
    trained = open_trained(target)
    network = network_of(trained)
    layers = None if layer is None else [network.layer(layer)]
    say("opening concepts", 0, 0)
    opened = open_concepts(concepts, trained.preprocessing, limit=limit, seed=seed)
    dissection = dissect_units(
        network, opened, layers=layers, quantile=quantile, seed=seed, progress=say
    )
    findings = [find_dissection(network, dissection)]
    silenced = silenced_concepts(trained, network, dissection, seed, say)
    findings += [] if silenced is None else [silenced]
    run = trained.run
    if run is not None and layer is None:
        for finding in findings:
            run.add(finding)
        report_run(run)
    return findings


def silenced_concepts(
    trained: Trained, network: Network, dissection: Dissection, seed: int, say: Progress
) -> Finding | None:
    """What silencing the units of each concept does; None without images of the run's own that have one label each."""
    run = trained.run
    if run is None or not run.recipe.data or "labels" not in trained.task.offers:
        return None
    if not units_by_concept(dissection, network):
        return None
    say("silencing", 0, 0)
    try:
        seen = seen_by(trained, None, limit=SILENCED, seed=seed)
    except RunError:  # its images are gone: what units find stands without them
        return None
    if seen is None or seen.labels is None:
        return None
    done = silence_concepts(
        network, dissection, seen.images, seen.labels, len(seen.classes), seed=seed
    )
    return find_silenced(done, seen.classes, len(seen.images)) if done else None
