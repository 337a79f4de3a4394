"""Images and masks given in Python, arrays or a Dataset of (image, mask), opened as a folder of both is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from striate.data.arrangement import arrange
from striate.data.own import LOOKED_TWICE, PREFIX, STATED, Items, items_of, remember
from striate.data.own_images import Form, as_stored, form_of
from striate.data.records import Progress
from striate.data.source import SPLITS
from striate.data.splitting import TEST, TRAIN, VAL
from striate.errors import DataError
from striate.tasks.segment.data.coding import IGNORE, MOST_CLASSES
from striate.tasks.segment.data.folder import colourful, strata_of
from striate.tasks.segment.data.source import MaskSource, MaskSplit, anchors_of


@dataclass(frozen=True, eq=False)
class ItemMaskSplit(MaskSplit):
    """A split of items; each is read when asked for. numbers: (N,) of the items. unit: floats from 0 to 1 are 8 bits. full:
    masks hold 255 for their only object.
    """

    items: Items = field(repr=False)
    numbers: np.ndarray = field(repr=False)
    unit: bool
    full: bool

    def image(self, index: int) -> np.ndarray:
        return as_stored(self.items.read(int(self.numbers[index]))[0], unit=self.unit)

    def mask(self, index: int) -> np.ndarray:
        number = int(self.numbers[index])
        image, mask = self.items.read(number)
        return coded(values_of(mask, image.shape[:2], number, self.items.where), full=self.full)

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        return super()._taken(at) | {"numbers": self.numbers[at]}


def open_given_masks(
    data: Any, *, seed: int = 0, val: float | None = None, test: float | None = None, progress: Progress | None = None
) -> MaskSource:  # fmt: skip
    """Open images and masks given in Python; every one is read once, and split by content and seed, as a folder is.

    data: a Dataset of (image, mask) or (images, masks); images as for classes, masks (H, W) or (1, H, W) of whole numbers,
    as arrays, tensors or PIL images: 0, 1, 2, ... are classes, 255 and numbers below 0 no label. Masks of 0 and 255 alone,
    or of yes and no, hold one object. Raises DataError with the number of an item that cannot be used.
    """
    items = items_of(data)
    if not len(items):
        raise DataError(f"{items.where} holds no images")
    forms: list[Form] = []
    counts: list[np.ndarray] = []
    for number in range(len(items)):
        image, mask = items.read(number)
        forms.append(form_of(image))
        values = values_of(mask, image.shape[:2], number, items.where)
        counts.append(np.bincount(values.ravel(), minlength=MOST_CLASSES + 1))
        if number < LOOKED_TWICE and forms[-1] != form_of(items.read(number)[0]):
            raise DataError(
                f"item {number} of {items.where} differs from one reading to the next, because its transform draws at "
                "random, and no result could be repeated; take that out of the data and give it as augment="
            )
        if progress is not None:
            progress(number + 1, len(items))
    held = np.flatnonzero(np.sum(counts, 0)).tolist()
    full = held == [0, IGNORE]
    classes = _classes(items, [v for v in held if v != IGNORE], full=full)
    pixels = np.stack([c[: len(classes)] for c in counts])
    if full:
        pixels[:, 1] = [c[IGNORE] for c in counts]
    floats = [form for form in forms if form.kind == "f"]
    unit = bool(floats) and all(form.low >= 0 and form.high <= 1 for form in floats)
    keys = items.keys or [f"{items.name}/{i}" for i in range(len(items))]
    plan = arrange(
        [form.content for form in forms], strata_of(pixels), keys=keys,
        classes=[str(i) for i in range(len(classes) + 1)], seed=seed, val=val, test=test, given=items.given,
    )  # fmt: skip

    print_of_all = hashlib.sha256(plan.fingerprint.encode() + np.stack(counts).tobytes())

    def split(at: np.ndarray) -> ItemMaskSplit:
        mine = [forms[i] for i in at]
        stated = np.array([255 if unit and f.kind == "f" else STATED[f.kind] for f in mine], dtype=np.int64)  # fmt: skip
        deep = stated != 255
        masks = (values_of(items.read(int(i))[1], None, int(i), items.where) for i in at)
        return ItemMaskSplit(
            keys=tuple(keys[i] for i in at),
            sizes=np.array([(f.height, f.width) for f in mine], dtype=np.int64).reshape(-1, 2),
            channels=np.array([f.channels for f in mine], dtype=np.int8),
            low=np.array([f.low if d else 0.0 for f, d in zip(mine, deep, strict=True)]),
            high=np.array([f.high if d else 255.0 for f, d in zip(mine, deep, strict=True)]),
            deep=deep,
            stated=stated,
            missing=np.array([f.missing for f in mine]),
            pixels=pixels[at],
            anchors=tuple(anchors_of(coded(m, full=full), keys[i]) for i, m in zip(at, masks, strict=True)),
            items=items,
            numbers=at,
            unit=unit,
            full=full,
        )  # fmt: skip

    parts = [split(np.flatnonzero(plan.part == code)) for code in range(len(SPLITS))]
    source = MaskSource(
        name=f"{PREFIX}{items.name}-{plan.fingerprint[:8]}",
        classes=classes,
        where=items.where,
        fingerprint=print_of_all.hexdigest(),
        duplicates=plan.duplicates,
        how="0 is background, 255 is object" if full else "the masks hold numbers of classes",
        photographs=colourful(parts[TRAIN]),
        train=parts[TRAIN],
        val=parts[VAL],
        test=parts[TEST],
    )
    remember(source)
    return source


def values_of(mask: Any, size: tuple[int, ...] | None, number: int, where: str) -> np.ndarray:
    """A mask (H, W) int64, 0 to 255; numbers below 0 become IGNORE. Raises DataError where it is none, or not of `size`."""
    what = f"the mask of item {number} of {where}"
    if hasattr(mask, "detach"):
        mask = mask.detach().cpu().numpy()
    elif hasattr(mask, "convert"):
        mask = np.asarray(mask)
    if not isinstance(mask, np.ndarray) or mask.dtype.kind not in "biuf":
        raise DataError(
            f"{what} is {type(mask).__name__}; give an array (H, W) of whole numbers, a class each"
        )
    if mask.ndim == 3 and 1 in (mask.shape[0], mask.shape[2]):
        mask = mask[0] if mask.shape[0] == 1 else mask[..., 0]
    if mask.ndim != 2 or (size is not None and mask.shape != tuple(size)):
        expected = "(H, W)" if size is None else f"{tuple(size)}, as its image"
        raise DataError(f"{what} has the shape {mask.shape}; give one of the shape {expected}")
    if mask.dtype.kind == "f" and not (np.isfinite(mask).all() and (mask == np.rint(mask)).all()):
        odd = "fractions" if np.isfinite(mask).all() else "NaN or infinite numbers"
        raise DataError(
            f"{what} holds {odd}; give whole numbers, a class each, and 255 for no label"
        )
    values = mask.astype(np.int64)
    if values.max(initial=0) > IGNORE:
        raise DataError(f"{what} holds {values.max()}; classes are numbers from 0 to {MOST_CLASSES - 1}")  # fmt: skip
    return np.where(values < 0, IGNORE, values)


def coded(values: np.ndarray, *, full: bool) -> np.ndarray:
    """Class indices (H, W) uint8 of values; full: 255 is the object."""
    return (np.where(values == IGNORE, 1, values) if full else values).astype(np.uint8)


def _classes(items: Items, held: Sequence[int], *, full: bool) -> tuple[str, ...]:
    """Names by number. Raises DataError where nothing can be learned, or names are too few."""
    if full:
        held = [0, 1]
    if len(held) < 2:
        what = f"one class, {held[0]}" if held else "no class"
        raise DataError(f"the masks of {items.where} hold {what}, so there is nothing to learn")
    count = held[-1] + 1
    if items.names is not None:
        if len(items.names) < count:
            raise DataError(
                f"{items.where} names {len(items.names)} classes, and its masks hold the number {held[-1]}; name one for "
                "each number from 0"
            )
        return tuple(map(str, items.names))
    return ("background", "object") if count == 2 else ("background", *(f"class {i}" for i in range(1, count)))  # fmt: skip
