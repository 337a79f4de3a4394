"""Cutting: what becomes of objects when only a part of their image is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from striate.tasks.detect.objects import Objects

LEAST_SEEN = 0.25  # share of an object's box below which nobody could say what it is


@dataclass(frozen=True, kw_only=True)
class Crop:
    """What a crop shows of its image.

    top, left: where it begins, in pixels of the image. zoom: how often it enlarges. height, width: in pixels of its own.
    mirror: whether left and right are exchanged then.
    """

    top: float
    left: float
    zoom: float
    height: int
    width: int
    mirror: bool = False


def cropped(objects: Objects, crop: Crop) -> Objects:
    """The boxes of the objects that a crop of their image shows; see `cut`."""
    at = moved(objects, crop.zoom, -crop.left * crop.zoom, -crop.top * crop.zoom)
    part = cut(at, crop.height, crop.width)
    return mirrored(part, crop.width) if crop.mirror else part


def moved(objects: Objects, scale: float, right: float, down: float) -> Objects:
    """The objects' boxes after their image was enlarged `scale` times from its corner, then moved by pixels."""
    return Objects.of(
        objects.boxes * scale + [right, down, right, down], objects.labels, crowd=objects.crowd, scores=objects.scores
    )  # fmt: skip


def mirrored(objects: Objects, width: float) -> Objects:
    """The objects' boxes in an image of that width whose left and right were exchanged."""
    boxes = objects.boxes[:, [2, 1, 0, 3]].copy()
    boxes[:, [0, 2]] = width - boxes[:, [0, 2]]
    return Objects.of(boxes, objects.labels, crowd=objects.crowd, scores=objects.scores)


def cut(objects: Objects, height: float, width: float) -> Objects:
    """The objects that a frame of height x width pixels shows, each with the part of its box inside.

    One of which less than a quarter is inside becomes a crowd, which is neither missed nor invented.
    """
    boxes = objects.boxes.copy()
    boxes[:, 0::2] = boxes[:, 0::2].clip(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clip(0, height)
    whole, seen = objects.sides.prod(1), (boxes[:, 2:] - boxes[:, :2]).prod(1)
    share = np.divide(seen, whole, out=np.zeros_like(seen), where=whole > 0)
    shown = Objects.of(boxes, objects.labels, crowd=objects.crowd | (share < LEAST_SEEN), scores=objects.scores)  # fmt: skip
    return shown.take(share > 0)
