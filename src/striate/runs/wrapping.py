"""Wrapping: any network that was trained elsewhere becomes a `Trained`, and a run folder if it is saved."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from striate.data.files import find_images
from striate.data.foreign import as_preprocessing
from striate.documents import from_json
from striate.errors import AssumedWarning, DataError, RunError, UsageError, WeightsWarning
from striate.files import read_regular
from striate.findings import Finding
from striate.models import imagenet_classes, load_weights, make_network
from striate.paths import given_folder
from striate.runs.factories import Factory
from striate.runs.migrating import FORMAT
from striate.runs.record import now, versions
from striate.runs.run import Run
from striate.runs.stored import to_toml
from striate.tasks.adopting import OneAnswer, adopt, channels_of, outputs_of
from striate.tasks.network_input import as_seen
from striate.tasks.table import find_task
from striate.tasks.task import Task
from striate.tasks.trained import Trained
from striate.training.recipe import Recipe
from striate.writing import writing_folder

SHOWN = 8  # images in the picture of what the network sees
IMAGENET = "imagenet"


def wrap(
    module: Factory,
    *,
    classes: Sequence[str] | None = None,
    preprocessing: Any = None,
    task: str | Task = "classify",
    weights: str | Path | None = None,
    name: str | None = None,
    temperature: float = 1.0,
    precision: str = "fp32",
) -> Trained:
    """A network that was trained elsewhere, with all that predictions and analyses need to know of it.

    module: the network, which is copied, or a function that makes it: (N, C, H, W) to (N, K), or (N, K, H, W) for the task
    "segment"; a tuple, a dict or a dataclass that holds that as its first part, "logits" or "out". classes: K names in the
    order of its outputs, or "imagenet" for the usual 1,000; the numbers of an embedding need none. preprocessing: how images
    were brought to it in its training: a `Preprocessing`, timm's data config, torchvision's `weights.transforms()`, or
    (size, mean, std); if it is left out, that of most ImageNet networks is assumed, and an AssumedWarning says so. weights:
    a checkpoint, as any trainer saved it, loaded without running code. temperature: what logits are divided by before the
    softmax. precision: "fp32", or "auto" for bfloat16 where the machine is faster with it.
    Raises UsageError where these do not fit together.
    """
    learned = find_task(task)
    names = None if classes is None else class_names(classes)
    network = make_network(module, num_classes=None if names is None else len(names))
    if weights is not None:
        for note in load_weights(network, weights).notes:
            warnings.warn(note, WeightsWarning, stacklevel=2)
    made = as_preprocessing(
        preprocessing, channels=channels_of(network), own_size=learned.axes == 4
    )
    if preprocessing is None:
        warnings.warn(
            f"preprocessing {made.why[0]}. Look at what the network sees with `trained.network_input(images)` (on the "
            "command line `striate wrap --look IMAGE`), or give preprocessing=...", AssumedWarning, stacklevel=2,
        )  # fmt: skip
    if names is None:
        names = learned.names_for(outputs_of(network, made))
    return Trained(
        name=name or type(network).__name__,
        model=adopt(network, made, learned, len(names)).to(memory_format=torch.channels_last),
        preprocessing=made,
        classes=names,
        task=learned,
        temperature=temperature,
        precision=precision,
    )


def class_names(classes: Any) -> tuple[str, ...]:
    """Names of classes as they were given, checked. Raises UsageError for a text, none, or two that are the same."""
    if classes == IMAGENET:
        return imagenet_classes()
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise UsageError(
            f"classes is a list of names in the order of the outputs, or {IMAGENET!r}; got {classes!r:.60}"
        )
    names = tuple(str(name) for name in classes)
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if not names or twice is not None:
        what = f"has {twice!r} twice" if names else "is empty"
        raise UsageError(f"the list of classes {what}; give every output a name of its own")
    return names


def read_classes(path: str | Path) -> tuple[str, ...]:
    """Class names from a text file, one a line, or JSON: a list, or names by number. Raises UsageError."""
    if str(path) == IMAGENET:
        return imagenet_classes()
    try:
        text = read_regular(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read the classes {path}: {getattr(error, 'strerror', None) or error}; give a text file with one name a "
            f"line, or {IMAGENET}"
        ) from error
    if not text.lstrip().startswith(("[", "{")):
        return class_names([line.strip() for line in text.splitlines() if line.strip()])
    try:
        found = from_json(text)
        if isinstance(found, dict):  # {"0": "cat"}, or {"cat": 0} as torchvision's class_to_idx
            turned = all(isinstance(v, int) for v in found.values())
            numbered = {int(v if turned else k): str(k if turned else v) for k, v in found.items()}
            found = [numbered[i] for i in range(len(numbered))]
    except (ValueError, KeyError) as error:
        raise UsageError(
            f"{path} is no list of names in JSON ({error}); give a text file with one name a line"
        ) from error
    return class_names(found)


def as_run(trained: Trained, path: Path, *, factory: str | None = None) -> Run:
    """A run of a network without a training, at `path`, where nothing is written. factory: what makes it, in words."""
    network = trained.model.model if type(trained.model) is OneAnswer else trained.model
    recipe = Recipe(
        data="", task=trained.task.name, model=trained.name, precision=trained.precision, flip_test=trained.flip_test,
        settings=trained.task.wrapped(trained.classes), seed=trained.seed,
        val=0.0, test=0.0,  # all images that are given are looked at
    )  # fmt: skip
    info: dict[str, Any] = {
        "format": FORMAT,
        "task": trained.task.name,
        "created": now(),
        "finished": True,
        "classes": list(trained.classes),
        "temperature": trained.temperature,
        "recipe": recipe.to_dict(),
        "preprocessing": trained.preprocessing.to_dict(),
        "data": {"where": "", "fingerprint": "", "train": 0, "val": 0, "test": 0},
        "versions": versions(),
        "wrapped": {"made_of": f"{type(network).__module__}.{type(network).__qualname__}"},
    }
    if factory is not None:
        info["wrapped"]["factory"] = factory
    return Run(path, info, model=trained.model)


def save(trained: Trained, path: str | Path, *, factory: str | None = None) -> Run:
    """Make a run folder of a network: what is known of it, and its weights; `striate.load(path, model=...)` opens it.

    factory: how the command line makes the network, noted for whoever opens it. Raises UsageError for a run's own network,
    RunError where the folder exists, WriteError where it cannot be written.
    """
    path = given_folder(path, "the run's folder")
    if trained.run is not None and trained.run.path != path:
        raise UsageError(
            f"{trained.name} is the network of the run {trained.run.path} already; copy that folder"
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path} exists; choose another folder")
    with writing_folder(path) as part:
        run = as_run(trained, part, factory=factory)
        run.save_weights(run.model.state_dict())
        run.save_info()
        run.path = path
    return run


def written_with(trained: Trained, more: Mapping[str, Any]) -> bytes:
    """The contents of a `run.toml` of a network, with more entries than a run's own has."""
    info = trained.run.info if trained.run is not None else as_run(trained, Path()).info
    return to_toml({**info, **more})


