"""Annotations: what files say of the objects of images, before anything is mended or looked for on the disk."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from striate.data.naming import in_order, normal
from striate.data.source import Damage
from striate.data.tree import Parts
from striate.schema import kind_of
from striate.tasks.detect.objects import Region
from striate.wording import one_line, short

NOWHERE = (float("nan"),) * 4  # the box of an object of which only the outline is stated
FAR = 1e7  # pixels from the first corner; nothing of an image lies that far away
LONGEST = 2**31  # pixels of a side
SHOWN = 60  # characters of a text of a file that a message shows


@dataclass(frozen=True, eq=False, slots=True)
class Polygons:
    """The rings of one object's outline: each (k, 2) float64, x and y in pixels. What any ring covers belongs to it."""

    rings: tuple[np.ndarray, ...]


Outline = Polygons | Region


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageAnnotations:
    """The objects of one image as a file states them.

    file: the image as it is named there; folder: of the file that names it, relative to the data. size: (height, width) as
    stated, or None. boxes: (n, 4) float64, left, top, right, bottom, NaN where only an outline is stated; in pixels, or in
    shares of the image's sides where `shares` says so (outlines too). labels: (n,) int64. crowd: (n,) bool. outlines: one an
    object, or None. split: train, val, test or None.
    """

    file: str
    folder: Parts
    size: tuple[int, int] | None
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    outlines: tuple[Outline | None, ...]
    split: str | None = None
    shares: bool = False

    def __len__(self) -> int:
        return len(self.labels)


class Draft:
    """The objects of one image while a file is read; numbers lie in arrays, so that millions of them fit into memory."""

    def __init__(
        self, file: str, folder: Parts = (), *, size: tuple[int, int] | None = None, split: str | None = None,
        shares: bool = False,
    ) -> None:  # fmt: skip
        self.file, self.folder, self.size, self.split, self.shares = (
            file,
            folder,
            size,
            split,
            shares,
        )
        self.absent = False  # known not to be on the disk, so that nothing is kept of it
        self.boxes, self.labels, self.crowd = array("d"), array("q"), bytearray()
        self.outlines: list[Outline | None] = []

    def add(
        self, label: int, box: Sequence[float] | None, outline: Outline | None = None, *, crowd: bool = False
    ) -> None:  # fmt: skip
        """One object; `box` is left, top, right, bottom."""
        self.boxes.extend(NOWHERE if box is None else box)
        self.labels.append(label)
        self.crowd.append(crowd)
        self.outlines.append(outline)

    def done(self) -> ImageAnnotations:
        """What was collected."""
        return ImageAnnotations(
            file=self.file, folder=self.folder, size=self.size, split=self.split, shares=self.shares,
            boxes=np.array(self.boxes, dtype=np.float64).reshape(-1, 4),
            labels=np.array(self.labels, dtype=np.int64),
            crowd=np.frombuffer(bytes(self.crowd), dtype=np.uint8).astype(bool),
            outlines=tuple(self.outlines),
        )  # fmt: skip


class ClassNames:
    """Numbers for the names of classes, in the order in which they are met."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        """The number of a class; equal names in other bytes (NFC) are one."""
        return self.numbers.setdefault(normal(name.strip()) or "object", len(self.numbers))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.numbers)


@dataclass(frozen=True, kw_only=True, eq=False)
class Annotations:
    """What the annotation files of a data set state.

    format: such as "COCO JSON". files: the annotation files, relative to the data. complete: the files list every image, so
    that an image that they do not name is not part of the data; else an image without annotations is background.
    faults: entries that cannot be used, each with its image or file. notes, warnings: as in BoxSource.
    """

    format: str
    classes: tuple[str, ...]
    images: tuple[ImageAnnotations, ...]
    files: tuple[Parts, ...] = ()
    complete: bool = True
    faults: tuple[Damage, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def sorted(self) -> Annotations:
        """The same with the classes in natural order, for formats that state none."""
        names = in_order(self.classes)
        place = np.array([names.index(name) for name in self.classes], dtype=np.int64)
        images = tuple(replace(image, labels=place[image.labels]) for image in self.images)
        return replace(self, classes=names, images=images)


def side_of(value: Any) -> int:
    """A side of an image in pixels, of a number or a text; 0 where it is none, or longer than any image's."""
    if isinstance(value, str):
        value = number_of(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return (
        int(value) if 1 <= value < LONGEST else 0
    )  # of whole numbers of any length, infinity and NaN, too


def number_of(text: str | None) -> float:
    """The number that a text states, NaN where it states none."""
    try:
        return float(text) if text is not None else math.nan
    except ValueError:
        return math.nan


def text_of(value: Any) -> str:
    """A value as the text that it stands for, such as an id; of lists and tables, which may expand, their kind."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list | tuple | dict | set | bytes):
        return kind_of(value)
    try:
        return str(value)
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"


def shown(text: str) -> str:
    """A text of a file as a message shows it: on one line, and not longer than that."""
    return one_line(short(text, SHOWN))


def fault(path: str, reason: str) -> Damage:
    """An entry that cannot be used."""
    return Damage(path=path, reason=reason)


def joined(parts: Iterable[str]) -> str:
    """A path relative to the data, as messages show it."""
    return "/".join(parts)
