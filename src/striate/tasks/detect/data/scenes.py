"""Scenes with boxes: the scenes of segmentation, with the box and the region of every item."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from striate.data.source import Source
from striate.tasks.detect.data.source import ArrayBoxSplit, BoxSource
from striate.tasks.detect.objects import Objects, Region
from striate.tasks.segment.data.scenes import COUNT, SIZE, Scene, drawn_scenes

LEAST_SEEN = 0.25  # share of an item below which it counts as neither missed nor found


def objects_of(scene: Scene) -> Objects:
    """The items of a scene that can be seen, each with the box of its visible pixels.

    One of which later items left less than a quarter is marked as a crowd: nobody could say what it is.
    """
    boxes, labels, crowd, regions = [], [], [], []
    for number, laid in enumerate(scene.laid, start=1):
        seen = scene.numbers == number
        if not seen.any():
            continue
        region = Region.of(seen)
        regions.append(region)
        boxes.append(region.box)
        labels.append(int(scene.mask[seen][0]) - 1)
        crowd.append(region.area < LEAST_SEEN * laid)
    return Objects.of(boxes, labels, crowd=crowd, regions=regions)


def open_box_scenes(
    opener: Callable[..., Source],
    *,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    count: int = COUNT,
    size: int = SIZE,
) -> BoxSource:
    """Generate `count` scenes of `size` pixels a side from the items of a classification source; see `drawn_scenes`."""
    items = opener(seed=seed)
    drawn = drawn_scenes(items, seed=seed, val=val, test=test, count=count, size=size)
    splits = {}
    digest = hashlib.sha256()
    for name, scenes in drawn.items():
        images, objects = [], []
        for scene in scenes:
            images.append(scene.image)
            objects.append(objects_of(scene))
        pixels = np.stack(images) if images else np.empty((0, size, size, 3), np.uint8)
        digest.update(pixels.tobytes())
        keys = [f"scenes/{name}/{i}" for i in range(len(pixels))]
        splits[name] = ArrayBoxSplit.of(pixels, objects, keys)
    return BoxSource(
        name="scenes" if items.name == "digits" else "scenes-fashion",
        classes=items.classes,
        where=f"generated from {items.name} and seed {seed}",
        fingerprint=digest.hexdigest(),
        format="generated",
        horizontal_flip=items.horizontal_flip or False,
        generated=True,
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
    )
