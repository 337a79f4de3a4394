"""MaskSource: images with a class for every pixel, opened into train, validation and test."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from striate.data.leftout import LeftOut
from striate.data.source import Damage, Duplicate, ImageSet
from striate.images import read_image
from striate.images.pixels import upright
from striate.tasks.segment.data.coding import Coding
from striate.tasks.segment.data.reading import read_mask

ANCHORS = 64  # places kept of each class of an image, for crops to aim at


@dataclass(frozen=True, eq=False)
class MaskSplit(ImageSet):
    """Images with masks, in a fixed order.

    pixels: (N, K) int64, pixels of each class.
    anchors: for each image, class -> (n, 2) rows and columns of some of its pixels.
    """

    ROWS: ClassVar[tuple[str, ...]] = (*ImageSet.ROWS, "pixels")

    pixels: np.ndarray
    anchors: tuple[dict[int, np.ndarray], ...] = field(repr=False)

    @abstractmethod
    def mask(self, index: int) -> np.ndarray:
        """Mask `index`: (H, W) uint8, a class index or IGNORE."""

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        return {"anchors": tuple(self.anchors[i] for i in at)}


@dataclass(frozen=True, eq=False)
class ArrayMaskSplit(MaskSplit):
    """Images and masks of one size that lie in memory: (N, H, W, C) and (N, H, W) uint8."""

    images: np.ndarray = field(repr=False)
    masks: np.ndarray = field(repr=False)

    @classmethod
    def of(
        cls, images: np.ndarray, masks: np.ndarray, keys: Sequence[str], classes: int
    ) -> ArrayMaskSplit:
        """From images (N, H, W, C) uint8 and masks (N, H, W) uint8."""
        n, height, width, channels = images.shape
        return cls(
            keys=tuple(keys),
            sizes=np.full((n, 2), (height, width), dtype=np.int64),
            channels=np.full(n, channels, dtype=np.int8),
            low=np.zeros(n),
            high=np.full(n, 255.0),
            deep=np.zeros(n, dtype=bool),
            pixels=np.stack([np.bincount(m.ravel(), minlength=256)[:classes] for m in masks])
            if n
            else np.zeros((0, classes), dtype=np.int64),
            anchors=tuple(anchors_of(m, key) for m, key in zip(masks, keys, strict=True)),
            images=images,
            masks=masks,
        )

    def image(self, index: int) -> np.ndarray:
        return self.images[index]

    def mask(self, index: int) -> np.ndarray:
        return self.masks[index]

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        return super()._taken(at) | {"images": self.images[at], "masks": self.masks[at]}


@dataclass(frozen=True, eq=False)
class FileMaskSplit(MaskSplit):
    """Image and mask files under `root`, decoded when asked for.

    masks[i]: one file, or several of an object each. pages[i]: the page of a TIFF of several, else 0. turns[i]: the EXIF
    orientation that is applied to the mask.
    """

    root: Path
    images: tuple[str, ...]
    masks: tuple[tuple[str, ...], ...]
    pages: tuple[int, ...]
    turns: tuple[int, ...]
    coding: Coding

    def path(self, index: int) -> Path:
        """The image's file."""
        return self.root / self.images[index]

    def image(self, index: int) -> np.ndarray:
        if self.pages[index]:
            return read_image(self.path(index), page=self.pages[index])
        return read_image(self.path(index))

    def mask(self, index: int) -> np.ndarray:
        return united(
            self.root, self.masks[index], self.pages[index], self.coding, self.turns[index]
        )

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        own = ("images", "masks", "pages", "turns")
        return super()._taken(at) | {
            name: tuple(getattr(self, name)[i] for i in at) for name in own
        }


def united(
    root: Path, masks: Sequence[str], page: int, coding: Coding, orientation: int
) -> np.ndarray:
    """The class indices (H, W) uint8 of one mask file, or of several laid over one another, turned upright."""
    coded: np.ndarray | None = None
    for path in masks:
        one = coding.read(read_mask(root / path, page))
        # Of several masks of an object each, a pixel belongs to the object if one of them says so.
        coded = one if coded is None else np.where(one == 0, coded, one)
    assert coded is not None
    return upright(coded[..., None], orientation)[..., 0]


def anchors_of(mask: np.ndarray, key: str) -> dict[int, np.ndarray]:
    """Value -> (n, 2) int32 places of at most ANCHORS of its pixels, drawn by the key alone."""
    rng = np.random.default_rng(list(key.encode("utf-8", "surrogateescape")) or [0])
    flat = mask.ravel()
    order = np.argsort(flat, kind="stable")
    values, starts, counts = np.unique(flat[order], return_index=True, return_counts=True)
    places = {}
    for value, start, count in zip(values.tolist(), starts.tolist(), counts.tolist(), strict=True):
        chosen = order[start + rng.integers(0, count, min(count, ANCHORS))]
        places[value] = np.stack(np.divmod(chosen, mask.shape[1]), 1).astype(np.int32)
    return places


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskSource:
    """Images with masks, opened and split.

    name, where, fingerprint, damaged, duplicates, notes, photographs, horizontal_flip: as in Source.
    classes: class names; a mask holds indices into them, or IGNORE (255).
    alone: images without a mask and masks without an image, left out.
    misfits: pairs whose sizes differ, left out.
    strange: masks with pixels of no class, which are ignored.
    left_out: what stands there and is not used, as in Source.
    how: what the masks were taken to hold. warnings: what was assumed of them and may well be wrong.
    generated: drawn at random, so that augmentation adds nothing.
    """

    name: str
    classes: tuple[str, ...]
    train: MaskSplit
    val: MaskSplit
    test: MaskSplit
    where: str
    fingerprint: str
    damaged: tuple[Damage, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    alone: tuple[str, ...] = ()
    misfits: tuple[Damage, ...] = ()
    strange: tuple[Damage, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    how: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    photographs: bool = False
    horizontal_flip: bool | None = None
    generated: bool = False

    @property
    def splits(self) -> dict[str, MaskSplit]:
        """The three splits by name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def __len__(self) -> int:
        return len(self.train) + len(self.val) + len(self.test)

    def shares(self) -> np.ndarray:
        """Pixels of each class in each split, (classes, 3) int64, in the order train, val, test."""
        return np.stack([split.pixels.sum(0) for split in self.splits.values()], axis=1)
