"""Images and boxes given in Python: a Dataset as torchvision's detectors take it, or COCO's dict; opened as a folder is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.arrangement import arrange
from striate.data.finder import OUTSIDE
from striate.data.own import LOOKED_TWICE, PREFIX, STATED, Items, items_of, remember
from striate.data.own_images import Form, as_stored, form_of
from striate.data.records import Progress
from striate.data.source import SPLITS, Damage
from striate.data.splitting import TRAIN
from striate.data.tree import Tree
from striate.errors import DataError
from striate.files import is_regular
from striate.tasks.detect.data.annotations import Draft, fault
from striate.tasks.detect.data.coco import KEYS, entries_of, outline_of, read_entries
from striate.tasks.detect.data.folder import annotated_folder, fingerprint, strata_of
from striate.tasks.detect.data.mending import Form as Upright
from striate.tasks.detect.data.mending import mend
from striate.tasks.detect.data.misreading import misreading
from striate.tasks.detect.data.source import BoxSource, BoxSplit
from striate.tasks.detect.objects import Objects, Region
from striate.tasks.segment.data.folder import colourful
from striate.wording import counted

LABELS = ("labels", "label", "category", "categories", "class_labels", "classes")
BOXES = ("boxes", "bbox", "bboxes", "box")
FORMS = (
    "a Dataset of (image, {'boxes': (n, 4) left, top, right, bottom, 'labels': (n,)}), as torchvision's "
    "detectors take it, "
    "torchvision's CocoDetection or VOCDetection, or COCO's dict of images, annotations and categories"
)


@dataclass(frozen=True, eq=False)
class ItemBoxSplit(BoxSplit):
    """A split of items; each is read when asked for. numbers: (N,) of the items. unit: floats from 0 to 1 are 8 bits."""

    items: Items = field(repr=False)
    numbers: np.ndarray = field(repr=False)
    unit: bool

    def image(self, index: int) -> np.ndarray:
        return as_stored(self.items.read(int(self.numbers[index]))[0], unit=self.unit)

    def _taken(self, at: np.ndarray) -> dict[str, Any]:
        return super()._taken(at) | {"numbers": self.numbers[at]}


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Items that are dicts with `objects`, as Hugging Face has them, as (image, target)."""

    items: Any

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        one = self.items[number]
        if isinstance(one, Mapping) and "objects" in one and "image" in one:
            return one["image"], {"form": "xywh", **one["objects"]}
        return one


