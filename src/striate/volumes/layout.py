"""Layout: samples of an archive or a table as the folder of files that Striate reads everywhere else.

One class an image, tags and numbers become labels.csv; masks lie in masks/ beside images/; boxes become COCO's JSON. What
has none of them keeps its names, so that an archive of class folders is that folder.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test",
    "testing": "test", "eval": "val",
}  # fmt: skip
OBJECTS = ("objects", "annotations")
CATEGORY = ("category", "categories", "label", "labels", "class", "category_id", "name")
BOX = ("bbox", "boxes", "box")

Row = tuple[str, int, int, int, int]  # name, shard, offset, size, part
Place = tuple[int, int, int, int]  # shard, offset, size, part


@dataclass(kw_only=True)
class Sample:
    """One image and what belongs to it. key: its name without ending; suffix: ".jpg". shard: for names that occur twice.

    fields: cells of a table, label among them; objects: (box as x, y, width, height in pixels, class); mask: where it lies,
    with its ending. image None: a sample that has none, of which the table speaks all the same.
    """

    key: str
    suffix: str = ".jpg"
    image: Place | None = None
    mask: Place | None = None
    mask_suffix: str = ".png"
    fields: Mapping[str, Any] = field(default_factory=dict)
    objects: Sequence[tuple[Sequence[float], str]] | None = None
    split: str | None = None
    shard: str = ""


def split_in(name: str) -> str | None:
    """The split that a shard's name states: train-00000-of-00004.parquet, photos_val_003.tar."""
    words = PurePosixPath(name).name.casefold().replace("_", "-").replace(".", "-").split("-")
    return next((SPLITS[word] for word in words if word in SPLITS), None)


def lay_out(samples: Sequence[Sample]) -> tuple[list[Row], dict[str, bytes]]:
    """The files of a volume, and those that are made here, by name."""
    twice = len({s.key for s in samples}) < len(samples)
    states = any(s.split for s in samples)
    masks = any(s.mask is not None for s in samples)
    boxes = not masks and any(s.objects is not None for s in samples)
    rows: list[Row] = []
    names: list[str] = []
    for sample in samples:
        key = f"{sample.shard}/{sample.key}" if twice else sample.key
        split = f"{sample.split or 'train'}/" if states and (masks or boxes) else ""
        folder = f"images/{split}" if masks or boxes else ""
        names.append(f"{folder}{key}{sample.suffix}")
        if sample.image is not None:
            rows.append((names[-1], *sample.image))
        if sample.mask is not None:
            rows.append((f"masks/{split}{key}{sample.mask_suffix}", *sample.mask))
    made: dict[str, bytes] = {}
    if boxes:
        for split in sorted({s.split or "train" for s in samples} if states else {""}):
            mine = [i for i, s in enumerate(samples) if not states or (s.split or "train") == split]
            made[f"annotations/instances_{split or 'all'}.json"] = _coco(
                (names[i], samples[i].objects or ()) for i in mine if samples[i].image is not None
            )
    elif not masks and any(s.fields for s in samples):
        made["labels.csv"] = _table(samples, names)
    return rows, made


def _table(samples: Sequence[Sample], names: Sequence[str]) -> bytes:
    columns = dict.fromkeys(name for s in samples for name in s.fields)
    own = [c for c in columns if c not in ("file", "split")]
    split = any(s.split for s in samples)
    into = io.StringIO()
    writer = csv.writer(into, lineterminator="\n")
    writer.writerow(["file", *own, *(["split"] if split else [])])
    for sample, name in zip(samples, names, strict=True):
        if sample.fields:
            cells = [as_cell(sample.fields.get(c)) for c in own]
            writer.writerow([name, *cells, *([sample.split or "train"] if split else [])])
    return into.getvalue().encode("utf-8", "surrogateescape")


def as_cell(value: Any) -> str:
    """A value as a table holds it; lists as JSON writes them."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return json.dumps(value, ensure_ascii=False, default=str)


def _coco(images: Iterable[tuple[str, Sequence[tuple[Sequence[float], str]]]]) -> bytes:
    classes: dict[str, int] = {}
    listed: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, objects) in enumerate(images, 1):
        listed.append({"id": number, "file_name": name})
        for box, label in objects:
            known = classes.setdefault(str(label), len(classes) + 1)
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "category_id": known, "bbox": [float(v) for v in box],
            })  # fmt: skip
    categories = [{"id": i, "name": name} for name, i in classes.items()]
    document = {"images": listed, "annotations": annotations, "categories": categories}
    return json.dumps(document).encode()


def objects_of(
    value: Any, names: Sequence[str] | None = None
) -> list[tuple[Sequence[float], str]] | None:
    """Boxes with classes of what Hugging Face and COCO write: {"bbox": [...], "category": [...]}, or a dict an object.

    Boxes are x, y, width and height in pixels. names: classes that numbers stand for. None where there are no boxes.
    """
    if isinstance(value, Mapping):
        box = next((value[k] for k in BOX if k in value), None)
        what = next((value[k] for k in CATEGORY if k in value), None)
        if not isinstance(box, list) or (what is not None and len(what) != len(box)):
            return None
        pairs = list(zip(box, what if what is not None else ["object"] * len(box), strict=True))
    elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        pairs = []
        for one in value:
            box = next((one[k] for k in BOX if k in one), None)
            if box is None:
                return None
            pairs.append((box, next((one[k] for k in CATEGORY if k in one), "object")))
    else:
        return [] if value == [] else None
    if not all(isinstance(box, list | tuple) and len(box) == 4 for box, _ in pairs):
        return None
    return [(box, named(label, names)) for box, label in pairs]


def named(label: Any, names: Sequence[str] | None) -> str:
    """A label by its name where numbers have names."""
    if names and isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(names):
        return names[label]
    return as_cell(label)
