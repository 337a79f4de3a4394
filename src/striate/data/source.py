"""Source: where images come from, opened into train, validation and test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from striate.data.leftout import LeftOut
from striate.data.preprocessing import Preprocessing
from striate.data.reading import read_image
from striate.errors import DataError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A file that was left out: its path relative to the source, and why it cannot be used."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """Images with the same content: `keys[i]` is labelled `classes[i]` and came from `splits[i]`.

    `dropped` names those that were taken out of a split, so that the content stands on one side.
    """

    keys: tuple[str, ...]
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    dropped: tuple[str, ...] = ()

    @property
    def conflicting(self) -> bool:
        """The same image carries different labels."""
        return len(set(self.classes)) > 1


_S = TypeVar("_S", bound="ImageSet")


@dataclass(frozen=True, eq=False)
class ImageSet(ABC):
    """Images in a fixed order, and what is known of them before they are decoded; labels, tags or masks are a subclass's.

    keys: N names, unique in the source: a path relative to it, or such as "digits/17".
    sizes: (N, 2) int64, height and width in pixels, EXIF orientation applied.
    channels: (N,) int8, 1 or 3.
    low, high: (N,) float64, smallest and largest value of an image deeper than 8 bits, or 0, 255.
    deep: (N,) bool, deeper than 8 bits.
    stated: (N,) what a file states as white: 255 (8 bits), 65535 (16 bits), 0 (nothing); None where `deep` says it all.
    missing: (N,) share of an image's values that are no data; None for none.
    """

    ROWS: ClassVar[tuple[str, ...]] = (
        "sizes",
        "channels",
        "low",
        "high",
        "deep",
    )  # arrays (N, ...)

    keys: tuple[str, ...]
    sizes: np.ndarray
    channels: np.ndarray
    low: np.ndarray
    high: np.ndarray
    deep: np.ndarray
    stated: np.ndarray | None = field(default=None, kw_only=True)
    missing: np.ndarray | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.keys)

    @abstractmethod
    def image(self, index: int) -> np.ndarray:
        """Image `index`: (H, W, C), C 1 or 3; uint8, or uint16 or float32 from a deeper file."""

    def take(self: _S, indices: Sequence[int] | np.ndarray) -> _S:
        """The split that holds only `indices`, in that order."""
        at = np.asarray(indices, dtype=np.int64).reshape(-1)
        parts: dict[str, Any] = {name: getattr(self, name)[at] for name in self.ROWS}
        for name in ("stated", "missing"):
            known = getattr(self, name)
            parts[name] = None if known is None else known[at]
        return replace(self, keys=tuple(self.keys[i] for i in at), **parts, **self._taken(at))

    @property
    def white_stated(self) -> np.ndarray:
        """(N,) what each file states as white: 255, 65535, or 0 for nothing."""
        return np.where(self.deep, 65535, 255) if self.stated is None else self.stated

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        """What else `take` selects: the subclass's fields that are no arrays of N rows."""
        return {}


@dataclass(frozen=True, eq=False)
class Split(ImageSet):
    """Labelled images in a fixed order.

    labels: (N,) int64, index into the source's classes.
    formats: (N,) what each file is ("JPEG", "PNG", ..., "array").
    """

    ROWS: ClassVar[tuple[str, ...]] = (*ImageSet.ROWS, "labels", "formats")

    labels: np.ndarray
    formats: np.ndarray

    @property
    def array(self) -> np.ndarray | None:
        """All images as (N, H, W, C) uint8 where they lie in memory anyway, else None."""
        return None

    def preprocess(self, index: int, preprocessing: Preprocessing) -> np.ndarray:
        """Image `index` as the network sees it: (channels, height, width) uint8."""
        return preprocessing.apply(self.image(index))


@dataclass(frozen=True, eq=False)
class ArraySplit(Split):
    """A split whose images, all of one size, lie in one array."""

    images: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, images: np.ndarray, labels: np.ndarray, keys: Sequence[str]) -> ArraySplit:
        """From images (N, H, W, C) uint8 and labels (N,)."""
        n, height, width, channels = images.shape
        return cls(
            labels=np.asarray(labels, dtype=np.int64),
            keys=tuple(keys),
            sizes=np.full((n, 2), (height, width), dtype=np.int64),
            channels=np.full(n, channels, dtype=np.int8),
            low=np.zeros(n),
            high=np.full(n, 255.0),
            deep=np.zeros(n, dtype=bool),
            formats=np.full(n, "array"),
            images=images,
        )

    @property
    def array(self) -> np.ndarray:
        return self.images

    def image(self, index: int) -> np.ndarray:
        return self.images[index].copy()

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        return {"images": self.images[at]}