def open_given_boxes(
    data: Any, *, seed: int = 0, val: float | None = None, test: float | None = None, progress: Progress | None = None
) -> BoxSource:  # fmt: skip
    """Open images and boxes given in Python; every one is read once, and split by content and seed, as a folder is.

    data: a Dataset of (image, target); a target is a dict of `boxes` (n, 4) left, top, right, bottom in pixels, `labels`
    (n,), and where known `masks` (n, H, W) and `iscrowd` (n,). Or torchvision's CocoDetection or VOCDetection, items
    {image, objects} with `bbox` left, top, width, height, or a dict of COCO's images, annotations and categories, with the
    folder of the images as `root`. Raises UsageError for what is none, DataError with the number of an item that cannot be
    used.
    """
    if isinstance(data, Mapping) and data.keys() >= {"images", "annotations"}:
        return _of_dict(data, seed=seed, val=val, test=test, progress=progress)
    items = items_of(data)
    items = replace(items, pairs=_Pairs(items.pairs))
    if not len(items):
        raise DataError(f"{items.where} holds no images; give {FORMS}")
    names = _names_of(data, items)
    forms: list[Form] = []
    drafts: list[_Target] = []
    faults: list[Damage] = []
    for number in range(len(items)):
        image, target = items.read(number)
        forms.append(form_of(image))
        if number < LOOKED_TWICE and forms[-1] != form_of(items.read(number)[0]):
            raise DataError(
                f"item {number} of {items.where} differs from one reading to the next, because its transform draws at "
                "random, and no result could be repeated; take that out of the data and give it as augment="
            )
        try:
            drafts.append(_target(target, image.shape[:2]))
        except DataError as error:
            raise DataError(f"item {number} of {items.where} {error}; give {FORMS}") from None
        if progress is not None:
            progress(number + 1, len(items))
    classes, numbers, notes = _classes(
        [label for d in drafts for label in d.labels], names, items.where
    )
    if any(d.short for d in drafts):
        notes.append(
            "boxes end at the last pixel of their masks, as torchvision's masks_to_boxes gives them, and were taken to its "
            "far border"
        )
    keys = [f"{items.name}/{i}" for i in range(len(items))]
    looked_like = misreading(
        (np.array(one.boxes, dtype=np.float64).reshape(-1, 4), form.height, form.width)
        for form, one in zip(forms, drafts, strict=True)
    )
    objects: list[Objects] = []
    for key, form, one in zip(keys, forms, drafts, strict=True):
        draft = Draft(key)
        for i, label in enumerate(one.labels):
            draft.add(numbers[label], one.boxes[i], one.outlines[i], crowd=one.crowd[i])
        mended = mend(draft.done(), Upright(height=form.height, width=form.width), classes)
        objects.append(mended.objects)
        faults += [fault(key, words) for _, words in mended.faults]
    if not any(map(len, objects)):
        raise DataError(
            f"no box of {items.where} can be used"
            + (f"; the first, {faults[0].path}: {faults[0].reason}" if faults else "")
        )
    floats = [form for form in forms if form.kind == "f"]
    unit = bool(floats) and all(form.low >= 0 and form.high <= 1 for form in floats)
    plan = arrange(
        [form.content for form in forms], strata_of(objects, len(classes)), keys=keys,
        classes=[str(i) for i in range(len(classes) + 1)], seed=seed, val=val, test=test, given=items.given,
    )  # fmt: skip
    parts = [
        _split(items, forms, objects, keys, np.flatnonzero(plan.part == code), unit)
        for code in range(len(SPLITS))
    ]
    source = BoxSource(
        name=f"{PREFIX}{items.name}-{plan.fingerprint[:8]}",
        classes=classes,
        where=items.where,
        fingerprint=fingerprint(plan.fingerprint, classes, keys, objects),
        format="given in Python",
        duplicates=plan.duplicates,
        faults=tuple(faults),
        notes=tuple(notes),
        warnings=() if looked_like is None else (looked_like,),
        photographs=colourful(parts[TRAIN]),  # type: ignore[arg-type]
        train=parts[0],
        val=parts[1],
        test=parts[2],
    )
    remember(source)
    return source


@dataclass(frozen=True, kw_only=True, eq=False)
class _Target:
    """boxes: left, top, right, bottom. labels: numbers or names."""

    boxes: list[tuple[float, float, float, float]]
    labels: list[int | str]
    crowd: list[bool]
    outlines: list[Any]
    short: bool = False
    """Whether every box ends at the last pixel of its mask, as torchvision's masks_to_boxes gives it, and was widened."""


