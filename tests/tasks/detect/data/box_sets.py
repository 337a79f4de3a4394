"""Small data sets of images with boxes, written by hand in the formats of other tools."""

import json

import numpy as np
from PIL import Image

CAT, DOG = (2.0, 3.0, 12.0, 13.0), (20.0, 5.0, 30.0, 25.0)  # left, top, right, bottom


def picture(path, number=0, size=(40, 30), orientation=1):
    """A colour picture (width, height) that is no other's; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    image = Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))
    exif = Image.Exif()
    if orientation > 1:
        exif[0x0112] = orientation
    image.save(path, **({"exif": exif} if orientation > 1 else {}))
    return path


def pictures(folder, count, suffix=".png", **options):
    """`count` pictures 0.png, 1.png, ... in a folder."""
    return [picture(folder / f"{i}{suffix}", i, **options) for i in range(count)]


def coco(path, images, annotations, categories=None, **more):
    """A COCO file; images are (id, file_name, width, height) or dicts."""
    content = {
        "info": {"year": 2017},
        "images": [
            i
            if isinstance(i, dict)
            else {"id": i[0], "file_name": i[1], "width": i[2], "height": i[3]}
            for i in images
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}] if categories is None else categories,
        **more,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def thing(number, image, box=CAT, category=1, **more):
    """An annotation of COCO."""
    left, top, right, bottom = box
    return {
        "id": number, "image_id": image, "category_id": category, "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top), "iscrowd": 0, **more,
    }  # fmt: skip


def voc(path, objects, size=(40, 30), filename=None):
    """A VOC file; objects are (name, xmin, ymin, xmax, ymax) and further tags as a text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f"<annotation><filename>{filename or path.stem + '.png'}</filename>"
    if size:
        text += f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    for name, *corners in objects:
        more = corners.pop() if isinstance(corners[-1], str) and "<" in corners[-1] else ""
        box = "".join(f"<{t}>{v}</{t}>" for t, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))  # fmt: skip
        text += f"<object><name>{name}</name>{more}<bndbox>{box}</bndbox></object>"
    path.write_text(text + "</annotation>")
    return path


def whole(source):
    """Key -> objects as (class, left, top, right, bottom, crowd), sorted, of all splits."""
    found = {}
    for split in source.splits.values():
        for key, objects in zip(split.keys, split.objects, strict=True):
            found[key] = sorted(
                (source.classes[label], *np.round(box, 6).tolist(), bool(crowd))
                for label, box, crowd in zip(objects.labels, objects.boxes, objects.crowd, strict=True)
            )  # fmt: skip
    return found


def regions(source):
    """Key -> regions of an image, in order."""
    return {
        key: objects.regions
        for split in source.splits.values()
        for key, objects in zip(split.keys, split.objects, strict=True)
    }