@contextmanager
def lent_run(trained: Trained) -> Iterator[Run]:
    """A run that lasts for one analysis, of a network that has none; its own otherwise."""
    if trained.run is not None:
        yield trained.run
        return
    with TemporaryDirectory(prefix="striate-") as folder:
        yield as_run(trained, Path(folder))


def network_input(trained: Trained, images: Any, *, limit: int = SHOWN) -> Finding:
    """A picture of what the network sees of some images, beside the originals: the check of a preprocessing.

    images: files, folders and patterns, or images themselves. limit: at most so many. Raises DataError where none can be
    read.
    """
    from striate.data import read_image

    found = find_images(images, numbers=trained.preprocessing.numbers)
    preprocessing = trained.preprocessing
    originals, seen, names = [], [], []
    for name in found.files:
        image = found.image(name)
        try:
            seen.append(trained.read(image))
            pixels = image if isinstance(image, np.ndarray) else read_image(image)
            originals.append(preprocessing.eight_bits(pixels))
        except DataError as error:
            if name == found.files[-1] and not originals:
                raise DataError(f"no image can be read: {error}") from error
            continue
        names.append(name)
        if len(names) == limit:
            break
    one_size = len({image.shape for image in seen}) == 1
    if not one_size:  # a segmenter's images come at their own size
        seen, originals, names = seen[:1], originals[:1], names[:1]
    sizes = [image.shape[:2] for image in originals]
    squashed = preprocessing.fit == "squash"
    own_size = trained.task.axes == 4
    lost = [0.0 if squashed or own_size else preprocessing.lost_fraction(*s) for s in sizes]
    made = as_seen(originals, np.stack(seen), lost, names)
    return replace(made, advice=" ".join([made.advice, *preprocessing.why]).strip())