def _target(target: Any, size: tuple[int, ...]) -> _Target:
    """What a target holds. Raises DataError with the end of a sentence."""
    if isinstance(target, Mapping) and isinstance(target.get("annotation"), Mapping):
        return _voc(target["annotation"])
    if isinstance(target, list) and all(isinstance(t, Mapping) for t in target):
        return _coco(target)
    if not isinstance(target, Mapping):
        raise DataError(
            f"has {type(target).__name__} as its target, not a dict of boxes and labels"
        )
    name = next((n for n in BOXES if n in target), None)
    if name is None:
        raise DataError(
            f"has {', '.join(map(str, target)) or 'nothing'} in its target, and no boxes"
        )
    boxes = (
        _array(target[name], "boxes").reshape(-1, 4)
        if np.size(_array(target[name], "boxes")) % 4 == 0
        else None
    )
    if boxes is None:
        raise DataError(f"has boxes of the shape {_array(target[name], 'boxes').shape}, not (n, 4)")
    form = str(
        getattr(getattr(target[name], "format", None), "value", target.get("form", "xyxy"))
    ).casefold()
    if form == "xywh":
        boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    elif form == "cxcywh":
        boxes = np.concatenate(
            [boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1
        )
    elif form != "xyxy":
        raise DataError(f"has boxes of the form {form}, which are not learned")
    key = next((n for n in LABELS if n in target), None)
    labels: list[int | str] = [1] * len(boxes)
    if key is not None:
        labels = _labels(target[key])
    if len(labels) != len(boxes):
        raise DataError(
            f"has {counted(len(boxes), 'box', 'boxes')} and {counted(len(labels), 'label')}"
        )
    crowd = _array(target.get("iscrowd", np.zeros(len(boxes))), "iscrowd").reshape(-1)
    masks = target.get("masks")
    outlines: list[Any] = [None] * len(boxes)
    if masks is not None:
        pixels = _array(masks, "masks")
        if pixels.shape != (len(boxes), *size):
            raise DataError(f"has masks of the shape {pixels.shape}, not {(len(boxes), *size)}")
        outlines = [Region.of(m > 0.5) if (m > 0.5).any() else None for m in pixels]
    if len(crowd) != len(boxes):
        raise DataError(f"has {counted(len(boxes), 'box', 'boxes')} and {len(crowd)} iscrowd")
    # masks_to_boxes takes the last pixel for the end, so that an object one pixel wide would have no area.
    around = np.array([o.box if o is not None else (np.nan,) * 4 for o in outlines]).reshape(-1, 4)
    masked = ~np.isnan(around).any(1)
    short = bool(masked.any()) and np.array_equal(around[masked] - (0, 0, 1, 1), boxes[masked])
    if short:
        boxes = np.where(masked[:, None], around, boxes)
    return _Target(
        boxes=[tuple(b) for b in boxes.tolist()],
        labels=labels,
        crowd=(crowd > 0).tolist(),
        outlines=outlines,
        short=short,
    )


def _coco(target: Sequence[Mapping[str, Any]]) -> _Target:
    """Annotations as torchvision's CocoDetection gives them."""
    one = _Target(boxes=[], labels=[], crowd=[], outlines=[])
    for annotation in target:
        try:
            left, top, width, height = (float(v) for v in annotation["bbox"])
            category = annotation["category_id"]
        except (KeyError, TypeError, ValueError):
            raise DataError(
                f"has an annotation without bbox or category_id: {str(dict(annotation))[:80]}"
            ) from None
        one.boxes.append((left, top, left + width, top + height))
        one.labels.append(category)
        one.crowd.append(bool(annotation.get("iscrowd")))
        one.outlines.append(outline_of(annotation.get("segmentation")))
    return one


def _voc(annotation: Mapping[str, Any]) -> _Target:
    """An annotation as torchvision's VOCDetection gives it: texts, pixels counted from 1."""
    one = _Target(boxes=[], labels=[], crowd=[], outlines=[])
    things = annotation.get("object", [])
    for thing in [things] if isinstance(things, Mapping) else things:
        try:
            left, top, right, bottom = (
                float(thing["bndbox"][n]) for n in ("xmin", "ymin", "xmax", "ymax")
            )
            one.labels.append(str(thing["name"]))
        except (KeyError, TypeError, ValueError):
            raise DataError(f"has an object without name or bndbox: {str(thing)[:80]}") from None
        one.boxes.append((left - 1, top - 1, right, bottom))
        one.crowd.append(str(thing.get("difficult", "0")) == "1")
        one.outlines.append(None)
    return one


def _array(value: Any, what: str) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"has {what} that are no numbers") from None


def _labels(value: Any) -> list[int | str]:
    if isinstance(value, list | tuple) and value and all(isinstance(v, str) for v in value):
        return list(value)
    numbers = _array(value, "labels").reshape(-1)
    if not (
        np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all() and (numbers >= 0).all()
    ):
        raise DataError("has labels that are no whole numbers from 0")
    return [int(n) for n in numbers]


