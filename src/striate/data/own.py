"""Data of a person's own: a torch Dataset, arrays, or a table of paths and labels, opened and split as a folder is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from striate.data.folder import Encoded, shows_photographs
from striate.data.own_images import Form, as_stored, form_of, in_one, pixels_of
from striate.data.own_labels import classes_of
from striate.data.own_splits import Joined, codes_of, names_in, parts_of
from striate.data.own_tables import columns_of, paths_and_labels
from striate.data.own_targets import Encode
from striate.data.records import Progress
from striate.data.source import SPLITS, ArraySplit, Source, Split
from striate.data.splitting import TEST, TRAIN, VAL
from striate.errors import DataError, UsageError

PREFIX = "python:"
LOOKED_TWICE = 3  # items that are read twice, to find a transform that draws at random
IMAGE = ("image", "img", "pixel_values", "x", "picture", "file", "path")
LABEL = ("label", "labels", "class", "target", "fine_label", "category", "y")

STATED = {"u1": 255, "u2": 65535, "f": 0}  # what is white, by the kind of number

_GIVEN: WeakValueDictionary[str, Any] = WeakValueDictionary()


@dataclass(frozen=True)
class Columns:
    """Images and labels in two columns, as (image, label) by number."""

    images: Any
    labels: Any

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        return self.images[number], self.labels[number]


@dataclass(frozen=True, kw_only=True)
class Items:
    """Images with labels by number, wherever they lie.

    pairs: (image, label) of a number, or a dict of both; the image in any form that `pixels_of` knows. where: for people.
    names: classes that labels 0, 1, ... stand for, or None. keys: what an image is called; given: its split, or FREE.
    """

    name: str
    where: str
    pairs: Any
    names: Sequence[str] | None = None
    keys: Sequence[str] | None = None
    given: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, number: int) -> tuple[np.ndarray, Any]:
        """Image `number`, (H, W, C), and its label as it was given. Raises DataError with the number."""
        try:
            image, label = _pair(self.pairs[number])
            return pixels_of(image), label
        except DataError as error:
            raise DataError(f"item {number} of {self.where}: {error}") from error
        except Exception as error:  # whatever a Dataset of somebody else raises
            raise DataError(
                f"item {number} of {self.where} cannot be read: {type(error).__name__}: {error}"
            ) from error


def _pair(one: Any) -> tuple[Any, Any]:
    if isinstance(one, Mapping):
        image, label = _column(one, IMAGE), _column(one, LABEL)
        if image is None or label is None:
            raise DataError(
                f"it has {', '.join(map(str, one))}, and not both 'image' and 'label' among these; give (image, label)"
            )
        return one[image], one[label]
    if not isinstance(one, list | tuple) or len(one) != 2:
        size = f" of {len(one)}" if isinstance(one, list | tuple) else ""
        raise DataError(f"it is a {type(one).__name__}{size}; give (image, label)")
    return one[0], one[1]


@dataclass(frozen=True, eq=False)
class ItemSplit(Split):
    """A split of items; each is read when asked for. numbers: (N,) of the items. unit: floats from 0 to 1 are 8 bits."""

    items: Items = field(repr=False)
    numbers: np.ndarray = field(repr=False)
    unit: bool

    def image(self, index: int) -> np.ndarray:
        return as_stored(self.items.read(int(self.numbers[index]))[0], unit=self.unit)

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        return {"numbers": self.numbers[at]}


@dataclass(frozen=True, eq=False)
class ItemTargetSplit(ItemSplit):
    """A split of items with targets that are no classes, as `TargetSplit` has them."""

    targets: np.ndarray = field(kw_only=True)
    center: np.ndarray | None = field(default=None, kw_only=True)
    spread: np.ndarray | None = field(default=None, kw_only=True)

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        return super()._taken(at) | {"targets": self.targets[at]}


def items_of(data: Any) -> Items:
    """Data of any kind as items. Raises UsageError for what is none, and says what is."""
    columns = columns_of(data)
    known = {str(name).casefold() for name in columns or ()}
    parts = None if known.intersection(IMAGE) else parts_of(data)
    if parts is not None:
        return _joined(parts)
    if columns is not None:
        table = paths_and_labels(columns)
        if table is not None:
            pairs = Columns(table.pop("images"), table.pop("labels"))
            return Items(name="table", pairs=pairs, **table)
        image, label = _column(columns, IMAGE), _column(columns, LABEL)
        if image is None or label is None:
            raise UsageError(
                f"the columns {', '.join(map(str, columns))} hold no images with labels; name the paths or images 'image' "
                "and the labels 'label'"
            )
        data = (columns[image], columns[label])
    if isinstance(data, tuple) and len(data) == 2 and all(hasattr(p, "__len__") for p in data):
        return _arrays(*data)
    if not hasattr(data, "__getitem__") or not hasattr(data, "__len__") or isinstance(data, bytes):
        hint = "give list(data)" if hasattr(data, "__iter__") else "give one of these"
        raise UsageError(
            f"{type(data).__name__} is no data to learn from; these are a folder, a named source, a Dataset of (image, "
            f"label), (images, labels), a table of paths and labels, or a Source; {hint}"
        )
    return _dataset(data)


def _joined(parts: Mapping[str, Any]) -> Items:
    """The data of each split as one row of items that know their split. Raises DataError for a split without images."""
    each = {split: items_of(data) for split, data in parts.items()}
    lengths = {split: len(items) for split, items in each.items()}
    for split, items in each.items():
        if not len(items):
            raise DataError(
                f"the split {split}, {items.where}, holds no images; leave it out, or fill it"
            )
        if items.given is not None:
            raise DataError(
                f"the split {split}, {items.where}, names splits itself; give it without that column, or alone"
            )
    return Items(
        name=each["train"].name,
        where=f"splits given in Python ({', then '.join(f'{n:,} of {split}' for split, n in lengths.items())})",
        pairs=Joined([items.pairs for items in each.values()]),
        names=names_in({split: items.names for split, items in each.items()}),
        keys=[f"{split}/{i}" for split, n in lengths.items() for i in range(n)],
        given=codes_of(lengths),
    )


def has_labels(data: Any) -> bool:
    """Whether these are data with labels in Python: a Dataset, (images, labels), a table, or a Source; not images alone."""
    if data is None or isinstance(data, str | Path) or hasattr(data, "__array__"):
        return False
    if hasattr(data, "splits") or columns_of(data) is not None:
        return True
    if isinstance(data, tuple) and len(data) == 2:
        images, labels = (_axes(part) for part in data)
        return (
            (images >= 3 and labels == 1)
            or (images == 4 and labels in (2, 3, 4))
            or (images == 3 and labels == 2)
        )
    if not hasattr(data, "__len__") or not hasattr(data, "__getitem__") or not len(data):
        return False
    return isinstance(data[0], tuple | Mapping)


def _axes(part: Any) -> int:
    """How many axes images or labels have together; of a list, one more than its first."""
    shape = getattr(part, "shape", None)
    if shape is not None:
        return len(shape)
    if isinstance(part, list | tuple):
        return 1 + (_axes(part[0]) if part else 0)
    return 2 if hasattr(part, "convert") else 0  # a Pillow image


def _column(columns: Mapping[Any, Any], names: Sequence[str]) -> Any:
    known = {str(name).casefold(): name for name in columns}
    return next((known[name] for name in names if name in known), None)


def _arrays(images: Any, labels: Any) -> Items:
    if len(images) != len(labels):
        raise DataError(
            f"{len(images):,} images and {len(labels):,} labels were given; give a label each"
        )
    shape = getattr(images, "shape", (len(images),))
    return Items(
        name="arrays",
        where=f"arrays given in Python ({' x '.join(map(str, shape))})",
        pairs=Columns(images if isinstance(images, list | tuple) else in_one(images), labels),
    )


def _dataset(data: Any) -> Items:
    kind, inner = type(data).__name__, data
    while hasattr(inner, "dataset") and not hasattr(
        inner, "classes"
    ):  # of a Subset, which has no names
        inner = inner.dataset
    names, features = getattr(inner, "classes", None), getattr(inner, "features", None)
    if names is None and isinstance(features, Mapping):
        names = next((getattr(features[k], "names", None) for k in LABEL if k in features), None)
    where = f"a {kind} given in Python ({len(data):,} items)"
    return Items(name=kind, where=where, pairs=data, names=names)


def open_given(
    data: Any,
    *,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    progress: Progress | None = None,
    least: int = 2,
    encode: Encode | None = None,
) -> Source:
    """Open data given in Python; every image is read once. The split is drawn by content and seed, as for a folder.

    Of a dict of train, val and test, each of them such data, the splits are these; one that is missing is drawn from train.

    data: see `items_of`. Images are PIL images, arrays (H, W), (H, W, C) or (C, H, W) or tensors, uint8, uint16 or floats;
    floats from 0 to 1 throughout are taken as 8 bits. Labels are numbers or words, one an image,
    of `least` classes or more. encode: of labels that are no classes, such as `tags_given`.
    Raises UsageError for what is no data, DataError with the number of an item that cannot be used.
    """
    items = items_of(data)
    n = len(items)
    if n == 0:
        raise DataError(f"{items.where} holds no images")
    forms: list[Form] = []
    labels: list[Any] = []
    for number in range(n):
        image, label = items.read(number)
        forms.append(form_of(image))
        labels.append(label)
        if number < LOOKED_TWICE and forms[-1] != form_of(items.read(number)[0]):
            raise DataError(
                f"item {number} of {items.where} differs from one reading to the next, because its transform draws at "
                "random, and no result could be repeated; take that out of the data and give it as augment="
            )
        if progress is not None:
            progress(number + 1, n)
    if encode is None:
        classes, index = classes_of(labels, items.names, items.where, least)
        encoded = Encoded(classes=classes, words=classes, labels=index)
    else:
        encoded = encode(labels, items.names, items.where)
    floats = [form for form in forms if form.kind == "f"]
    unit = bool(floats) and all(form.low >= 0 and form.high <= 1 for form in floats)
    keys = items.keys or [f"{items.name}/{i}" for i in range(n)]
    plan = encoded.arrange(
        [form.content for form in forms], keys, items.given, seed=seed, val=val, test=test
    )
    parts = [
        _split(items, forms, encoded, keys, np.flatnonzero(plan.part == code), unit)
        for code in range(len(SPLITS))
    ]
    source = Source(
        name=f"{PREFIX}{items.name}-{plan.fingerprint[:8]}",
        classes=encoded.classes,
        where=items.where,
        fingerprint=plan.fingerprint,
        duplicates=plan.duplicates,
        blank=tuple(key for key, form in zip(keys, forms, strict=True) if form.low == form.high),
        notes=tuple(_notes(floats, unit)),
        photographs=shows_photographs(parts[TRAIN]),
        train=parts[TRAIN],
        val=parts[VAL],
        test=parts[TEST],
    )
    return remember(source)


def _split(
    items: Items, forms: Sequence[Form], encoded: Encoded, keys: Sequence[str], at: np.ndarray, unit: bool
) -> Split:  # fmt: skip
    mine = [forms[i] for i in at]
    stated = np.array([255 if unit and f.kind == "f" else STATED[f.kind] for f in mine], dtype=np.int64)  # fmt: skip
    deep = stated != 255
    alike = len({(f.height, f.width, f.channels) for f in mine}) == 1
    labels = encoded.labels if encoded.strata is None else encoded.strata
    made: Callable[..., ItemSplit] = ItemSplit
    if encoded.targets is not None:
        made = partial(ItemTargetSplit, targets=encoded.targets[at])
    elif items.name == "arrays" and alike and not deep.any():  # they lie in memory already
        images = np.stack([as_stored(items.read(i)[0], unit=unit) for i in at.tolist()])
        return ArraySplit.of(images, labels[at], [keys[i] for i in at])
    return made(
        labels=labels[at],
        keys=tuple(keys[i] for i in at),
        sizes=np.array([(f.height, f.width) for f in mine], dtype=np.int64).reshape(-1, 2),
        channels=np.array([f.channels for f in mine], dtype=np.int8),
        low=np.array([f.low if d else 0.0 for f, d in zip(mine, deep, strict=True)]),
        high=np.array([f.high if d else 255.0 for f, d in zip(mine, deep, strict=True)]),
        deep=deep,
        formats=np.full(len(mine), "array"),
        stated=stated,
        missing=np.array([f.missing for f in mine]),
        items=items,
        numbers=at,
        unit=unit,
    )


def _notes(floats: Sequence[Form], unit: bool) -> list[str]:
    if not floats:
        return []
    if unit:
        return ["the images are floats from 0 to 1, which are taken as 8 bits, 0 to 255"]
    low, high = min(form.low for form in floats), max(form.high for form in floats)
    return [
        f"the images are floats from {low:g} to {high:g}, which are taken as measured numbers: image files of 8 bits cannot "
        "be predicted by the run; give uint8, or floats from 0 to 1, before any normalisation, if they are photographs"
    ]


def remember(source: Any) -> Any:
    """The source, which opens again under its name as long as somebody in this process holds it."""
    _GIVEN[source.name] = source
    return source


def given_again(name: str) -> Any:
    """A source that was given in Python and is still held. Raises UsageError where it is not: its images are not stored."""
    source = _GIVEN.get(name)
    if source is None:
        raise UsageError(
            f"{name.removeprefix(PREFIX)} was given in Python, and its images are not stored with a run; give them again: "
            "data=... in Python, or --data FOLDER with the same images"
        )
    return source


def is_given(data: str | Path) -> bool:
    """Whether a name is of data that were given in Python."""
    return isinstance(data, str) and data.startswith(PREFIX)
