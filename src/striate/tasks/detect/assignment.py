"""Assignment: which cell of a detector's map answers for which object."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SPREAD = 0.54 / 6  # standard deviation of an object's Gaussian over its side; TTFNet, section 4
LEAST = 0.3  # cells; no Gaussian is narrower
KEPT = 0.35  # of its peak: cells of an object's Gaussian above it learn its edges


@dataclass(frozen=True)
class Targets:
    """What the cells of one map (h, w) are to say.

    heat: (K, h, w), 1 in the cell of an object's centre, falling off as a Gaussian around it. care: (h, w) bool, whether a
    cell without an object may be told that it has none. cells: (m,) index of the cells that learn edges; boxes: (m, 4) the
    box that each learns, left, top, right, bottom in pixels; weights: (m,), which add up to 1 for each object.
    """

    heat: Tensor
    care: Tensor
    cells: Tensor
    boxes: Tensor
    weights: Tensor


def assign(objects: Tensor, classes: int, size: tuple[int, int], stride: int) -> Targets:
    """Targets of the objects (n, 6) of one image: left, top, right, bottom in pixels, class, crowd.

    An object whose centre lies outside the map teaches nothing. Where objects overlap, a cell learns the edges of the
    smallest one.
    Source: Liu et al., "Training-time-friendly network for real-time object detection" (2020), section 3.
    """
    h, w = size
    device = objects.device
    boxes, labels, crowd = objects[:, :4], objects[:, 4].long(), objects[:, 5] > 0
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 / stride  # in cells; cell i spans [i, i + 1)
    inside = (centres >= 0).all(1) & (centres < centres.new_tensor([w, h])).all(1)
    care = torch.ones(h, w, dtype=torch.bool, device=device)
    for left, top, right, bottom in (boxes[crowd] / stride).clamp(min=0).tolist():
        care[int(top) : math.ceil(bottom), int(left) : math.ceil(right)] = False
    used = inside & ~crowd
    boxes, labels, centres = boxes[used], labels[used], centres[used]
    heat = boxes.new_zeros(classes, h, w)
    if not len(boxes):
        empty = torch.zeros(0, dtype=torch.long, device=device)
        return Targets(heat, care, empty, boxes.new_zeros(0, 4), boxes.new_zeros(0))
    sides = boxes[:, 2:] - boxes[:, :2]
    sigma = (sides / stride * SPREAD).clamp(min=LEAST)
    # The Gaussian is centred on the middle of the centre's cell, so that its peak is 1.
    at = centres.floor()
    along = [
        torch.exp(
            -((torch.arange(n, device=device)[None] - at[:, axis : axis + 1]) ** 2)
            / (2 * sigma[:, axis : axis + 1] ** 2)
        )
        for axis, n in ((0, w), (1, h))
    ]
    spots = along[1][:, :, None] * along[0][:, None, :]  # (n, h, w)
    which = labels[:, None].expand(-1, h * w)
    heat = heat.flatten(1).scatter_reduce(0, which, spots.flatten(1), "amax").view(classes, h, w)
    # The smallest object last, so that it keeps the cells that several want.
    order = sides.prod(1).argsort(descending=True, stable=True)
    owner = torch.full((h, w), -1, dtype=torch.long, device=device)
    for i in order.tolist():
        owner[spots[i] > KEPT] = i
    owner = owner.flatten()
    cells = torch.nonzero(owner >= 0)[:, 0]
    whose = owner[cells]
    strength = spots.flatten(1)[whose, cells]
    total = boxes.new_zeros(len(boxes)).index_add(0, whose, strength)
    return Targets(heat, care, cells, boxes[whose], strength / total[whose])
