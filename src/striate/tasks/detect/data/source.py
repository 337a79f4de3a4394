"""BoxSource: images with the objects in them, opened into train, validation and test."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.leftout import LeftOut
from striate.data.preprocessing import Preprocessing
from striate.data.source import Damage, Duplicate, ImageSet
from striate.images import read_image
from striate.tasks.detect.objects import Objects


@dataclass(frozen=True, eq=False)
class BoxSplit(ImageSet):
    """Images with their objects, in a fixed order.

    objects: one an image; one without any is background.
    """

    objects: tuple[Objects, ...] = field(repr=False)

    @abstractmethod
    def image(self, index: int) -> np.ndarray: ...

    def preprocess(self, index: int, preprocessing: Preprocessing) -> np.ndarray:
        """Image `index` as the network sees it, at its own size: (channels, H, W) uint8."""
        return preprocessing.colours(self.image(index))

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        return {"objects": tuple(self.objects[i] for i in at)}

    def counts(self, classes: int) -> np.ndarray:
        """(classes,) objects of each class, crowds left out."""
        counts = np.zeros(classes, dtype=np.int64)
        for objects in self.objects:
            counts += np.bincount(objects.labels[~objects.crowd], minlength=classes)[:classes]
        return counts


@dataclass(frozen=True, eq=False)
class ArrayBoxSplit(BoxSplit):
    """Images of one size that lie in memory, (N, H, W, C) uint8."""

    images: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, images: np.ndarray, objects: Sequence[Objects], keys: Sequence[str]) -> ArrayBoxSplit:  # fmt: skip
        """From images (N, H, W, C) uint8 and their objects."""
        n, height, width, channels = images.shape
        return cls(
            keys=tuple(keys),
            sizes=np.full((n, 2), (height, width), dtype=np.int64),
            channels=np.full(n, channels, dtype=np.int8),
            low=np.zeros(n),
            high=np.full(n, 255.0),
            deep=np.zeros(n, dtype=bool),
            objects=tuple(objects),
            images=images,
        )

    def image(self, index: int) -> np.ndarray:
        return self.images[index]

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        return super()._taken(at) | {"images": self.images[at]}


@dataclass(frozen=True, eq=False)
class FileBoxSplit(BoxSplit):
    """Image files under `root`, decoded when asked for; `objects` are in pixels of the upright images."""

    root: Path
    images: tuple[str, ...]

    def path(self, index: int) -> Path:
        """The image's file."""
        return self.root / self.images[index]

    def image(self, index: int) -> np.ndarray:
        return read_image(self.path(index))

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        return super()._taken(at) | {"images": tuple(self.images[i] for i in at)}


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxSource:
    """Images with boxes, opened and split.

    name, where, fingerprint, damaged, duplicates, left_out, notes, photographs, horizontal_flip: as in Source.
    format: what the annotations were taken for, such as "COCO JSON". warnings: what was assumed of them and may be wrong.
    faults: objects that were mended or left out, each with its image and why. generated: drawn at random, so that
    augmentation adds nothing.
    """

    name: str
    classes: tuple[str, ...]
    train: BoxSplit
    val: BoxSplit
    test: BoxSplit
    where: str
    fingerprint: str
    format: str = ""
    damaged: tuple[Damage, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    faults: tuple[Damage, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    photographs: bool = False
    horizontal_flip: bool | None = None
    generated: bool = False

    @property
    def splits(self) -> dict[str, BoxSplit]:
        """The three splits by name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def __len__(self) -> int:
        return len(self.train) + len(self.val) + len(self.test)
