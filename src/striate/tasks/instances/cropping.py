"""Cropping: what becomes of regions when a crop of their image is seen, pixel for pixel."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from striate.tasks.detect.batches import target_of
from striate.tasks.detect.cutting import LEAST_SEEN, Crop
from striate.tasks.detect.objects import Objects, Region


class InstanceTarget(TypedDict):
    """What one image teaches. objects: (n, 6) float32, see `target_of`, each the box of its visible pixels. numbers: (H, W)
    int32, which object a pixel shows, from 1 in their order, 0 for none."""

    objects: Tensor
    numbers: Tensor


def cropped_regions(objects: Objects, crop: Crop) -> Objects:
    """The objects that a crop shows, each with its pixels there and the box around them.

    A pixel of the crop shows what the pixel of the image shows in which its middle lies. An object of which less than a
    quarter is inside becomes a crowd, which is neither missed nor invented.
    """
    assert objects.regions is not None or not len(objects)
    rows = np.floor(crop.top + (np.arange(crop.height) + 0.5) / crop.zoom).astype(np.int64)
    columns = np.floor(crop.left + (np.arange(crop.width) + 0.5) / crop.zoom).astype(np.int64)
    kept: list[int] = []
    regions: list[Region] = []
    crowd: list[bool] = []
    for i, region in enumerate(objects.regions or ()):
        first, last = np.searchsorted(rows, [region.top, region.top + region.height]).tolist()
        start, stop = np.searchsorted(columns, [region.left, region.left + region.width]).tolist()
        if first == last or start == stop:
            continue
        mask = region.mask
        whole = last - first == region.height and stop - start == region.width
        if not whole or crop.zoom != 1:
            mask = mask[np.ix_(rows[first:last] - region.top, columns[start:stop] - region.left)]
        if not mask.any():
            continue
        if crop.mirror:
            mask, start = mask[:, ::-1], crop.width - stop
        part = Region.of(mask, top=first, left=start)
        kept.append(i)
        regions.append(part)
        crowd.append(part.area < LEAST_SEEN * region.area * crop.zoom**2)
    at = np.array(kept, dtype=np.int64)
    kinds = objects.crowd[at] | np.array(crowd, dtype=bool)
    return Objects.of([r.box for r in regions], objects.labels[at], crowd=kinds, regions=regions)


def instance_target(objects: Objects, height: int, width: int) -> InstanceTarget:
    """The target of an image of that size with these objects. Where regions overlap the smaller one is seen, crowds last."""
    numbers = np.zeros((height, width), dtype=np.int32)
    areas = objects.areas if len(objects) else np.zeros(0)
    for i in np.lexsort((-areas, ~objects.crowd)).tolist():
        assert objects.regions is not None
        region = objects.regions[i]
        page = numbers[
            region.top : region.top + region.height, region.left : region.left + region.width
        ]
        page[region.mask[: page.shape[0], : page.shape[1]]] = i + 1
    return {"objects": target_of(objects), "numbers": torch.from_numpy(numbers)}


def objects_of_target(target: InstanceTarget) -> Objects:
    """The objects of a target that have a pixel, each with its region and the box around it."""
    rows, numbers = target["objects"].cpu().double().numpy(), target["numbers"].cpu().numpy()
    kept: list[int] = []
    regions: list[Region] = []
    for i in np.unique(numbers[numbers > 0]).tolist():
        kept.append(i - 1)
        regions.append(Region.of(numbers == i))
    chosen = rows[np.array(kept, dtype=np.int64)].reshape(-1, 6)
    return Objects.of([r.box for r in regions], chosen[:, 4], crowd=chosen[:, 5] > 0, regions=regions)  # fmt: skip
