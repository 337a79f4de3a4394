"""Given: what an analysis is called with, brought to a run and to images that its source can open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from striate.data.depth import BYTES, UNKNOWN
from striate.data.given import are_arrays, as_arrays
from striate.data.own import has_labels
from striate.data.own_splits import parts_of
from striate.errors import UsageError
from striate.runs.opening import open_trained
from striate.runs.run import Run
from striate.runs.wrapping import lent_run
from striate.tasks.table import open_source
from striate.tasks.trained import Trained


@contextmanager
def given_run(target: Any, data: Any, labels: Any, verb: str) -> Iterator[tuple[Run, str | None]]:
    """The run of a target, and the name of its data; both may last only as long as the analysis.

    target: a run, its folder, or a Trained. data: a source or a folder, or images with their labels. Raises UsageError for
    another target, and where a network that has no images of its own gets none.
    """
    if isinstance(target, str | Path) and not Path(target).is_dir():
        raise UsageError(
            f"there is no run at {target}; {verb} needs one, or a network of striate.wrap with data=: give the folder that "
            "`striate train` made, with its run.toml"
        )
    trained = open_trained(target)
    with lent_run(trained) as run, folder_of(data, labels, trained) as where:
        if where is None and not run.recipe.data:
            raise UsageError(
                f"{trained.name} was trained elsewhere and has no images of its own; give some with labels: --data FOLDER, "
                "in Python data="
            )
        yield run, where


@contextmanager
def folder_of(data: Any, labels: Any, trained: Trained) -> Iterator[str | None]:
    """Images as a source names them: what was given, a Dataset, table or Source that holds labels, or a folder of images
    that were given themselves, for as long as it takes. Raises UsageError where images and labels do not fit together.
    """
    if labels is None and has_labels(data):
        source = _opened(data, trained)  # opens under its name as long as it is held here
        yield source.name
        return
    if data is None or not are_arrays(data):
        if labels is not None:
            raise UsageError(
                "labels belong to images: give both, as arrays or tensors, or a folder with one folder a class"
            )
        yield None if data is None else str(data)
        return
    if labels is not None and trained.task.axes != 4 and "labels" not in trained.task.offers:
        source = _opened((data, labels), trained)
        yield source.name
        return
    images = _files_hold(as_arrays(data, numbers=trained.preprocessing.numbers), trained)
    with TemporaryDirectory(prefix="striate-") as made:
        if labels is None:
            _write(Path(made), images, [""] * len(images))
        elif trained.task.axes == 4:
            _write(Path(made) / "images", images, [""] * len(images))
            _write(Path(made) / "masks", _masks(labels), [""] * len(images))
        else:
            _write(Path(made), images, _named(labels, trained.classes, len(images)))
        yield made


def _opened(data: Any, trained: Trained) -> Any:
    """A source of images with labels, in one split where the network has learned from none and the data name no splits."""
    learned = trained.run is not None and not trained.run.wrapped
    drawn = learned or parts_of(data) is not None
    return open_source(data, task=trained.task, **({} if drawn else {"val": 0.0, "test": 0.0}))


def _named(labels: Any, classes: Sequence[str], count: int) -> list[str]:
    """The class of each image by name, from names or numbers. Raises UsageError."""
    given = [v.item() if hasattr(v, "item") else v for v in labels]
    if len(given) != count:
        raise UsageError(f"there are {count:,} images and {len(given):,} labels; give one each")
    names = [classes[v] if isinstance(v, int) and 0 <= v < len(classes) else v for v in given]
    if (strange := next((v for v in names if v not in classes), None)) is not None:
        raise UsageError(
            f"there is no class {strange!r}; labels are numbers below {len(classes)} or names: {', '.join(classes[:10])}"
        )
    return [str(name) for name in names]


def _masks(labels: Any) -> list[np.ndarray]:
    given = labels.detach().cpu().numpy() if hasattr(labels, "detach") else labels
    return [np.asarray(mask).astype(np.uint8) for mask in given]


def _files_hold(images: Sequence[np.ndarray], trained: Trained) -> list[np.ndarray]:
    """The images as files without loss can hold them: 8 bits where the network reads those. Raises UsageError."""
    if trained.preprocessing.full_scale in (BYTES, UNKNOWN):
        return [trained.preprocessing.eight_bits(image) for image in images]
    if any(image.dtype != np.uint8 and image.shape[-1] != 1 for image in images):
        raise UsageError(
            "colour images of more than 8 bits are read from files; save them as TIFF, a folder a class, and give the folder"
        )
    return list(images)


def _write(folder: Path, images: Sequence[np.ndarray], names: Sequence[str]) -> None:
    """Images as PNG or TIFF without loss, in the folder of their class."""
    folders = {name: folder / name.replace("/", "-") for name in dict.fromkeys(names)}
    for each in folders.values():
        each.mkdir(parents=True, exist_ok=True)
    digits = len(str(len(images)))
    for i, (image, name) in enumerate(zip(images, names, strict=True)):
        pixels = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
        kind = "tif" if pixels.dtype.kind == "f" else "png"
        Image.fromarray(pixels).save(folders[name] / f"{i:0{digits}}.{kind}")
