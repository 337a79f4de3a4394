"""Which cells of which level answer for which object, and what they learn (FCOS)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.tasks.detect.boxes import generalised_iou
from striate.tasks.detect.loss import boxes_of, middles

RADIUS = 1.5  # cells around an object's centre that answer for it (centre sampling)
AROUND = 2  # cells on either side of the centre's own that lie within it at most
LARGEST = 8  # cells: the longest distance to an edge that a level answers for; twice that of the level before
ALPHA, GAMMA = 0.25, 2.0  # of the focal loss


@dataclass(frozen=True)
class LevelTargets:
    """What the cells of N images are to say, each image's T cells level by level and row by row, one image after the other.

    cells: (m,) index, among N * T, of the cells that answer for an object; boxes: (m, 4) the box of each, left, top, right,
    bottom in pixels; labels: (m,) its class. care: (N * T,) bool, which of all cells may be told that they have no object.
    count: how many answer for an object, one at least for every image.
    """

    cells: Tensor
    boxes: Tensor
    labels: Tensor
    care: Tensor
    count: int


def ranges(strides: Sequence[int]) -> list[tuple[float, float]]:
    """For each level the longest distances, in pixels, from and below which it answers: 0 to 64 at 8, 64 to 128 at 16, ...

    Source: Tian et al. (2019), section 3.2, whose levels are 8 to 128.
    """
    ends = [float(LARGEST * stride) for stride in strides]
    return list(zip([0.0, *ends[:-1]], [*ends[:-1], float("inf")], strict=True))


def assign_levels(
    objects: Sequence[Tensor], strides: Sequence[int], sizes: Sequence[tuple[int, int]]
) -> LevelTargets:
    """Targets of the objects (n, 6) of each of N images: left, top, right, bottom in pixels, class, crowd.

    sizes: (rows, columns) of each level. See `answering` for which cells answer for which object.
    """
    rows = torch.cat(list(objects))
    image = torch.cat([o.new_full((len(o),), i) for i, o in enumerate(objects)]).long()
    regular = rows[:, 5] == 0
    boxes, labels = rows[regular, :4], rows[regular, 4].long()
    which, level, y, x = answering(boxes, image[regular], strides, sizes)
    wide = torch.tensor([w for _, w in sizes], device=rows.device)
    counts = [h * w for h, w in sizes]
    first = torch.tensor([sum(counts[:i]) for i in range(len(counts))], device=rows.device)
    total = sum(counts)
    cells = image[regular][which] * total + first[level] + y * wide[level] + x
    care = torch.cat(
        [
            _outside(o[o[:, 5] > 0, :4], stride, *size)
            for o in objects
            for stride, size in zip(strides, sizes, strict=True)
        ]
    )
    each = torch.bincount(image[regular][which], minlength=len(objects))
    return LevelTargets(cells, boxes[which], labels[which], care, int(each.clamp(min=1).sum()))


def answering(
    boxes: Tensor, image: Tensor, strides: Sequence[int], sizes: Sequence[tuple[int, int]] | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Which object each cell answers for: its index among the boxes (n, 4), the level, the row and the column, (m,) each.

    A cell answers for an object whose box holds its middle, if that lies within 1.5 cells of the box's centre and its
    longest distance to an edge is in the level's range; of several objects of an image for the smallest. Only the cells
    around each centre are looked at, so that many objects in an image take no more memory than many images. image: (n,) of
    each box. sizes: (rows, columns) of each level, without end if not given.
    Source: Tian et al. (2019), sections 3.1 and 3.2, with centre sampling.
    """
    dtype, centres = boxes.dtype, (boxes[:, :2] + boxes[:, 2:]) / 2
    near = torch.arange(-AROUND, AROUND + 1, device=boxes.device)
    found = []
    for level, (stride, (low, high)) in enumerate(zip(strides, ranges(strides), strict=True)):
        at = (centres / stride).floor().long()  # (n, 2) x, y
        x, y = (at[:, axis, None] + near for axis in (0, 1))  # (n, 5)
        x, y = x[:, None, :].expand(-1, len(near), -1), y[:, :, None].expand(-1, -1, len(near))
        middle = torch.stack([x, y], -1).to(dtype).add(0.5) * stride  # (n, 5, 5, 2)
        own = boxes[:, None, None]
        edges = torch.cat([middle - own[..., :2], own[..., 2:] - middle], -1)
        longest = edges.amax(-1)
        fits = (edges.amin(-1) > 0) & (longest >= low) & (longest < high)
        fits &= (middle - centres[:, None, None]).abs().amax(-1) < RADIUS * stride
        fits &= (x >= 0) & (y >= 0)
        if sizes is not None:
            fits &= (y < sizes[level][0]) & (x < sizes[level][1])
        which, r, c = torch.nonzero(fits, as_tuple=True)
        found.append(torch.stack([which, torch.full_like(which, level), y[which, r, c], x[which, r, c]]))  # fmt: skip
    which, levels, y, x = torch.cat(found, 1)
    # The smallest object first, of equal ones the first; then cell by cell, of which the first object stays.
    order = (boxes[:, 2:] - boxes[:, :2]).prod(1)[which].argsort(stable=True)
    for key in (x, y, levels, image[which]):
        order = order[key[order].argsort(stable=True)]
    place = torch.stack([image[which], levels, y, x])[:, order]
    begins = torch.ones(len(order), dtype=torch.bool, device=boxes.device)
    begins[1:] = (place[:, 1:] != place[:, :-1]).any(0)
    kept = order[begins]
    return which[kept], levels[kept], y[kept], x[kept]


