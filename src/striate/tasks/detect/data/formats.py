"""The formats of annotations: how each is recognised, and what reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from striate.data.finder import Finder
from striate.data.tree import Parts, Tree
from striate.tasks.detect.data.annotations import Annotations
from striate.tasks.detect.data.box_table import (
    claims,
    find_tables_of_boxes,
    is_table_of_boxes,
    read_tables_of_boxes,
)
from striate.tasks.detect.data.cityscapes import find_cityscapes, read_cityscapes
from striate.tasks.detect.data.coco import find_coco, is_coco, read_coco
from striate.tasks.detect.data.cvat import find_cvat, read_cvat
from striate.tasks.detect.data.instance_masks import find_instance_masks, read_instance_masks
from striate.tasks.detect.data.labelme import find_labelme, is_labelme, read_labelme
from striate.tasks.detect.data.markup import first_tag
from striate.tasks.detect.data.via import find_via, is_via, read_via
from striate.tasks.detect.data.voc import find_voc, read_voc
from striate.tasks.detect.data.yolo import find_yolo, is_yolo_config, read_yolo


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format of annotations.

    find: the annotation files of a folder, cheaply; empty where it is none. read: what they state. is_file: whether one file
    is of it, where one file can be given. one: reads that file, where this differs from `read`. claims: whether such files
    can be nothing else, so that boxes need not be asked for; asked: they never are.
    beside: a file an image, so that folders of classes may have them too.
    """

    name: str
    find: Callable[[Path, Tree], list[Parts]]
    read: Callable[[Path, Sequence[Parts], Tree], Annotations]
    is_file: Callable[[Path], bool] | None = None
    one: Callable[[Path, Parts, Tree], Annotations] | None = None
    claims: Callable[[Path, Sequence[Parts]], bool] = lambda root, files: True
    asked: bool = False
    beside: bool = False


def _yaml(root: Path, parts: Parts, tree: Tree) -> Annotations:
    return read_yolo(root, find_yolo(root, tree), tree, yaml=parts)


# In the order in which a folder is asked; the first that is found is read.
FORMATS: tuple[Format, ...] = (
    Format(
        name="COCO JSON", find=find_coco,
        read=lambda root, files, tree: read_coco(root, files, Finder(root, ("annotations",), tree.images)),
        is_file=lambda path: path.suffix.lower() == ".json" and is_coco(path),
    ),
    Format(
        name="Pascal VOC XML", find=find_voc, read=lambda root, files, tree: read_voc(root, files),
        is_file=lambda path: _is_xml(path, "annotation"),
        beside=True,
    ),
    Format(
        name="CVAT XML", find=find_cvat, read=lambda root, files, tree: read_cvat(root, files),
        is_file=lambda path: _is_xml(path, "annotations"),
    ),
    Format(
        name="LabelMe JSON", find=find_labelme, read=lambda root, files, tree: read_labelme(root, files),
        is_file=lambda path: path.suffix.lower() == ".json" and is_labelme(path),
        beside=True,
    ),
    Format(
        name="VIA JSON or CSV", find=find_via, read=lambda root, files, tree: read_via(root, files), is_file=is_via,
    ),
    Format(name="YOLO txt", find=find_yolo, read=read_yolo, is_file=is_yolo_config, one=_yaml, beside=True),
    Format(
        name="a table of boxes", find=find_tables_of_boxes, read=lambda root, files, tree: read_tables_of_boxes(root, files),
        is_file=is_table_of_boxes, claims=claims,
    ),
    Format(name="Cityscapes instanceIds", find=find_cityscapes, read=read_cityscapes, asked=True),
    Format(
        name="instance masks", find=find_instance_masks, read=lambda root, files, tree: read_instance_masks(root, files),
        asked=True,
    ),
)  # fmt: skip


def _is_xml(path: Path, tag: str) -> bool:
    return path.suffix.lower() == ".xml" and first_tag(path) == tag


def format_of_file(path: Path) -> Format | None:
    """The format of one annotation file, or None."""
    return next((f for f in FORMATS if f.is_file is not None and f.is_file(path)), None)