def _names_of(data: Any, items: Items) -> dict[int | str, str] | Sequence[str] | None:
    """Names of classes, by COCO's categories or in order."""
    categories = getattr(getattr(data, "coco", None), "cats", None)
    if isinstance(categories, Mapping):
        return {number: str(one.get("name", number)) for number, one in categories.items()}
    features = getattr(data, "features", None)
    if isinstance(features, Mapping) and "objects" in features:
        inner = getattr(features["objects"], "feature", features["objects"])
        for key in LABELS:
            names = getattr(inner.get(key) if isinstance(inner, Mapping) else None, "names", None)
            if names is None and isinstance(inner, Mapping) and key in inner:
                names = getattr(getattr(inner[key], "feature", None), "names", None)
            if names:
                return list(names)
    return items.names


def _classes(
    labels: Sequence[int | str], names: dict[int | str, str] | Sequence[str] | None, where: str
) -> tuple[tuple[str, ...], dict[int | str, int], list[str]]:
    """Class names, the index of each label among them, and what was assumed. Raises DataError where names are too few."""
    held = sorted(set(labels), key=lambda v: (isinstance(v, str), v))
    notes: list[str] = []
    if isinstance(names, dict):
        if unknown := [v for v in held if v not in names]:
            raise DataError(f"{where} has objects of category {unknown[0]}, which it does not name")
        known = {v: names[v] for v in held}
    elif all(isinstance(v, str) for v in held):
        known = {v: str(v) for v in held}
    elif names is None:
        known = {v: f"class {v}" for v in held}
    else:
        most = max(int(v) for v in held)
        first = 1 if most == len(names) and 0 not in held else 0
        if most - first >= len(names):
            raise DataError(
                f"{where} names {counted(len(names), 'class', 'classes')}, and its labels go up to {most}; name "
                "one for each number from 0"
            )
        if first:
            notes.append(
                f"labels count from 1, so 1 is {names[0]}; 0 is the background of torchvision's detectors"
            )
        known = {v: str(names[int(v) - first]) for v in held}
    classes = tuple(dict.fromkeys(known.values()))
    return classes, {v: classes.index(name) for v, name in known.items()}, notes


def _split(
    items: Items,
    forms: Sequence[Form],
    objects: Sequence[Objects],
    keys: Sequence[str],
    at: np.ndarray,
    unit: bool,
) -> ItemBoxSplit:
    mine = [forms[i] for i in at]
    stated = np.array(
        [255 if unit and f.kind == "f" else STATED[f.kind] for f in mine], dtype=np.int64
    )
    deep = stated != 255
    return ItemBoxSplit(
        keys=tuple(keys[i] for i in at),
        sizes=np.array([(f.height, f.width) for f in mine], dtype=np.int64).reshape(-1, 2),
        channels=np.array([f.channels for f in mine], dtype=np.int8),
        low=np.array([f.low if d else 0.0 for f, d in zip(mine, deep, strict=True)]),
        high=np.array([f.high if d else 255.0 for f, d in zip(mine, deep, strict=True)]),
        deep=deep,
        stated=stated,
        missing=np.array([f.missing for f in mine]),
        objects=tuple(objects[i] for i in at),
        items=items,
        numbers=at,
        unit=unit,
    )


def _of_dict(
    data: Mapping[str, Any],
    *,
    seed: int,
    val: float | None,
    test: float | None,
    progress: Progress | None,
) -> BoxSource:
    """COCO's dict, whose images lie below its `root`, or in the present folder."""
    root = Path(str(data.get("root", "."))).expanduser()
    annotations = read_entries(entries_of({k: v for k, v in data.items() if k in KEYS}), "the dict")
    images = []
    for image in annotations.images:
        parts = Path(image.file).parts
        outside = Path(image.file).is_absolute() or ".." in parts
        if outside:
            raise DataError(
                f"{image.file} {OUTSIDE.split(';')[0]}; give names relative to the folder in 'root'"
            )
        if is_regular(root / image.file):
            images.append(parts)
    source = annotated_folder(
        root, Tree(images=images), annotations, seed=seed, val=val, test=test, progress=progress
    )  # fmt: skip
    named = replace(
        source,
        name=f"{PREFIX}coco-{source.fingerprint[:8]}",
        where=f"COCO's dict, images in {root}",
    )
    remember(named)
    return named
