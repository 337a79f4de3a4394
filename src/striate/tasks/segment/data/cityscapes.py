"""Cityscapes: the names of the numbers that its files hold, which no file beside them says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from striate.tasks.segment.data.naming import Naming

# cityscapesScripts, helpers/labels.py: `id` in the order of the numbers 0 to 33, and `trainId` 0 to 18.
IDS = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road", "sidewalk",
    "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole", "polegroup",
    "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "caravan",
    "trailer", "train", "motorcycle", "bicycle",
)  # fmt: skip
TRAIN_IDS = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain", "sky",
    "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
# frankfurt_000001_029236_gtFine_labelTrainIds.png; tools that write other names number classes of their own.
_FILE = re.compile(r"_\d{6}_\d{6}_gt(?:Fine|Coarse)_label(Train)?Ids\.png$")


def cityscapes(masks: Sequence[str]) -> Naming | None:
    """Names for masks whose files all are called as Cityscapes calls them; None for others."""
    kinds = {match[1] if (match := _FILE.search(mask)) else "other" for mask in masks}
    if len(kinds) != 1 or "other" in kinds:
        return None
    train = kinds.pop() is not None
    names = TRAIN_IDS if train else IDS
    where = f"Cityscapes' table of {'labelTrainIds' if train else 'labelIds'}"
    return Naming(names=names, values=tuple(range(len(names))), where=where, sure=False)
