"""Dossiers: the units of a run, or of published weights, on the images that go with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from striate.data import Source, Split
from striate.data.drawing import drawn
from striate.data.files import find_files
from striate.data.tree import lies_loose
from striate.errors import DataError, UsageError
from striate.findings import Figure, Finding
from striate.runs.images import images_of, opened_whole, source_of
from striate.runs.opening import Trained, open_trained
from striate.runs.run import Run
from striate.runs.unit_names import unit_names
from striate.runs.wrapping import lent_run
from striate.tasks.table import recipe_for
from striate.units import Network, UnitIndex, UnitLayer, index_units, nearest, tune_layer
from striate.units.contact_sheets import draw_rows
from striate.units.dossier import investigate
from striate.units.dossier_finding import find_dossier
from striate.units.fourier_image import colours_of
from striate.units.overview import (
    chosen_layers,
    find_dead,
    find_filters,
    find_overview,
    find_selective,
)
from striate.units.probe import Probe
from striate.units.unit_grid import find_layer_units

LIMIT = 2000  # images looked at unless asked for more
REPORT_LIMIT = 1000
SEARCHED = 5000  # training images among which neighbours are looked for
NEAREST = 6

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Seen:
    """Images (N, C, H, W) uint8 with labels (N,) or None and class names, and where they are from."""

    images: Tensor
    labels: Tensor | None
    classes: tuple[str, ...]
    where: str


def network_of(trained: Trained) -> Network:
    """The trained's network with its normalisation. Raises UsageError or GeometryError where units cannot be found."""
    preprocessing = trained.preprocessing
    return Network(trained.model, trained.shape, mean=preprocessing.mean, std=preprocessing.std)


def grouped(run: Run, labels: Any, source: Any) -> tuple[Tensor | None, tuple[str, ...]]:
    """What images are told apart by for units, (N,) and the names: classes, or groups such as identities that are here.

    labels: (N,) the targets. None and no names where a task has neither.
    """
    if "labels" in run.task.offers:
        return labels, run.classes
    if "groups" not in run.task.offers:
        return None, ()
    present, index = torch.as_tensor(labels).unique(return_inverse=True)
    return index, tuple(source.classes[i] for i in present.tolist())


def unit_findings(run: Run, source: Source, *, limit: int = REPORT_LIMIT) -> list[Finding]:
    """What the report says of a run's units: first filters, the most selective units of three layers, dead units."""
    trained = open_trained(run)
    network = network_of(trained)
    split = "test" if len(source.test) or len(source.val) else "train"
    images, labels = images_of(run, split, limit=limit, source=source)
    known, classes = grouped(run, labels, source)
    index = index_units(
        network, [images if known is None else (images, known)], classes=len(classes)
    )
    return [
        find_filters(network),
        find_selective(index, chosen_layers(network), images, classes),
        find_dead(index),
    ]


def seen_by(
    trained: Trained, data: str | None, *, limit: int = LIMIT, seed: int = 0
) -> Seen | None:
    """The images on which a trained's units are looked at; None for published weights without data.

    data: a source or a folder; a run's own test images if not given. Classes of published weights are matched by name, and
    a source with other classes than the network has no labels. Raises DataError, UsageError or RunError.
    """
    run = trained.run
    if run is not None and run.recipe.data:
        source = source_of(run, data)
        images, labels = images_of(run, limit=limit, seed=seed, source=source)
        known, classes = grouped(run, labels, source)
        return Seen(images, known, classes or run.classes, source.where)
    if data is None:
        return None
    if Path(data).is_dir() and lies_loose(Path(data)):
        return _loose(trained, Path(data), limit)
    source = opened_whole(
        trained.task,
        recipe_for(trained.task, {"data": data, "seed": seed, "val": 0.0, "test": 0.0}),
    )
    split = _largest(source)
    if not isinstance(split, Split):  # of masks: images at sizes of their own
        with lent_run(trained) as lent:
            images, _ = images_of(
                lent, "train", limit=limit, seed=seed, source=source_of(lent, data)
            )
        return Seen(images, None, (), source.where)
    # In the source's own classes: published weights may know others, and then the images have no labels.
    shown = trained.task.load_examples(
        source, split, trained.preprocessing, source.classes, limit=limit, seed=seed
    )
    if "labels" in trained.task.offers and set(source.classes) <= set(trained.classes):
        place = torch.tensor([trained.classes.index(name) for name in source.classes])
        return Seen(shown.images, place[shown.targets], trained.classes, source.where)
    return Seen(shown.images, None, (), source.where)


def _loose(trained: Trained, folder: Path, limit: int) -> Seen:
    """The images that lie in a folder without classes."""
    images = []
    files = find_files(folder).files
    for i in drawn(len(files), limit):
        try:
            images.append(torch.from_numpy(trained.read(files[i])))
        except DataError:
            continue
    if not images:
        raise DataError(f"{folder} has no image that can be read; give a folder of images")
    return Seen(torch.stack(images), None, (), str(folder))


