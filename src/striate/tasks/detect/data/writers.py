"""Writers of annotations, one a format: COCO, YOLO, VOC, LabelMe, CVAT and a table.

Each gives the files of an output with their texts in pieces, so that nothing large is held; numbers are written in full, so
that what is read again is equal. Outlines are written where the format holds pixels (COCO, LabelMe, CVAT).
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from striate.tasks.detect.data.output import File, Item, attribute, number, plain, splits_of
from striate.tasks.detect.data.run_lengths import counts_of, text_of_counts


@dataclass(frozen=True, kw_only=True)
class Writer:
    """One format.

    images: where copies of images go, by split. files: those of (items, classes, copied). outlines, crowds: whether it holds
    them.
    """

    about: str
    images: Callable[[str | None], str]
    files: Callable[[Sequence[Item], Sequence[str], bool], Iterator[File]]
    outlines: bool
    crowds: bool = True


def _folder(name: str) -> Callable[[str | None], str]:
    return lambda split: f"{name}/{split}" if split else name


def _path(writer_images: Callable[[str | None], str], item: Item, copied: bool) -> str:
    return f"{writer_images(item.split)}/{item.name}" if copied else item.name


def coco_files(items: Sequence[Item], classes: Sequence[str], copied: bool) -> Iterator[File]:
    """annotations.json, or one file a split; classes are numbered from 1, and run lengths hold the outlines."""
    splits = splits_of(items)
    for split in splits:
        mine = [i for i in items if i.split == split]
        name = (
            "annotations.json"
            if splits == [None]
            else f"annotations/instances_{split or 'rest'}.json"
        )
        yield name, _coco(mine, classes, copied)


def _coco(items: Sequence[Item], classes: Sequence[str], copied: bool) -> Iterator[str]:
    yield '{"images": [\n'
    for n, item in enumerate(items, 1):
        entry = {
            "id": n,
            "file_name": _path(_folder("images"), item, copied),
            "width": item.width,
            "height": item.height,
        }
        yield ("" if n == 1 else ",\n") + _json(entry)
    yield '\n], "categories": [\n'
    yield ",\n".join(_json({"id": c, "name": name}) for c, name in enumerate(classes, 1))
    yield '\n], "annotations": [\n'
    total = 0
    for n, item in enumerate(items, 1):
        objects = item.objects
        areas = objects.areas.tolist()
        for i, (left, top, right, bottom) in enumerate(objects.boxes.tolist()):
            entry = {
                "id": (total := total + 1),
                "image_id": n,
                "category_id": int(objects.labels[i]) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": areas[i],
                "iscrowd": int(objects.crowd[i]),
            }
            if objects.regions is not None:
                counts = counts_of(objects.regions[i], item.height, item.width)
                entry["segmentation"] = {
                    "size": [item.height, item.width],
                    "counts": text_of_counts(counts),
                }
            yield ("" if total == 1 else ",\n") + _json(entry)
    yield "\n]}\n"


def yolo_files(items: Sequence[Item], classes: Sequence[str], copied: bool) -> Iterator[File]:
    """data.yaml, and a text file an image; crowds are left out."""
    splits = [s for s in splits_of(items) if s]
    lines = ["path: ."]
    if copied:
        lines += [f"{split}: images/{split}" for split in splits] or ["train: images"]
    names = "\n".join(f"  {i}: {json.dumps(plain(name), ensure_ascii=False)}" for i, name in enumerate(classes))  # fmt: skip
    yield "data.yaml", iter(["\n".join(lines), f"\nnames:\n{names}\n"])
    for item in items:
        where = (
            f"labels/{item.split}/{item.stem}"
            if copied and item.split
            else f"labels/{item.stem}"
            if copied
            else item.stem
        )
        yield f"{where}.txt", _yolo(item)


def _yolo(item: Item) -> Iterator[str]:
    objects = item.objects.take(~item.objects.crowd)
    for label, (left, top, right, bottom) in zip(objects.labels.tolist(), objects.boxes.tolist(), strict=True):  # fmt: skip
        x, y = (left + right) / 2 / item.width, (top + bottom) / 2 / item.height
        sides = (right - left) / item.width, (bottom - top) / item.height
        yield " ".join([str(label), *map(number, (x, y, *sides))]) + "\n"


def voc_files(items: Sequence[Item], classes: Sequence[str], copied: bool) -> Iterator[File]:
    """A file an image in Annotations/, and lists of the splits in ImageSets/Main."""
    for item in items:
        where = f"Annotations/{item.stem}.xml" if copied else f"{item.stem}.xml"
        yield where, _voc(item, classes)
    for split in splits_of(items):
        if split and copied:
            yield (
                f"ImageSets/Main/{split}.txt",
                iter([f"{i.stem}\n" for i in items if i.split == split]),
            )


def _voc(item: Item, classes: Sequence[str]) -> Iterator[str]:
    yield f"<annotation>\n<folder>JPEGImages</folder>\n<filename>{escape(plain(item.name.rpartition('/')[2]))}</filename>\n"
    yield f"<size><width>{item.width}</width><height>{item.height}</height><depth>3</depth></size>\n"
    objects = item.objects
    for i, (left, top, right, bottom) in enumerate(objects.boxes.tolist()):
        # Pixels are counted from 1, and the last belongs to the box.
        corners = zip(
            ("xmin", "ymin", "xmax", "ymax"), (left + 1, top + 1, right, bottom), strict=True
        )
        box = "".join(f"<{tag}>{number(value)}</{tag}>" for tag, value in corners)
        name = escape(plain(classes[objects.labels[i]]))
        yield f"<object><name>{name}</name><difficult>{int(objects.crowd[i])}</difficult><bndbox>{box}</bndbox></object>\n"
    yield "</annotation>\n"


def labelme_files(items: Sequence[Item], classes: Sequence[str], copied: bool) -> Iterator[File]:
    """A file beside each image; an outline is a mask, a box a rectangle."""
    for item in items:
        where = f"{item.split}/{item.stem}" if copied and item.split else item.stem
        yield f"{where}.json", iter([_labelme(item, classes)])


def _labelme(item: Item, classes: Sequence[str]) -> str:
    objects = item.objects
    shapes = []
    for i, (left, top, right, bottom) in enumerate(objects.boxes.tolist()):
        shape = {
            "label": classes[objects.labels[i]], "points": [[left, top], [right, bottom]], "group_id": None, "flags": {},
            "shape_type": "rectangle", "difficult": bool(objects.crowd[i]),
        }  # fmt: skip
        if objects.regions is not None:
            region = objects.regions[i]
            stream = io.BytesIO()
            Image.fromarray(region.mask.astype(np.uint8) * 255).save(stream, "PNG")
            # The mask's own place is in whole pixels; the box may be finer and is kept beside it.
            shape |= {
                "shape_type": "mask", "mask": base64.b64encode(stream.getvalue()).decode(),
                "points": [[region.left, region.top], [region.left + region.width - 1, region.top + region.height - 1]],
                "box": [left, top, right, bottom],
            }  # fmt: skip
        shapes.append(shape)
    content: dict[str, object] = {
        "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": item.name.rpartition("/")[2], "imageData": None,
        "imageHeight": item.height, "imageWidth": item.width,
    }  # fmt: skip
    return _json(content) + "\n"


def cvat_files(items: Sequence[Item], classes: Sequence[str], copied: bool) -> Iterator[File]:
    """annotations.xml of CVAT for images; an outline is a mask."""
    yield "annotations.xml", _cvat(items, classes, copied)


def _cvat(items: Sequence[Item], classes: Sequence[str], copied: bool) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta><task><labels>\n'
    yield "".join(f"<label><name>{escape(plain(name))}</name></label>\n" for name in classes)
    yield "</labels></task></meta>\n"
    for n, item in enumerate(items):
        subset = f" subset={attribute(item.split)}" if item.split else ""
        name = attribute(_path(_folder("images"), item, copied))
        yield f'<image id="{n}" name={name}{subset} width="{item.width}" height="{item.height}">\n'
        objects = item.objects
        for i, (left, top, right, bottom) in enumerate(objects.boxes.tolist()):
            label = attribute(classes[objects.labels[i]])
            corners = f'xtl="{number(left)}" ytl="{number(top)}" xbr="{number(right)}" ybr="{number(bottom)}"'
            crowd = '<attribute name="crowd">true</attribute>' if objects.crowd[i] else ""
            if objects.regions is None:
                yield f'<box label={label} occluded="0" {corners}>{crowd}</box>\n'
                continue
            region = objects.regions[i]
            place = f'left="{region.left}" top="{region.top}" width="{region.width}" height="{region.height}"'
            rle = ", ".join(map(str, region.runs.tolist()))
            yield f'<mask label={label} occluded="0" rle="{rle}" {place} {corners}>{crowd}</mask>\n'
        yield "</image>\n"
    yield "</annotations>\n"


def csv_files(items: Sequence[Item], classes: Sequence[str], copied: bool) -> Iterator[File]:
    """boxes.csv, a line an object; an image without any has a line without numbers."""
    yield "boxes.csv", _csv(items, classes, copied)


def _csv(items: Sequence[Item], classes: Sequence[str], copied: bool) -> Iterator[str]:
    split = any(i.split for i in items)
    yield _line(
        ["file", "xmin", "ymin", "xmax", "ymax", "label", "iscrowd", *(["split"] if split else [])]
    )
    for item in items:
        name, objects = _path(_folder("images"), item, copied), item.objects
        last = [item.split or ""] if split else []
        for i, box in enumerate(objects.boxes.tolist()):
            yield _line(
                [
                    name,
                    *map(number, box),
                    classes[objects.labels[i]],
                    str(int(objects.crowd[i])),
                    *last,
                ]
            )
        if not len(objects):
            yield _line([name, "", "", "", "", "", "", *last])


def _line(cells: Sequence[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


WRITERS: dict[str, Writer] = {
    "coco": Writer(about="COCO JSON", images=_folder("images"), files=coco_files, outlines=True),
    "yolo": Writer(
        about="YOLO txt and data.yaml", images=_folder("images"), files=yolo_files, outlines=False, crowds=False
    ),
    "voc": Writer(about="Pascal VOC XML", images=lambda split: "JPEGImages", files=voc_files, outlines=False),
    "labelme": Writer(about="LabelMe JSON", images=lambda split: split or ".", files=labelme_files, outlines=True),
    "cvat": Writer(about="CVAT XML for images", images=_folder("images"), files=cvat_files, outlines=True),
    "csv": Writer(about="a table", images=_folder("images"), files=csv_files, outlines=False),
}  # fmt: skip
