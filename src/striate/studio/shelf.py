"""Shelf: the networks and the pictures that a page may ask for, by numbers that the studio gave out.

A page never names a path. What it may see is what the command named, the test images of runs, two photographs that
scikit-learn brings, and what the person drops on the page, which is gone with the studio.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import DataError, StriateError, UsageError
from striate.geometry import Geometry, trace
from striate.models import is_own
from striate.paths import given_path
from striate.robustness.activation_shift import Recorder
from striate.runs.dossiers import network_of
from striate.runs.images import images_of
from striate.runs.kept import trained_at
from striate.runs.opening import open_trained, refuse_unknown
from striate.runs.run import Run
from striate.tasks.trained import Trained
from striate.units import Network as Units
from striate.units.top_images import LayerIndex

SAMPLES = 24  # test images of a run that are shown
LABELLED = 300  # of which accuracy is taken
PHOTOGRAPHS = (
    "china.jpg",
    "flower.jpg",
)  # of scikit-learn: by danielbuechele and by vultilion, CC BY 2.0
RUNS = 8  # the newest, where the command named none
DROPPED = 32  # pictures that a person gave, the latest
AT = re.compile(r"n\d{1,4}@\d{1,7}")
EPOCHS = 24  # networks of epochs that are kept
SHAPES = 6  # of images, for which a network's trace is kept
LIVE = 3  # of a drawing or a camera, the latest
BYTES = 64 << 20  # of one of them
DEFAULT = "efficientnet-lite0"
SUFFIXES = (".tif", ".tiff", ".svs", ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".npy", ".zarr")


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as one network reads it: uint8 (C, H, W). truth: its label, where it has one."""

    name: str
    pixels: np.ndarray
    truth: str | None = None

    @property
    def image(self) -> Tensor:
        """(C, H, W) in [0, 1]."""
        return torch.from_numpy(self.pixels).float() / 255