@dataclass(frozen=True, eq=False)
class FileSplit(Split):
    """A split of image files under `root`; each is decoded when asked for."""

    root: Path

    def path(self, index: int) -> Path:
        """The file of image `index`."""
        return self.root / self.keys[index]

    def image(self, index: int) -> np.ndarray:
        return read_image(self.path(index))

    def preprocess(self, index: int, preprocessing: Preprocessing) -> np.ndarray:
        return preprocessing.read(self.path(index), foreign=False)


@dataclass(frozen=True, eq=False)
class TargetSplit(FileSplit):
    """A split of image files with targets that are no classes.

    targets: (N, K) float32, a column for each of the source's classes: 0 or 1 for tags, numbers in their unit for numbers.
    labels number groups of images that have much in common (a tag, a range of numbers), for drawing some of each.
    center, spread: (K,) mean and standard deviation by which numbers are standardised; None for tags.
    """

    targets: np.ndarray = field(kw_only=True)
    center: np.ndarray | None = field(default=None, kw_only=True)
    spread: np.ndarray | None = field(default=None, kw_only=True)

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        return {"targets": self.targets[at]}


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Images with labels, opened and split.

    name: as it is called in a recipe: "digits", or the folder's name.
    classes: class names in natural order; a label is an index into them.
    where: the place it was read from, for people.
    fingerprint: SHA-256 over the sorted content hashes with class and split: equal for equal data,
        whatever the files are called.
    damaged: files that cannot be read, left out.
    duplicates: groups of equal images.
    outside: images that belong to no class or split, left out.
    empty: class folders without a usable image.
    left_out: what stands there and is not used, by kind: system folders, runs, files that are no images.
    several_pages: files of which only the first page or frame is used.
    blank: images of a single colour.
    missized: images of another size than the table of labels states.
    notes: what was assumed while opening, one sentence each.
    photographs: natural colour pictures larger than about 64 pixels.
    horizontal_flip: whether a mirrored image keeps its label; None where that is unknown.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    where: str
    fingerprint: str
    damaged: tuple[Damage, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    outside: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    several_pages: tuple[str, ...] = ()
    blank: tuple[str, ...] = ()
    missized: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    photographs: bool = False
    horizontal_flip: bool | None = None

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def __len__(self) -> int:
        return len(self.train) + len(self.val) + len(self.test)

    def counts(self) -> np.ndarray:
        """Images a class and split, (classes, 3) int64, in the order train, val, test."""
        k = len(self.classes)
        return np.stack([np.bincount(s.labels, minlength=k) for s in self.splits.values()], axis=1)


def splits_of(source: Source) -> list[TargetSplit]:
    """The source's splits with their targets."""
    splits = [source.train, source.val, source.test]
    assert all(hasattr(split, "targets") for split in splits), "opened with tags or numbers"
    return splits  # type: ignore[return-value]


def refuse_empty(source: Source) -> None:
    """Raise DataError where no image is left to train on, with the reason."""
    if len(source.train):
        return
    dropped = [d for d in source.duplicates if d.dropped]
    n = sum(len(d.dropped) for d in dropped)
    if n:
        first = dropped[0]
        kept = next((key for key in first.keys if key not in first.dropped), first.keys[0])
        raise DataError(
            f"{source.name} has no training images: {n:,} {'is a copy' if n == 1 else 'are copies'} of images that are kept "
            f"for validation and test ({first.dropped[0]} of {kept}), where they would only be recalled; add other images"
        )
    copies = max((len(d.keys) for d in source.duplicates), default=0)
    if copies > len(source) / 2:
        raise DataError(
            f"{source.name} has no training images: {copies:,} of {len(source):,} have the same content, and copies stay in "
            "one split; look at the files"
        )
    held = " and ".join(name for name in ("val", "test") if len(source.splits[name]))
    raise DataError(
        f"{source.name} has no training images: all {len(source):,} are for {held}; make val and test smaller, or add images"
    )
