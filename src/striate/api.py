"""The public verbs. Each takes a run, the folder of one, or a `Trained`, and is a method of both.

A network that was trained elsewhere comes in by `striate.wrap`, and brings its images with `data`: the name of a source, a
folder, or arrays and tensors with their labels. The command line calls these and nothing else. `units` and `report` are
found here and as methods: `striate.units` and `striate.report` are rooms.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, overload

import striate
from striate.errors import StriateError, UsageError
from striate.findings import Finding, Table
from striate.paths import given_folder, given_path
from striate.ranges import check_ranges

if TYPE_CHECKING:
    from torch.nn import Module as Module

    from striate.attribution import METHODS as METHODS
    from striate.attribution import Explanation as Explanation
    from striate.data.files import Found as Found
    from striate.data.files import find_files as find_files
    from striate.gallery import Identity as Identity
    from striate.robustness import PROBES as PROBES
    from striate.runs.explaining import Explained as Explained
    from striate.runs.factories import find_factory as find_factory
    from striate.runs.factories import find_preset as find_preset
    from striate.runs.factories import read_preprocessing as read_preprocessing
    from striate.runs.merging import merge as merge
    from striate.runs.on_ray import predict_on_ray as predict_on_ray
    from striate.runs.on_ray import tile_on_ray as tile_on_ray
    from striate.runs.outputs import UNITS as UNITS
    from striate.runs.outputs import ExplanationFiles as ExplanationFiles
    from striate.runs.outputs import output_path as output_path
    from striate.runs.outputs import write_units as write_units
    from striate.runs.perceptual import compare_images as compare_images
    from striate.runs.perceptual import perceptual_distance as perceptual_distance
    from striate.runs.predicting import opened as opened
    from striate.runs.predicting import predict as predict
    from striate.runs.run import Run as Run
    from striate.runs.run import load as load
    from striate.runs.shards import predict_shard as predict_shard
    from striate.runs.shared_tiles import tile_shard as tile_shard
    from striate.runs.sweeping import sweep as sweep
    from striate.runs.training import train as train
    from striate.runs.wrapping import network_input as network_input
    from striate.runs.wrapping import read_classes as read_classes
    from striate.runs.wrapping import save as save
    from striate.runs.wrapping import wrap as wrap
    from striate.tasks.prediction import Prediction as Prediction
    from striate.tasks.trained import Trained
    from striate.training.callbacks import Listener as Listener

    Target = Run | Trained | str | Path
else:  # found when they are asked for, as by typing.get_type_hints: torch is not imported for a signature
    Target = Union["striate.Run", "striate.Trained", str, Path]

Progress = Callable[[str, int, int], None]
Count = Callable[[int, int], None]
Refused = Callable[[str, StriateError], None]

__all__ = [
    "METHODS", "PROBES", "UNITS", "Explained", "ExplanationFiles", "Found", "Identity", "Listener", "Prediction", "Run",
    "compare", "compare_images", "convert", "data", "diagnose", "dissect", "experiment", "experiments", "explain",
    "export", "find_factory", "find_files", "find_preset", "gallery_compare", "gallery_duplicates", "gallery_enrol",
    "gallery_forget", "gallery_identify", "gallery_search", "lecture", "load", "merge", "models", "network_input",
    "output_path", "perceptual_distance", "predict", "predict_on_ray", "predict_shard", "probe", "read_classes",
    "read_preprocessing", "report", "review", "save", "summary", "sweep", "tile", "tile_on_ray", "tile_shard", "train",
    "units", "verify", "wrap", "write_units",
]  # fmt: skip

# Names that are handed on -> the file that each lives in. A verb imports what it calls when it is called: a list of models
# does not wait for torch, nor a prediction for what draws.
_FILES = {
    "METHODS": "attribution",
    "PROBES": "robustness",
    "UNITS": "runs.outputs",
    "Explained": "runs.explaining",
    "Explanation": "attribution",
    "ExplanationFiles": "runs.outputs",
    "Found": "data.files",
    "Identity": "gallery",
    "Listener": "training.callbacks",
    "Prediction": "tasks.prediction",
    "Run": "runs.run",
    "compare_images": "runs.perceptual",
    "find_factory": "runs.factories",
    "find_files": "data.files",
    "find_preset": "runs.factories",
    "load": "runs.run",
    "network_input": "runs.wrapping",
    "opened": "runs.predicting",
    "output_path": "runs.outputs",
    "perceptual_distance": "runs.perceptual",
    "merge": "runs.merging",
    "predict": "runs.predicting",
    "predict_on_ray": "runs.on_ray",
    "predict_shard": "runs.shards",
    "read_classes": "runs.wrapping",
    "read_preprocessing": "runs.factories",
    "save": "runs.wrapping",
    "sweep": "runs.sweeping",
    "tile_on_ray": "runs.on_ray",
    "tile_shard": "runs.shared_tiles",
    "train": "runs.training",
    "wrap": "runs.wrapping",
    "write_units": "runs.outputs",
}


def _nothing(done: int, of: int) -> None:
    """No progress is shown."""


def _mute(text: str) -> None:
    """No message is shown."""


def __getattr__(name: str) -> Any:
    if name == "Module":
        from torch.nn import Module

        return Module
    if name not in _FILES:
        raise AttributeError(f"module 'striate.api' has no attribute {name!r}")
    return getattr(importlib.import_module(f"striate.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_FILES})


@overload
def explain(
    network: striate.api.Module, /, image: Any, target: Any = None, **options: Any
) -> striate.api.Explanation: ...
@overload
def explain(
    network: Target, /, image: Any, target: Any = None, **options: Any
) -> Iterator[striate.api.Explained]: ...


def explain(
    network: Target | striate.api.Module,
    /,
    image: Any,
    target: Any = None,
    *,
    methods: Sequence[str] | None = None,
    trust: bool = True,
    progress: Progress | None = None,
    **options: Any,
) -> striate.api.Explanation | Iterator[striate.api.Explained]:
    """Which pixels decided, by several methods, each with how far it can be trusted.

    network: a run, its folder, a Trained or a spec with published weights: then `image` is files, folders and patterns,
    or images themselves as `predict` takes them, `target` a class by name or number, options are `at` (rows and columns
    of a segmenter's output or of a detector's image), `object` (a detector's, by its number from 1), `edge` (of its
    box), `layer` (of Grad-CAM) and `seed`, and explanations come one after another. Or a module: then `image` is one
    tensor (C, H, W) as the module reads it, and all else is as in `striate.attribution.explain`, whose Explanation comes
    back. methods: of `striate.attribution.METHODS`, all if not given. trust: check each map. Raises UsageError for a
    class, a method or a path that does not exist.
    """
    from torch import nn

    from striate import attribution
    from striate.runs.explaining import explain_files
    from striate.runs.opening import open_trained

    check_ranges(seed=options.get("seed"))
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
    limit: int = 2000,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> list[Finding]:
    """What units look for: an overview of all layers, one layer's units, or one unit's dossier.

    target: also a spec with published weights. data: a source, a folder, or images, with `labels` where they have some; a
    run's own test images if not given. image: a file whose nearest neighbours are shown. limit: images looked at, at most.
    Raises UsageError for a layer or a unit that does not exist.
    """
    from striate.runs.dossiers import units_of
    from striate.runs.given import folder_of
    from striate.runs.opening import open_trained

    check_ranges(unit=unit, limit=limit, seed=seed)
    image = None if image is None else given_path(image, "image")
    trained = open_trained(target)
    with folder_of(data, labels, trained) as where:
        found = units_of(
            trained, layer=layer, unit=unit, data=where, image=image, limit=limit, seed=seed, say=say
        )  # fmt: skip
        return list(found)


def review(run: striate.Run | str | Path) -> Finding:
    """Move image files of a run's data as its `labels.jsonl` says, which `striate review` writes; nothing is erased.

    An image that was relabelled goes into the folder of its class, one that was excluded beside the data. Raises UsageError
    where labels do not come from a folder a class, RunError where the data or the log cannot be read.
    """
    from striate.runs.reviewing import apply_decisions
    from striate.runs.run import Run, load

    return apply_decisions(run if isinstance(run, Run) else load(run))


def dissect(
    target: Target,
    concepts: str | Path = "concepts",
    *,
    layer: str | None = None,
    quantile: float = 0.005,
    limit: int = 2000,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Finding]:
    """Which concept each unit finds, by network dissection (Bau et al. 2017); see docs/dissect.md.

    target: also a spec with published weights. concepts: a folder with a folder of images and masks a concept, a
    segmentation data set, each class of which is one, or `concepts`, generated. layer: whose units, those of all layers with
    maps if not given. quantile: share of a unit's responses that counts as on. limit: images, at most. A run
    keeps the findings, and its report is written again. Raises UsageError for a network without maps, DataError for
    concepts that cannot be used.
    """
    from striate.runs.dissecting import dissect_run

    check_ranges(quantile=quantile, limit=limit, seed=seed)
    return dissect_run(
        target, concepts, layer=layer, quantile=quantile, limit=limit, seed=seed, progress=progress
    )  # fmt: skip


def probe(
    target: Target,
    data: Any = None,
    labels: Any = None,
    *,
    names: Sequence[Any] = (),
    against: str | None = None,
    limit: int | None = None,
    budget: float | str | None = None,
    seed: int = 0,
    store_temperature: bool = False,
    progress: Progress | None = None,
) -> list[Finding]:
    """Where it breaks: shift, rotation, scale, corruption, other domains, attacks, shortcuts; see docs/probe.md.

    data: images with labels, as a source, a folder, or `data` (N, ...) with `labels` (N,); a run's own test images if not
    given. names: of probes, all if none, or probes of your own, functions (context) -> Finding. against: data of another
    domain. limit: images, at most; 2,000 if not given, fewer for the costly probes of a large network, which their findings
    say. budget: seconds, or such as "5m". A run keeps the findings, and its report is written
    again. Raises UsageError for an unknown probe or without images.
    """
    from striate.runs.given import given_run
    from striate.runs.probing import probe_run, refuse_unknown
    from striate.training.recipe import parse_seconds

    check_ranges(limit=limit, seed=seed)
    seconds = None if budget is None else parse_seconds(budget)
    refuse_unknown(target, names)
    with given_run(target, data, labels, "probe") as (run, where):
        return probe_run(
            run, names, data=where, against=against, images=limit, budget=seconds, seed=seed,
            store_temperature=store_temperature, progress=progress,
        )  # fmt: skip


def compare(
    target: striate.Run | str | Path,
    other: striate.Run | str | Path,
    *,
    names: Sequence[str] = (),
    data: str | None = None,
    limit: int = 2000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Finding:
    """Two runs side by side on the same images, probe by probe, with paired intervals. Arguments are those of `probe`."""
    from striate.runs.probing_pairs import compare_runs

    check_ranges(limit=limit, seed=seed)
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
    from striate.runs.diagnosing import diagnose_run
    from striate.runs.given import given_run

    check_ranges(limit=limit, cross_validate=cross_validate, seed=seed)
    skipped = refused if refused is not None or names else lambda name, error: None
    with given_run(target, data, labels, "diagnose") as (run, where):
        return diagnose_run(
            run, names, data=where, images=limit, cross_validate=cross_validate, seed=seed, progress=progress,
            refused=skipped,
        )  # fmt: skip


def summary(
    target: Target,
    *,
    input: str | tuple[int, int, int] | None = None,
    classes: int | None = None,
    depth: int | None = None,
    **figures: Any,
) -> Finding:
    """Layer by layer: output size, window, receptive field, parameters, multiply-adds.

    target: also a spec, which needs no weights. input: (C, H, W) of one image, or such as "3x224x224"; what it was trained
    on if not given. classes: of a spec. depth: levels of modules that are shown. figures: files to draw, .png or .svg:
    `figure`, the receptive field growing over `image`, a file; `utilisation`, how often each pixel is read; `effective`, a
    `.png` of how much each counts; of `layer` where it is given; `force` writes over what is there; `grown=False` leaves out
    the finding's own figure. `data["layers"]` has exact numbers, `data["files"]` what was written. Raises UsageError, and
    GeometryError where the network cannot be traced.
    """
    from striate.runs.summarising import summarise

    return summarise(target, input=input, classes=classes, depth=depth, **figures)


def export(
    target: Target,
    out: str | Path,
    *,
    size: str | tuple[int, int] | None = None,
    precision: str = "f32",
    data: Any = None,
    drop: float = 0.01,
    script: str | Path | None = None,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Finding:
    """Write the network into one file for other programs, with its preprocessing, its answers and the proof that these are
    the same; see docs/deploy.md.

    out: `.onnx`, `.xml` (OpenVINO), `.pt2`, or `.safetensors` for the weights alone. size: (height, width) of the images
    that the file will take, or such as "480x640"; any size if not given. precision: "f32", "bf16" or "int8"; the last is
    measured on validation images, of `data` where the network has none of its own, and may cost `drop` of the metric.
    script: also write a program of 60 lines that uses the file with numpy, Pillow and onnxruntime alone. force: write over
    what is there.
    Raises ExactnessError where an answer differs or INT8 costs more, and UsageError for a network that cannot be exported:
    nothing is written then.
    """
    from functools import partial

    from striate import export as room
    from striate.runs.gating import gate_of
    from striate.runs.opening import open_trained
    from striate.runs.wrapping import written_with

    program = None if script is None else given_path(script, "the script")
    file = given_path(out, "the file")
    if program is not None and program.exists() and not force:
        raise UsageError(f"{program} exists; choose another name, or --force to write over it")
    room.refuse(file, precision, force=force)
    trained = open_trained(target)
    write = partial(
        room.export, trained, file, size=size, precision=precision, force=force, written=partial(written_with, trained),
        say=progress or _mute,
    )  # fmt: skip
    if precision == "int8":
        with gate_of(trained, data, drop) as gate:
            found = write(gate=gate)
    elif data is not None:
        raise UsageError(
            "images are asked for by int8 alone; leave --data out, or give --precision int8"
        )
    else:
        found = write()
    if program is not None:
        room.write_script(program)
    return found


def verify(file: str | Path, *, keep: bool = True) -> Finding:
    """Repeat the proof that travels in an exported file on this machine; see docs/deploy.md.

    keep: append processor, versions and the result to the file. Raises DataError for a file without a proof, altered or of
    a later version, and ExactnessError where an answer differs.
    """
    from striate import export as room

    return room.verify(given_path(file, "the file"), keep=keep)


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
    engine: str = "torch",
    say: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Finding:
    """Run the network on an image of any size at its own resolution, in bounded memory, with a certificate of exactness.

    image: a TIFF, PNG, JPEG, .npy or Zarr file. out: where a segmenter's mask goes, or a classifier's prediction as JSON.
    memory: what may be used above the network; tile: pixels of a tile's side instead. page: of a TIFF, from 1. force: write
    over `out`. check: compare with the plain network where that is cheap. engine: what computes the crops, as in `predict`,
    for networks whose result is no statistic of the whole image; say: is told of an engine's proof. The finding's
    `data["document"]` is what JSON gives. Raises UsageError, DataError, or ExactnessError where the result differs from the
    plain network's.
    """
    from striate.runs.predicting import on_crops, opened
    from striate.tasks.tiling import image_file, open_job

    check_ranges(tile=tile, page=page)
    file = image_file(given_path(image, "the image"))
    place = None if out is None else given_folder(out, "-o")
    trained = opened(target)
    fast, share = on_crops(trained, engine, say)
    job = open_job(
        trained, file, out=place, memory=memory, tile=tile, page=page, force=force,
        check=check, progress=progress, engine=fast, share=share,
    )  # fmt: skip
    return trained.task.tile(job)


def report(
    target: Target, data: Any = None, labels: Any = None, *, out: str | Path | None = None
) -> Path:
    """Write the page of everything that was found, `report.html`, and return where it is.

    data: images to evaluate the network on first, as in `probe`, or without labels to show what it says of them. out: where
    the page goes, for a network that has no run. Raises UsageError where there is nothing to report or no place for it.
    """
    from striate.runs.given import folder_of
    from striate.runs.predicting import opened
    from striate.runs.reporting import report_data

    place = None if out is None else given_folder(out, "out")
    trained = opened(target)
    if trained.run is None and out is None:
        raise UsageError(
            f"{trained.name} has no run's folder to write a report into; say where it goes with out=, or save it first"
        )
    if trained.run is None and data is None:
        raise UsageError(f"nothing is known of {trained.name} yet; give images with data=")
    with folder_of(data, labels, trained) as where:
        return report_data(trained, where, place)


def data(
    data: str | Path | None = None,
    *,
    task: str | None = None,
    page: str | Path | None = None,
    near: bool = False,
    manifest: str | Path | None = None,
    progress: Count | None = None,
    **settings: Any,
) -> list[Finding]:
    """The table of sources; or of one, or a folder: its classes, counts and sizes, and a check for damage.

    task: decided by the data if not given. page: an `.html` file, where all of it is written with its figures. near: also
    near-duplicates between the splits, a third finding, by the packaged network's embedding; see docs/embed.md. manifest: an
    `.arrow` file, where path, size, digest, label and split of every image are written; it is data itself. settings: of
    a recipe, as far as they say how data are read: seed, val, test, count. Raises UsageError for a source that is not there,
    DataError for images that cannot be trained on.
    """

    if data is None:
        from striate.runs.listing import list_sources

        return [list_sources()]
    from striate.runs.describing import describe_data

    return describe_data(
        data, task=task, page=page, near=near, manifest=manifest, progress=progress, **settings
    )


def gallery_enrol(
    gallery: str | Path,
    network: Target,
    data: str | Path | None = None,
    *,
    name: str | None = None,
    far: float | None = None,
    impostors: str | Path | None = None,
    group: str | None = None,
    points: str | Path | None = None,
    impostor_points: str | Path | None = None,
    detector: Target | None = None,
    consent: bool = False,
    seed: int = 0,
    device: str = "auto",
    progress: Count = _nothing,
) -> Finding:
    """Enrol images under their names into a gallery, which is made, and choose its thresholds by images of different names.

    network: a run, its folder, a Trained, or a spec with published weights. data: a folder with a folder of images a name, a
    table of files and names, or with `name` an image or a folder of one name; None chooses the thresholds anew. far: the
    rate at which a stranger may be taken for somebody; the gallery's own, 0.01 at first, if None. impostors: images of
    nobody who is enrolled, the enrolled of other names if None. group: a column of the table, by which errors are shown too.
    points: a table of five points of each face, which asks for `consent`; impostor_points: the same of the strangers.
    detector: a run that finds faces, whose boxes cut them out, in place of points. The gallery stays as it was where this
    raises: UsageError for a rate that the pairs do not resolve, DataError, GalleryError, WriteError.
    """
    from striate.runs import galleries

    return galleries.gallery_enrol(
        gallery, network, data, name=name, far=far, impostors=impostors, group=group, points=points,
        impostor_points=impostor_points, detector=detector, consent=consent, seed=seed, device=device, progress=progress,
    )  # fmt: skip


def gallery_identify(
    gallery: str | Path,
    images: Any,
    *,
    network: Target | None = None,
    points: str | Path | None = None,
    detector: Target | None = None,
    device: str = "auto",
) -> Iterator[striate.api.Identity]:
    """Who each image shows: the name of the most similar enrolled image where the similarity reaches the threshold, else
    unknown (None) with the reason.

    images: files, folders and patterns, or arrays (H, W, C), as `predict` takes them. network: the one that the gallery was
    made with, where it is not found again by itself. points: for a gallery of faces.
    detector: where the one that cut out its faces is now. Raises UsageError where there is no
    gallery, GalleryError for one that was altered or is another network's, before the first answer.
    """
    from striate.runs import galleries

    return galleries.gallery_identify(
        gallery, images, network=network, points=points, detector=detector, device=device
    )


def gallery_compare(
    gallery: str | Path,
    a: Any,
    b: Any,
    *,
    network: Target | None = None,
    points: str | Path | None = None,
    detector: Target | None = None,
    device: str = "auto",
) -> Finding:
    """Whether two images are one by the gallery's network and threshold, and how many impostor pairs are as alike.

    a, b: files, or arrays (H, W, C); neither is enrolled. `data["similarity"]` lies in [-1, 1], `data["same"]` is None where
    no threshold could be chosen. Other arguments and errors as in `gallery_identify`.
    """
    from striate.runs import galleries

    return galleries.gallery_compare(
        gallery, a, b, network=network, points=points, detector=detector, device=device
    )


def gallery_search(
    gallery: str | Path,
    image: Any,
    *,
    top: int = 10,
    network: Target | None = None,
    points: str | Path | None = None,
    detector: Target | None = None,
    device: str = "auto",
) -> Finding:
    """The enrolled images that are most like one, by exact search. image: a file, or an array (H, W, C). top: how many.

    Other arguments and errors as in `gallery_identify`.
    """
    from striate.runs import galleries

    return galleries.gallery_search(
        gallery, image, top=top, network=network, points=points, detector=detector, device=device
    )


def gallery_duplicates(
    gallery: str | Path,
    images: Any,
    *,
    page: str | Path | None = None,
    force: bool = False,
    network: Target | None = None,
    points: str | Path | None = None,
    detector: Target | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Count = _nothing,
) -> Finding:
    """Images that are near-duplicates of each other or of an enrolled one, with pictures.

    images: files, or arrays (H, W, C). page: an `.html` file for the pictures; force: write over it. Other arguments and
    errors as in `gallery_identify`.
    """
    from striate.runs import galleries

    return galleries.gallery_duplicates(
        gallery, images, page=page, force=force, network=network, points=points, detector=detector, seed=seed,
        device=device, progress=progress,
    )  # fmt: skip


def gallery_forget(gallery: str | Path, names: str | Sequence[str]) -> Finding:
    """Delete names with all their images from a gallery, choose its thresholds anew, and look into each of its files that
    nothing is left. Raises UsageError for a name that is not enrolled, GalleryError where something is left.
    """
    from striate.runs import galleries

    return galleries.gallery_forget(gallery, names)


def convert(
    data: str | Path,
    out: str | Path,
    *,
    to: str = "coco",
    images: bool = True,
    count: int | None = None,
    size: int | None = None,
    seed: int = 0,
    progress: Count | None = None,
) -> Finding:
    """Read annotations of objects in any format that is known, and write them into a new folder in another.

    data: a folder of images with annotations, an annotation file, or a generated source such as `scenes`. to: coco, yolo,
    voc, labelme, cvat or csv. images: copy the images too, or write annotations alone, for the folder of `data`. count,
    size, seed: of a generated source. `data["lost"]` says what the format cannot hold. Raises UsageError for another format
    or an `out` that exists, DataError for annotations that cannot be read, WriteError.
    """
    from striate.tasks.annotations import convert_boxes

    given_path(data, "the data")
    check_ranges(count=count, size=size, seed=seed)
    return convert_boxes(
        data, out, to=to, images=images, count=count, size=size, seed=seed, progress=progress
    )  # fmt: skip


def models(pattern: str | None = None, *, progress: Count | None = None) -> Finding:
    """The models with their parameters and multiply-adds.

    pattern: only names that hold it; "timm/" lists timm's, by name. `data["models"]` has them as rows, or names.
    """
    from striate.runs.listing import list_models

    return list_models(pattern, progress=progress)


def lecture(
    number: str, out: str | Path | None = None, *, progress: Count | None = None
) -> Finding:
    """Make a lecture's page with its figures by running its code. number: "000" to "004". out: `lecture-NUMBER` if None.

    `data["page"]` is the page's path, `data["figures"]` those of the figures, the table what the code found, heading by
    heading. Raises UsageError for another number, or a folder that cannot be written to.
    """
    from striate import lectures

    place = Path(f"lecture-{number.strip().zfill(3)}") if out is None else given_path(out, "-o")
    figures = lectures.make(number, place, progress)
    page = place / f"{lectures.read_page(number).number}.md"
    rows = tuple(lectures.findings(page.read_text(encoding="utf-8")))
    return Finding(
        name="lecture",
        title=f"Lecture {page.stem}: {lectures.LECTURES[page.stem]}",
        verdict=f"{len(rows)} sections were run and {len(figures)} figures made; the page to read is {page}.",
        tables=(Table(columns=("section", "what its code finds"), rows=rows),),
        data={"page": str(page), "figures": [str(path) for path in figures]},
    )


def experiments() -> Finding:
    """The experiments of the lectures, each with its sentence."""
    from striate.lectures.experiments import list_experiments

    return list_experiments()


def experiment(
    name: str,
    *,
    out: str | Path | None = None,
    seed: int = 0,
    budget: float | str | None = None,
    data: str | Path | None = None,
    progress: Progress = lambda what, done, of: None,
) -> tuple[list[Finding], Path]:
    """Run an experiment of the lectures; its findings, and the page that shows them.

    out: a folder, `experiments/NAME-1` if not given; a number is added when it is taken. budget: seconds, or such as "5m",
    where its length can be chosen. data: a source or a folder with a folder a class, where the experiment takes one. Raises
    UsageError for an unknown name, or a budget or data that it does not take.
    """
    from striate.lectures.experiments import make_experiment
    from striate.training.recipe import parse_seconds

    check_ranges(seed=seed)
    place = None if out is None else given_folder(out, "-o")
    seconds = None if budget is None else parse_seconds(budget)
    images = None if data is None else str(data)
    return make_experiment(name, place, seed=seed, budget=seconds, data=images, progress=progress)
