"""The loss of a grid of cells, as YOLO has it: squared errors, of the box that overlaps an object most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.models import SPAN

EMPTY = 0.5  # weight of the confidence of boxes without an object; the paper's lambda_noobj


@dataclass(frozen=True)
class GridTargets:
    """The objects that cells of one image answer for: cells (m,) index of each, boxes (m, 4) left, top, right, bottom in
    pixels, labels (m,). care: (h * w,) bool, which cells may be told that they have no object.
    """

    cells: Tensor
    boxes: Tensor
    labels: Tensor
    care: Tensor


def assign_cells(objects: Tensor, size: tuple[int, int], stride: int) -> GridTargets:
    """Targets of the objects (n, 6) of one image: left, top, right, bottom in pixels, class, crowd.

    The cell that holds an object's centre answers for it; of several, for the largest. size: (rows, columns).
    Source: Redmon et al. (2016), section 2.
    """
    rows, columns = size
    crowd = objects[:, 5] > 0
    regular = objects[~crowd]
    boxes, labels = regular[:, :4], regular[:, 4].long()
    x, y = ((boxes[:, :2] + boxes[:, 2:]) / 2 / stride).floor().long().unbind(1)
    inside = (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
    boxes, labels, cells = boxes[inside], labels[inside], (y * columns + x)[inside]
    # The largest last, so that it keeps the cell.
    order = (boxes[:, 2:] - boxes[:, :2]).prod(1).argsort(stable=True)
    owner = torch.full((rows * columns,), -1, dtype=torch.long, device=objects.device)
    for i in order.tolist():
        owner[cells[i]] = i
    taken = torch.nonzero(owner >= 0)[:, 0]
    care = torch.ones(rows, columns, dtype=torch.bool, device=objects.device)
    for left, top, right, bottom in (objects[crowd, :4] / stride).clamp(min=0).tolist():
        care[int(top) : int(bottom) + 1, int(left) : int(right) + 1] = False
    return GridTargets(taken, boxes[owner[taken]], labels[owner[taken]], care.flatten())


def grid_losses(
    flat: Tensor, targets: Sequence[GridTargets], *, boxes: int, stride: int, columns: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over the cells of N images, of squared errors: of the boxes, the confidences and the classes.

    flat: (N, C, T) with C = 5 * boxes + K, the cells row by row, see `Grid`.
    Source: Redmon et al. (2016), equation 3, without the weight of the boxes.
    """
    image = torch.cat([t.cells.new_full((len(t.cells),), i) for i, t in enumerate(targets)])
    at = torch.cat([t.cells for t in targets])
    true, labels = torch.cat([t.boxes for t in targets]), torch.cat([t.labels for t in targets])
    corner = torch.stack([at % columns, at // columns], 1).to(flat.dtype)  # of the cell, in cells
    made = flat[image, :, at]  # (m, 5 * boxes + K)
    several = made[:, : 5 * boxes].unflatten(1, (boxes, 5))
    with torch.no_grad():
        overlap = _overlap(
            boxes_in_cells(several, corner[:, None], stride), true[:, None]
        )  # (m, boxes)
        best, which = overlap.max(1)
    own = several.gather(1, which[:, None, None].expand(-1, 1, 5))[:, 0]  # (m, 5)
    centre = (true[:, :2] + true[:, 2:]) / 2 / stride - corner
    roots = ((true[:, 2:] - true[:, :2]) / (SPAN * stride)).sqrt()
    edges = ((own[:, :2] - centre) ** 2).sum() + ((own[:, 2:4] - roots) ** 2).sum()
    confidences = flat[:, : 5 * boxes].unflatten(1, (boxes, 5))[:, :, 4]  # (N, boxes, T)
    care = torch.stack([t.care for t in targets])[:, None].expand(-1, boxes, -1).clone()
    care[image, which, at] = False  # these have an object
    confident = ((own[:, 4] - best) ** 2).sum() + EMPTY * (confidences[care] ** 2).sum()
    wanted = torch.zeros_like(made[:, 5 * boxes :])
    wanted[torch.arange(len(labels), device=labels.device), labels] = 1.0
    classes = ((made[:, 5 * boxes :] - wanted) ** 2).sum()
    return edges, confident, classes


def boxes_in_cells(numbers: Tensor, corner: Tensor, stride: int) -> Tensor:
    """Boxes (..., 4) in pixels from the numbers (..., 5) of cells with the corner (..., 2) x and y in cells."""
    centre = (corner + numbers[..., :2]) * stride
    half = numbers[..., 2:4] ** 2 * (SPAN * stride / 2)
    return torch.cat([centre - half, centre + half], -1)


def _overlap(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes (..., 4) with boxes (..., 4), position by position."""
    inside = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(
        min=0
    )
    both = inside.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - both
    return both / union.clamp(min=1e-9)