@dataclass(eq=False)
class Network:
    """One of the networks on the page."""

    target: str
    factory: Callable[[], nn.Module] | None = None
    dropped: OrderedDict[str, Picture] = field(default_factory=OrderedDict)
    live: OrderedDict[str, Picture] = field(default_factory=OrderedDict)
    compared: Mapping[str, Picture] = field(default_factory=dict)
    reviewed: Mapping[str, Picture] = field(default_factory=dict)
    review: Any = None
    recorder: Recorder | None = None
    indices: dict[str, LayerIndex] = field(default_factory=dict)
    _geometries: OrderedDict[tuple[int, ...], Geometry] = field(default_factory=OrderedDict)

    def refuse_missing(self) -> None:
        """Raise UsageError or RunError where there is nothing of that name; no network is made for it."""
        if Path(self.target).is_dir():
            run = self.run()
            if self.factory is None and keeps_no_code(run):
                run.empty_model()  # says what makes it
        else:
            refuse_unknown(self.target)

    def run(self) -> Run:
        """The run that the command named, with what makes its network. Raises RunError where it is none."""
        return Run.load(self.base, model=self.factory)

    epoch: int | None = None

    @property
    def base(self) -> str:
        """What the command named: the network of an epoch is of the same run."""
        return self.target if self.epoch is None else self.target.rpartition(" at epoch ")[0]

    def at(self, epoch: int) -> Network:
        """The network as it was after an epoch that its run keeps, on the same pictures."""
        one = Network(f"{self.target} at epoch {epoch}", self.factory, epoch=epoch)
        one.dropped, one.live, one.compared = self.dropped, self.live, self.compared
        if self.epoch is None and Path(self.target).is_dir() and self.run().finished:
            for name in ("samples", "labelled"):
                with contextlib.suppress(StriateError):
                    one.__dict__[name] = getattr(self, name)
        return one

    @cached_property
    def trained(self) -> Trained:
        """The network, opened when it is first asked for."""
        if self.epoch is not None:
            return trained_at(self.run(), self.epoch)
        return open_trained(self.run() if Path(self.target).is_dir() else self.target)

    @cached_property
    def module(self) -> nn.Module:
        """From images (N, C, H, W) in [0, 1] to what the network gives."""
        with torch.inference_mode(
            False
        ):  # whoever asks first: what is made in inference mode has no gradients ever after
            return self.trained.pixels.requires_grad_(False)

    def geometry(self, shape: Sequence[int]) -> Geometry:
        """Of one image (C, H, W): networks that see images at their own size see them at many. The last ones are kept."""
        key = tuple(shape)
        if key not in self._geometries:
            self._geometries[key] = trace(self.module, (1, *key))
            while len(self._geometries) > SHAPES:
                self._geometries.popitem(last=False)
        self._geometries.move_to_end(key)
        return self._geometries[key]

    def shape_of(self, number: Any = None) -> tuple[int, ...]:
        """(C, H, W) of a picture, of the first one where there is none of that number, or of what the network reads."""
        try:
            return tuple(self.picture(str(number)).pixels.shape)
        except UsageError:
            first = next(iter(self.samples.values()), None)
            return self.trained.shape[1:] if first is None else tuple(first.pixels.shape)

    @cached_property
    def units(self) -> Units:
        """The network as its units see images. Raises UsageError or GeometryError where units cannot be found."""
        return network_of(self.trained)

    @cached_property
    def samples(self) -> dict[str, Picture]:
        """Test images of a run, or photographs, by number."""
        try:
            found = self._test_images() if self.trained.run is not None else []
        except (
            StriateError
        ):  # the data is gone, changed or elsewhere: the network can be looked at all the same
            found = []
        return {f"s{i}": one for i, one in enumerate(found or self._photographs())}

    @cached_property
    def labelled(self) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) uint8 with the class of each (N,) int64: test images of a run, or those samples that have a
        label. Raises UsageError where there are none."""
        trained = self.trained
        if "labels" in trained.task.offers:
            if trained.run is not None and trained.run.recipe.data:
                images, targets = images_of(trained.run, "test", limit=LABELLED, seed=trained.seed)
                return images, targets
            known = [p for p in self.samples.values() if p.truth in trained.classes]
            if known:
                images = torch.stack([torch.from_numpy(p.pixels) for p in known])
                return images, torch.tensor([trained.classes.index(str(p.truth)) for p in known])
        raise UsageError(
            f"this takes images with a class each, and there are none for {self.target}; choose a run that classifies"
        )

    def picture(self, number: str) -> Picture:
        """Raises UsageError for a number that was not given out."""
        places = (self.live, self.dropped, self.compared, self.reviewed, self.samples)
        found = next((place[number] for place in places if number in place), None)
        if found is None:
            raise UsageError("this picture is no longer there; choose another")
        return found

    def drop(self, data: bytes, name: str, number: str, *, live: bool = False) -> Picture:
        """Take a picture that a person gave, as the bytes of a file. Raises DataError for what is no image.

        live: one of many that follow each other, such as a drawing while it is made; of those the last ones are kept.
        """
        picture = Picture(name, self._read(data))
        kept, most = (self.live, LIVE) if live else (self.dropped, DROPPED)
        kept[number] = picture
        while len(kept) > most:
            kept.popitem(last=False)
        return picture

    def _read(self, data: bytes) -> np.ndarray:
        # Readers take files; this one is gone before the answer is given.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "dropped"
            path.write_bytes(data)
            try:
                return self.trained.read(path)
            except DataError as error:
                raise DataError(str(error).replace(str(path), "the file")) from None

    def _test_images(self) -> list[Picture]:
        trained = self.trained
        pixels, targets = images_of(trained.run, "test", limit=SAMPLES, seed=trained.seed)
        names = trained.classes
        labels = targets.tolist() if isinstance(targets, Tensor) and targets.dim() == 1 else []
        whole = "labels" in trained.task.offers
        return [
            Picture(
                f"test image {i + 1}", image.numpy(), names[labels[i]] if whole and labels else None
            )
            for i, image in enumerate(pixels)
        ]

    def _photographs(self) -> list[Picture]:
        package = importlib.util.find_spec("sklearn")  # found, not imported: that takes a second
        assert package is not None and package.submodule_search_locations
        folder = Path(package.submodule_search_locations[0]) / "datasets" / "images"
        return [
            Picture(Path(name).stem, self._read((folder / name).read_bytes()))
            for name in PHOTOGRAPHS
        ]


class Shelf:
    """All networks of a studio, by number.

    targets: folders of runs and specs; the newest runs of `runs/` where there are none, or the default network.
    factory: makes the networks of those runs that keep no code. Raises UsageError or RunError for a target that is neither.
    """

    def __init__(
        self, targets: Sequence[str], factory: Callable[[], nn.Module] | None = None
    ) -> None:
        given = [str(given_path(t, "the network")) for t in dict.fromkeys(targets)]
        images = [t for t in given if is_image(t)]
        self.slides = {f"p{i}": one for i, one in enumerate(images)}
        chosen = (
            [t for t in given if t not in images] or newest_runs(Path("runs"))[:RUNS] or [DEFAULT]
        )
        self._epochs: OrderedDict[str, Network] = OrderedDict()
        self.networks: Mapping[str, Network] = {
            f"n{i}": Network(
                one, factory if factory and is_run(one) and keeps_no_code(Run.load(one)) else None
            )
            for i, one in enumerate(chosen)
        }
        for one in self.networks.values() if len(given) > len(images) else ():
            one.refuse_missing()
        if factory is not None and all(one.factory is None for one in self.networks.values()):
            raise UsageError(
                "--model says what makes the network of a run that was wrapped or trained in Python, and none of these "
                "is one; leave --model out"
            )

    def network(self, number: Any) -> Network:
        """Raises UsageError for a number that was not given out."""
        found = self.networks.get(number) if isinstance(number, str) else None
        if found is None and isinstance(number, str) and AT.fullmatch(number):
            return self._at(number)
        if found is None:
            raise UsageError("this network is not one of those that the studio was started with")
        return found

    def _at(self, number: str) -> Network:
        """A network after one of its epochs: n0@12. The last ones that were asked for are kept."""
        if number not in self._epochs:
            whole, _, epoch = number.partition("@")
            self._epochs[number] = self.network(whole).at(int(epoch))
            while len(self._epochs) > EPOCHS:
                self._epochs.popitem(last=False)
        self._epochs.move_to_end(number)
        return self._epochs[number]


def keeps_no_code(run: Run) -> bool:
    """Whether a run's network was given in Python, so that something must make it."""
    return run.wrapped or is_own(run.recipe.model)


def is_run(target: str) -> bool:
    """Whether a target is a run's folder."""
    return (Path(target) / "run.toml").is_file()


def is_image(target: str) -> bool:
    """Whether a target of the command is an image of any size, not a run."""
    path = Path(target)
    return path.suffix.lower() in SUFFIXES and path.exists() and not is_run(target)


def newest_runs(folder: Path) -> list[str]:
    """The folders of runs in `folder`, the newest first."""
    found = [p for p in folder.glob("*/run.toml") if p.is_file()] if folder.is_dir() else []
    return [str(p.parent) for p in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)]