def _largest(source: Source) -> Split:
    return max((source.test, source.val, source.train), key=len)


def units_of(
    target: str | Path | Run | Trained,
    *,
    layer: str | None = None,
    unit: int | None = None,
    data: str | None = None,
    image: str | Path | None = None,
    limit: int = LIMIT,
    seed: int = 0,
    say: Say = lambda text: None,
) -> Iterator[Finding]:
    """Findings on the units of a run or of published weights.

    Without `layer` an overview of all layers; with it that layer's grid of units and table; with `unit` the unit's
    dossier, and with an image file its nearest neighbours among the training images. data: a source or folder; a run's
    own test images if not given; published weights without data are measured by kernels, gratings, noise and synthesis
    alone. Raises UsageError for what does not exist.
    """
    if unit is not None and layer is None:
        raise UsageError("a unit is one of a layer: give --layer too")
    trained = open_trained(target)
    network = network_of(trained)
    chosen = network.layer(layer) if layer is not None else None
    if chosen is not None and unit is not None and not 0 <= unit < chosen.units:
        from striate.units.layers import find_unit

        find_unit(chosen, unit)
    own = torch.from_numpy(trained.read(image)).unsqueeze(0) if image is not None else None
    say("reading images")
    seen = seen_by(trained, data, limit=limit, seed=seed)
    index = None
    if seen is not None:
        say(f"looking at {len(seen.images):,} images")
        layers = network.layers if chosen is None else (chosen,)
        index = indexed(network, seen, layers)
    classes = seen.classes if seen is not None else trained.classes
    if chosen is None:
        yield find_overview(network, index, classes)
        yield find_filters(network)
        if seen is not None and index is not None:
            yield find_selective(index, chosen_layers(network), seen.images, classes)
            yield find_dead(index)
    elif unit is None:
        say("gratings")
        tuning = tune_layer(Probe(network, chosen)) if chosen.grid else None
        shown = own if own is not None else seen.images[:1] if seen is not None else None
        yield find_layer_units(
            network, chosen, index=None if index is None else index[chosen.name],
            images=None if seen is None else seen.images, classes=classes, tuning=tuning, image=shown,
            names=unit_names(trained, chosen.name),
        )  # fmt: skip
    else:
        colours = None
        if seen is not None and len(seen.images) >= 50 and network.channels == 3:
            colours = colours_of(network.images(seen.images[:200]))
        dossier = investigate(
            network, chosen, unit, index=None if index is None else index[chosen.name],
            images=None if seen is None else seen.images, labels=None if seen is None else seen.labels,
            classes=len(classes), image=own, colours=colours, seed=seed, progress=say,
        )  # fmt: skip
        yield find_dossier(dossier, classes, concept=unit_names(trained, chosen.name).get(unit, ""))
    if own is not None and seen is not None:
        say("neighbours")
        yield neighbours(trained, network, own, seen, data)


def indexed(network: Network, seen: Seen, layers: Sequence[UnitLayer]) -> UnitIndex:
    """One pass over the images."""
    labels = seen.labels
    item = seen.images if labels is None else (seen.images, labels)
    return index_units(
        network, [item], layers=layers, classes=0 if labels is None else len(seen.classes)
    )


def neighbours(
    trained: Trained, network: Network, image: Tensor, seen: Seen, data: str | None
) -> Finding:
    """The training images nearest to an image in the last hidden layer; among `seen` for published weights."""
    pool, labels, where = seen.images, seen.labels, "the given images"
    if trained.run is not None and trained.run.recipe.data and data is None:
        pool, labels = images_of(trained.run, "train", limit=SEARCHED)
        where = f"{len(pool):,} training images"
    distances, numbers = nearest(network, image, [pool], count=min(NEAREST, len(pool)))
    names = [
        trained.classes[int(labels[i])]
        if labels is not None and not isinstance(labels[i], Path)
        else ""
        for i in numbers[0].tolist()
    ]
    titles = [f"{n}\n{d:.3g}".strip() for n, d in zip(names, distances[0].tolist(), strict=True)]
    row = [image[0].float() / 255, *[pool[i].float() / 255 for i in numbers[0].tolist()]]
    caption = (
        f"An image and its nearest among {where}, by Euclidean distance in the last hidden layer."
    )
    figure: Figure = draw_rows([("", row, ["the image", *titles])], caption)
    return Finding(
        name="neighbours",
        title="Nearest in feature space",
        verdict=f"Nearest among {where}: {', '.join(dict.fromkeys(n for n in names if n)) or 'see the picture'}.",
        figures=(figure,),
        data={"distances": distances[0].tolist(), "images": numbers[0].tolist(), "classes": names},
    )
