"""The public verbs. Each takes a run, the folder of one, or a `Trained`, and is a method of both.

A network that was trained elsewhere comes in by `striate.wrap`, and brings its images with `data`: the name of a source, a
folder, or arrays and tensors with their labels. The command line calls these and nothing else. `units` and `report` are
found here and as methods: `striate.units` and `striate.report` are rooms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from torch import nn

from striate import attribution
from striate.attribution import Explanation
from striate.errors import StriateError, UsageError
from striate.findings import Finding
from striate.geometry import summary as summarise
from striate.geometry import trace
from striate.runs.diagnosing import diagnose_run
from striate.runs.dossiers import LIMIT, units_of
from striate.runs.explaining import Explained, explain_files
from striate.runs.factories import find_factory, find_preset
from striate.runs.given import folder_of, given_run
from striate.runs.networks import network_of
from striate.runs.opening import open_trained
from striate.runs.predicting import opened, predict
from striate.runs.probing import probe_run
from striate.runs.probing_pairs import compare_runs
from striate.runs.reporting import report_data
from striate.runs.run import Run, load
from striate.runs.training import train
from striate.runs.wrapping import network_input, read_classes, save, wrap
from striate.tasks.tiling import open_job
from striate.tasks.trained import Trained

__all__ = [
    "compare",
    "diagnose",
    "explain",
    "find_factory",
    "find_preset",
    "load",
    "network_input",
    "predict",
    "probe",
    "read_classes",
    "report",
    "save",
    "summary",
    "tile",
    "train",
    "units",
    "wrap",
]

Target = Run | Trained | str | Path
Progress = Callable[[str, int, int], None]
Refused = Callable[[str, StriateError], None]


@overload
def explain(network: nn.Module, /, image: Any, target: Any = None, **options: Any) -> Explanation: ...  # fmt: skip
@overload
def explain(network: Target, /, image: Any, target: Any = None, **options: Any) -> Iterator[Explained]: ...  # fmt: skip


def explain(
    network: Target | nn.Module,
    /,
    image: Any,
    target: Any = None,
    *,
    methods: Sequence[str] | None = None,
    trust: bool = True,
    progress: Progress | None = None,
    **options: Any,
) -> Explanation | Iterator[Explained]:
    """Which pixels decided, by several methods, each with how far it can be trusted.

    network: a run, its folder, a Trained or a spec with published weights: then `image` is files, folders and patterns, or
    images themselves as `predict` takes them, `target` a class by name or number, options are `at` (rows and columns of a
    segmenter's map), `layer` (of Grad-CAM) and `seed`, and explanations come one after another. Or a module: then `image` is
    one tensor (C, H, W) as the module reads it, and all else is as in `striate.attribution.explain`, whose Explanation comes
    back. methods: of `striate.attribution.METHODS`, all if not given. trust: check each map. Raises UsageError for a class,
    a method or a path that does not exist.
    """
    if isinstance(network, nn.Module):
        return attribution.explain(
            network, image, target, methods=methods, trust=trust, progress=progress, **options
        )
    return explain_files(
        open_trained(network), image, target=None if target is None else str(target), methods=methods, trust=trust,
        progress=progress, **options,
    )  # fmt: skip


def units(
    target: Target,
    *,
    layer: str | None = None,
    unit: int | None = None,
    data: Any = None,
    labels: Any = None,
    image: str | Path | None = None,
    limit: int = LIMIT,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> list[Finding]:
    """What units look for: an overview of all layers, one layer's units, or one unit's dossier.

    target: also a spec with published weights. data: a source, a folder, or images, with `labels` where they have some; a
    run's own test images if not given. image: a file whose nearest neighbours are shown. limit: images looked at, at most.
    Raises UsageError for a layer or a unit that does not exist.
    """
    trained = open_trained(target)
    with folder_of(data, labels, trained) as where:
        found = units_of(
            trained, layer=layer, unit=unit, data=where, image=image, limit=limit, seed=seed, say=say
        )  # fmt: skip
        return list(found)


def probe(
    target: Target,
    data: Any = None,
    labels: Any = None,
    *,
    names: Sequence[Any] = (),
    against: str | None = None,
    limit: int = 2000,
    budget: float | None = None,
    seed: int = 0,
    store_temperature: bool = False,
    progress: Progress | None = None,
) -> list[Finding]:
    """Where it breaks: shift, rotation, scale, corruption, other domains, attacks, shortcuts; see docs/probe.md.

    data: images with labels, as a source, a folder, or `data` (N, ...) with `labels` (N,); a run's own test images if not
    given. names: of probes, all if none, or probes of your own, functions (context) -> Finding. against: data of another
    domain. limit: images, at most. budget: seconds. A run keeps the findings, and its report is written again. Raises
    UsageError for an unknown probe or without images.
    """
    with given_run(target, data, labels, "probe") as (run, where):
        return probe_run(
            run, names, data=where, against=against, images=limit, budget=budget, seed=seed,
            store_temperature=store_temperature, progress=progress,
        )  # fmt: skip


def compare(
    target: Run | str | Path,
    other: Run | str | Path,
    *,
    names: Sequence[str] = (),
    data: str | None = None,
    limit: int = 2000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Finding:
    """Two runs side by side on the same images, probe by probe, with paired intervals. Arguments are those of `probe`."""
    return compare_runs(target, other, names, data=data, images=limit, seed=seed, progress=progress)  # fmt: skip


def diagnose(
    target: Target,
    data: Any = None,
    labels: Any = None,
    *,
    names: Sequence[str] = (),
    limit: int | None = None,
    cross_validate: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    refused: Refused | None = None,
) -> list[Finding]:
    """What is wrong inside: gradients, dead units, filters, updates, learning rates, the start, labels; see
    docs/diagnose.md.

    data, labels: as in `probe`; a run's own training images if not given. names: of diagnostics, all if none: then those
    that cannot be made of this network are left out, and `refused` is told of each and why. limit: images, at most.
    cross_validate: judge each label by one of so many networks trained without its image. Raises UsageError for an unknown
    diagnostic or without images, and what the first raised where none could be made.
    """
    skipped = refused if refused is not None or names else lambda name, error: None
    with given_run(target, data, labels, "diagnose") as (run, where):
        return diagnose_run(
            run, names, data=where, images=limit, cross_validate=cross_validate, seed=seed, progress=progress,
            refused=skipped,
        )  # fmt: skip


def summary(
    target: Target,
    *,
    input: tuple[int, int, int] | None = None,
    classes: int | None = None,
    depth: int | None = None,
) -> Finding:
    """Layer by layer: output size, window, receptive field, parameters, multiply-adds.

    target: also a spec, which needs no weights. input: (C, H, W) of one image; what it was trained on if not given. classes:
    of a spec. depth: levels of modules that are shown. Raises GeometryError where the network cannot be traced.
    """
    module, shape = network_of(target, input, classes)
    return summarise(trace(module, (1, *shape)), depth=depth)


def tile(
    target: Target,
    image: str | Path,
    out: str | Path | None = None,
    *,
    memory: str = "1GB",
    tile: int | None = None,
    page: int | None = None,
    force: bool = False,
    check: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Finding:
    """Run the network on an image of any size at its own resolution, in bounded memory, with a certificate of exactness.

    image: a TIFF, PNG, JPEG, .npy or Zarr file. out: where a segmenter's map goes, or a classifier's answer as JSON. memory:
    what may be used above the network; tile: pixels of a tile's side instead. page: of a TIFF, from 1. force: write over
    `out`. check: compare with the plain network where that is cheap. The finding's `data["document"]` is what JSON gives.
    Raises UsageError, DataError, or ExactnessError where the result differs from the plain network's.
    """
    trained = opened(target)
    job = open_job(
        trained, Path(image), out=None if out is None else Path(out), memory=memory, tile=tile, page=page, force=force,
        check=check, progress=progress,
    )  # fmt: skip
    return trained.task.tile(job)


def report(
    target: Target, data: Any = None, labels: Any = None, *, out: str | Path | None = None
) -> Path:
    """Write the page of everything that was found, `report.html`, and return where it is.

    data: images to evaluate the network on first, as in `probe`, or without labels to show what it says of them. out: where
    the page goes, for a network that has no run. Raises UsageError where there is nothing to report or no place for it.
    """
    trained = opened(target)
    if trained.run is None and out is None:
        raise UsageError(
            f"{trained.name} has no run's folder to write a report into; say where it goes with out=, or save it first"
        )
    if trained.run is None and data is None:
        raise UsageError(f"nothing is known of {trained.name} yet; give images with data=")
    with folder_of(data, labels, trained) as where:
        return report_data(trained, where, None if out is None else Path(out))
