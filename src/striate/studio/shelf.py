"""Shelf: the networks and the pictures that a page may ask for, by numbers that the studio gave out.

A page never names a path. What it may see is what the command named, the test images of runs, two photographs that
scikit-learn brings, and what the person drops on the page, which is gone with the studio.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import DataError, StriateError, UsageError
from striate.geometry import Geometry, trace
from striate.paths import given_path
from striate.runs.images import images_of
from striate.runs.opening import open_trained, refuse_unknown
from striate.runs.run import Run
from striate.tasks.trained import Trained

SAMPLES = 24  # test images of a run that are shown
PHOTOGRAPHS = (
    "china.jpg",
    "flower.jpg",
)  # of scikit-learn: by danielbuechele and by vultilion, CC BY 2.0
RUNS = 8  # the newest, where the command named none
DROPPED = 32  # pictures that a person gave, the latest
BYTES = 64 << 20  # of one of them
DEFAULT = "efficientnet-lite0"


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
    dropped: OrderedDict[str, Picture] = field(default_factory=OrderedDict)
    compared: Mapping[str, Picture] = field(default_factory=dict)

    def refuse_missing(self) -> None:
        """Raise UsageError or RunError where there is nothing of that name; no network is made for it."""
        if Path(self.target).is_dir():
            Run.load(self.target)
        else:
            refuse_unknown(self.target)

    @cached_property
    def trained(self) -> Trained:
        """The network, opened when it is first asked for."""
        return open_trained(self.target)

    @cached_property
    def module(self) -> nn.Module:
        """From images (N, C, H, W) in [0, 1] to what the network gives."""
        with torch.inference_mode(
            False
        ):  # whoever asks first: what is made in inference mode has no gradients ever after
            return self.trained.pixels.requires_grad_(False)

    @cached_property
    def geometry(self) -> Geometry:
        """Of one image of the size that it reads."""
        return trace(self.module, self.trained.shape)

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

    def picture(self, number: str) -> Picture:
        """Raises UsageError for a number that was not given out."""
        found = self.samples.get(number) or self.dropped.get(number) or self.compared.get(number)
        if found is None:
            raise UsageError("this picture is no longer there; choose another")
        return found

    def drop(self, data: bytes, name: str, number: str) -> Picture:
        """Take a picture that a person gave, as the bytes of a file. Raises DataError for what is no image."""
        picture = Picture(name, self._read(data))
        self.dropped[number] = picture
        while len(self.dropped) > DROPPED:
            self.dropped.popitem(last=False)
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
        folder = files("sklearn.datasets.images")
        return [
            Picture(Path(name).stem, self._read((folder / name).read_bytes()))
            for name in PHOTOGRAPHS
        ]


class Shelf:
    """All networks of a studio, by number.

    targets: folders of runs and specs; the newest runs of `runs/` where there are none, or the default network.
    Raises UsageError or RunError for a target that is neither.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        chosen = (
            [str(given_path(t, "the network")) for t in dict.fromkeys(targets)]
            or newest_runs(Path("runs"))[:RUNS]
            or [DEFAULT]
        )
        self.networks: Mapping[str, Network] = {
            f"n{i}": Network(one) for i, one in enumerate(chosen)
        }
        for one in self.networks.values() if targets else ():
            one.refuse_missing()

    def network(self, number: Any) -> Network:
        """Raises UsageError for a number that was not given out."""
        found = self.networks.get(number) if isinstance(number, str) else None
        if found is None:
            raise UsageError("this network is not one of those that the studio was started with")
        return found


def newest_runs(folder: Path) -> list[str]:
    """The folders of runs in `folder`, the newest first."""
    found = [p for p in folder.glob("*/run.toml") if p.is_file()] if folder.is_dir() else []
    return [str(p.parent) for p in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)]
