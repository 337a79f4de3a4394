"""Images with the pixels of every object: sources of detection whose annotations are outlines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from striate.errors import DataError
from striate.tasks.detect.data.source import BoxSource, BoxSplit
from striate.tasks.detect.objects import Objects
from striate.wording import counted

REMEDY = "give polygons, run lengths or masks of instances, or train boxes with --task detect"


def outlined(objects: Objects) -> bool:
    """Whether all objects of an image have a region; so they have where there is none."""
    return objects.regions is not None or not len(objects)


def with_masks(source: BoxSource) -> BoxSource:
    """The source without the images of which some object has a box alone, and with the boxes of the regions.

    Raises DataError where no training image is left that shows an object.
    """
    splits, lacking, total = {}, 0, 0
    for name, split in source.splits.items():
        whole = np.array([outlined(objects) for objects in split.objects], dtype=bool)
        lacking, total = lacking + int((~whole).sum()), total + len(whole)
        splits[name] = _tight(split if whole.all() else split.take(np.flatnonzero(whole)))
    if not any(len(objects) for objects in splits["train"].objects) and lacking:
        raise DataError(
            f"{source.where} has boxes without masks, from which no mask can be learned: in {lacking:,} of "
            f"{counted(total, 'image')} some object has a box alone; {REMEDY}"
        )
    warnings = source.warnings
    if lacking:
        warnings = (
            *warnings,
            f"in {counted(lacking, 'image')} some object has a box and no mask; they are left out ({REMEDY})",
        )
    return replace(
        source, warnings=warnings, train=splits["train"], val=splits["val"], test=splits["test"]
    )


def _tight(split: BoxSplit) -> BoxSplit:
    """With each object's box around its region, so that box and mask say the same."""
    return replace(split, objects=tuple(_around(objects) for objects in split.objects))


def _around(objects: Objects) -> Objects:
    if objects.regions is None:
        return objects
    boxes = np.array([r.box for r in objects.regions], dtype=np.float64).reshape(-1, 4)
    return replace(objects, boxes=boxes)
