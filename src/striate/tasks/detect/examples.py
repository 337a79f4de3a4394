"""What analyses look at of a detection: the middle of its images with the objects there, and objects that were moved."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.data.preprocessing import Preprocessing
from striate.tasks.detect.batches import target_of
from striate.tasks.detect.cutting import Crop, cropped, cut
from striate.tasks.detect.data.source import BoxSplit
from striate.tasks.detect.frame import framed
from striate.tasks.detect.metric import objects_of
from striate.tasks.detect.objects import Objects
from striate.tasks.examples import Examples
from striate.tasks.warp import Warp

CUT = 256  # pixels of an image's side that are looked at


def cut_boxes(
    split: BoxSplit, preprocessing: Preprocessing, limit: int | None, seed: int,
    target: Callable[[Objects, Crop], Any] = lambda objects, crop: target_of(cropped(objects, crop)),
) -> Examples:  # fmt: skip
    """The middle of images, uint8 (N, C, H, W), all of the smallest one's size, and their N targets.

    target: of an image's objects in a crop of it, (n, 6) if not given.
    """
    split = framed(split, preprocessing)
    order = np.sort(np.random.default_rng(seed).permutation(len(split))[:limit])
    height, width = np.minimum(split.sizes[order].min(0), CUT).tolist()
    images, targets = [], []
    for i in order.tolist():
        rows, columns = split.sizes[i].tolist()
        top, left = (rows - height) // 2, (columns - width) // 2
        image = split.preprocess(i, preprocessing)
        images.append(image[:, top : top + height, left : left + width])
        crop = Crop(top=top, left=left, zoom=1.0, height=height, width=width)
        targets.append(target(split.objects[i], crop))
    keys = tuple(str(split.keys[i]) for i in order)
    return Examples(torch.from_numpy(np.stack(images)), targets, keys)


def warped(target: Tensor, warp: Warp, height: int, width: int) -> Tensor:
    """The target (n, 6) of an image (height, width) after it was warped; a turned box is the box around its corners."""
    objects = objects_of(target)
    corners = objects.boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    if -1 in warp.flip:
        corners[..., 0] = width - corners[..., 0]
    if -2 in warp.flip:
        corners[..., 1] = height - corners[..., 1]
    middle = np.array([width / 2, height / 2])
    cos, sin = (f(math.radians(warp.degrees)) for f in (math.cos, math.sin))
    turn = np.array([[cos, sin], [-sin, cos]])  # anticlockwise as one looks at it: y points down
    corners = (corners - middle) * warp.scale @ turn.T + middle + [warp.columns, warp.rows]
    boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
    return target_of(cut(Objects.of(boxes, objects.labels, crowd=objects.crowd), height, width))