def _outside(crowds: Tensor, stride: int, rows: int, columns: int) -> Tensor:
    """(rows * columns,) bool: whether a cell's middle lies in no crowd."""
    y, x = ((torch.arange(n, device=crowds.device) + 0.5) * stride for n in (rows, columns))
    care = torch.ones(rows, columns, dtype=torch.bool, device=crowds.device)
    for left, top, right, bottom in crowds.tolist():
        care &= ~(((y >= top) & (y < bottom))[:, None] & ((x >= left) & (x < right))[None])
    return care.flatten()


def middles_of(strides: Sequence[int], sizes: Sequence[tuple[int, int]], like: Tensor) -> Tensor:
    """(T, 2) x and y of the middles of all levels' cells in pixels."""
    return torch.cat([middles(h, w, stride, like) for stride, (h, w) in zip(strides, sizes, strict=True)])  # fmt: skip


def centreness(distances: Tensor) -> Tensor:
    """How central a cell is in its box, (m,) in [0, 1], by its distances (m, 4) to the edges.

    Source: Tian et al. (2019), equation 3.
    """
    left, top, right, bottom = distances.clamp(min=0).unbind(-1)
    across = torch.minimum(left, right) / torch.maximum(left, right)
    down = torch.minimum(top, bottom) / torch.maximum(top, bottom)
    return (across * down).sqrt()


def sigmoid_focal(logits: Tensor, targets: Tensor) -> Tensor:
    """The focal loss of each logit against its target, 0 or 1, with alpha 0.25 and gamma 2: of the same shape.

    Source: Lin et al., "Focal loss for dense object detection" (2017), equation 5.
    """
    p = logits.sigmoid()
    wrong = p + targets - 2 * p * targets  # 1 - p of what is true
    weight = targets * ALPHA + (1 - targets) * (1 - ALPHA)
    crossed = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return weight * wrong**GAMMA * crossed


def level_losses(
    flat: Tensor, centres: Tensor, targets: LevelTargets, classes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over all cells of N images: of the classes, the boxes (1 - GIoU) and the centre-ness.

    flat: (N, K + 5, T), the cells of all levels one after the other; centres: (T, 2) their middles.
    """
    made = flat.transpose(1, 2).flatten(0, 1)  # (N * T, K + 5)
    wanted = torch.zeros_like(made[:, :classes])
    wanted[targets.cells, targets.labels] = 1.0
    care = targets.care.index_fill(0, targets.cells, True)
    heat = (sigmoid_focal(made[:, :classes], wanted) * care[:, None]).sum()
    made, points = made[targets.cells], centres[targets.cells % len(centres)]  # (m, K + 5)
    predicted = boxes_of(points, made[:, classes : classes + 4])
    edges = (1 - generalised_iou(predicted, targets.boxes)).sum()
    true = torch.cat([points - targets.boxes[:, :2], targets.boxes[:, 2:] - points], 1)
    centred = F.binary_cross_entropy_with_logits(
        made[:, classes + 4], centreness(true), reduction="sum"
    )
    return heat, edges, centred
