"""The loss of Faster R-CNN: which anchors and which proposed regions hold an object, and where it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.models import Regions
from striate.tasks.detect.boxes import overlap
from striate.tasks.detect.regions import RATIOS, WEIGHTS, anchors_of, level_of, propose

PROPOSED = (
    0.3,
    0.7,
)  # IoU with an object below which an anchor has none, and from which on it has one
LOOKED = (0.5, 0.5)  # the same of a region
ANCHORS, REGIONS = (
    (256, 0.5),
    (512, 0.25),
)  # that an image teaches by, and the share of those with an object
BETA = 1 / 9  # of the smooth L1 loss

NONE, UNUSED = -1, -2


def all_anchors(strides: Sequence[int], sizes: Sequence[tuple[int, int]]) -> np.ndarray:
    """The anchors (T, 4) of all levels: level by level, anchor by anchor, row by row. sizes: (rows, columns) of each."""
    parts = []
    for stride, (h, w) in zip(strides, sizes, strict=True):
        y, x = np.mgrid[:h, :w] * float(stride)
        corner = np.stack([x, y, x, y], -1)
        parts.append((anchors_of(stride)[:, None, None] + corner[None]).reshape(-1, 4))
    return np.concatenate(parts)


def matched(
    boxes: np.ndarray, truth: np.ndarray, crowd: np.ndarray, below: float, above: float, *, every: bool
) -> np.ndarray:  # fmt: skip
    """Which of the objects (m, 4) each of the boxes (n, 4) holds: (n,) its index, `NONE`, or `UNUSED` where that is unclear.

    The one that it overlaps most, from an IoU of `above` on; none below `below`, but for boxes in a crowd. every: the boxes
    that overlap an object most hold it however little that is. crowd: (c, 4).
    """
    which = np.full(len(boxes), NONE)
    if len(truth):
        table = overlap(truth, boxes)  # (m, n)
        best, likely = table.max(0), table.argmax(0)
        which[best >= below] = UNUSED
        which[best >= above] = likely[best >= above]
        if every:
            most = table.max(1, keepdims=True)
            at = ((table == most) & (most > 0)).any(0)
            which[at] = likely[at]
    middle = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    quiet = ((middle >= crowd[None, :, :2]) & (middle < crowd[None, :, 2:])).all(2).any(1)
    which[quiet & (which == NONE)] = UNUSED
    return which


def drawn(which: np.ndarray, count: int, share: float) -> np.ndarray:
    """Indices (c,) of at most `count` boxes that teach, drawn at random, at most `share` of them with an object.

    which: (n,) what each box holds, see `matched`.
    """
    some, none = np.flatnonzero(which >= 0), np.flatnonzero(which == NONE)
    some = some[torch.randperm(len(some)).numpy()[: int(count * share)]]
    none = none[torch.randperm(len(none)).numpy()[: count - len(some)]]
    return np.concatenate([some, none])


def four_numbers(boxes: np.ndarray, truth: np.ndarray, weights: Sequence[float] = (1, 1, 1, 1)) -> np.ndarray:  # fmt: skip
    """What boxes (n, 4) are to be moved and stretched by to be the true ones (n, 4): (n, 4), see `moved_boxes`."""
    sides, wanted = boxes[:, 2:] - boxes[:, :2], truth[:, 2:] - truth[:, :2]
    shift = (truth[:, :2] + wanted / 2 - boxes[:, :2] - sides / 2) / sides
    numbers: np.ndarray = np.concatenate([shift, np.log(wanted / sides)], 1) * np.asarray(weights)
    return numbers


def region_losses(output: Regions, at: int, target: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:  # fmt: skip
    """The four losses of image `at` of a batch, each a mean over what was drawn: of anchors and regions, class and box.

    target: (n, 6) left, top, right, bottom in pixels, class, crowd. size: (height, width).
    Source: Ren et al. (2015), equation 1, as torchvision weighs it.
    """
    rows = target.detach().double().cpu().numpy()
    crowd, truth, labels = (
        rows[rows[:, 5] > 0, :4],
        rows[rows[:, 5] == 0, :4],
        rows[rows[:, 5] == 0, 4],
    )
    maps = [m[at] for m in output.proposals]
    sizes = [(m.shape[-2], m.shape[-1]) for m in maps]
    a = len(RATIOS)
    anchors = all_anchors(output.strides, sizes)
    which = matched(anchors, truth, crowd, *PROPOSED, every=True)
    logits = torch.cat([m[:a].flatten() for m in maps]).float()
    numbers = torch.cat([m[a:].unflatten(0, (a, 4)).movedim(1, -1).reshape(-1, 4) for m in maps]).float()  # fmt: skip
    chosen = drawn(which, *ANCHORS)
    has, moved = _pair(logits, numbers, anchors, truth, which, chosen)
    losses = {"anchors": has, "anchor_boxes": moved}
    with torch.no_grad():
        regions = propose([m.detach().float().cpu().numpy() for m in maps], output.strides, size)
    regions = np.concatenate([regions, truth])
    which = matched(regions, truth, crowd, *LOOKED, every=False)
    chosen = drawn(which, *REGIONS)
    regions, which = regions[chosen], which[chosen]
    classes, boxes = output.box(aligned(output, at, regions, 7))
    device = classes.device
    wanted = np.where(which >= 0, 1 + labels[which.clip(0)] if len(labels) else 0, 0)
    losses["classes"] = F.cross_entropy(classes.float(), torch.from_numpy(wanted).long().to(device))
    held = np.flatnonzero(which >= 0)
    made = boxes[torch.from_numpy(held).to(device), torch.from_numpy(wanted[held]).long().to(device)]  # fmt: skip
    right = four_numbers(regions[held], truth[which[held]], WEIGHTS)
    losses["boxes"] = _smooth(made, right) / max(len(chosen), 1)
    return losses


def _pair(
    logits: Tensor, numbers: Tensor, anchors: np.ndarray, truth: np.ndarray, which: np.ndarray, chosen: np.ndarray
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The losses of anchors: whether they hold an object, and where it is."""
    index = torch.from_numpy(chosen).to(logits.device)
    has = torch.from_numpy((which[chosen] >= 0).astype(np.float32)).to(logits.device)
    held = chosen[which[chosen] >= 0]
    made = numbers[torch.from_numpy(held).to(numbers.device)]
    boxes = _smooth(made, four_numbers(anchors[held], truth[which[held]]))
    return F.binary_cross_entropy_with_logits(logits[index], has), boxes / max(len(chosen), 1)


def _smooth(made: Tensor, right: np.ndarray) -> Tensor:
    wanted = torch.from_numpy(right).to(made.device, torch.float32)
    return F.smooth_l1_loss(made.float(), wanted, beta=BETA, reduction="sum")


def aligned(output: Regions, at: int, regions: np.ndarray, side: int) -> Tensor:
    """RoIAlign with gradients: the features (n, C, side, side) of regions (n, 4) of image `at`."""
    from torchvision.ops import roi_align  # takes a second to load

    level = level_of(regions, len(output.features))
    first = output.features[0]
    made = torch.zeros(len(regions), first.shape[1], side, side, device=first.device)
    for k, maps in enumerate(output.features):
        here = np.flatnonzero(level == k)
        if len(here):
            rows = np.concatenate([np.full((len(here), 1), at), regions[here]], 1)
            boxes = torch.from_numpy(rows).to(maps.device, torch.float32)
            # In single precision: torchvision has no such operation for bfloat16 on a processor.
            part = roi_align(maps.float(), boxes, side, 1 / output.strides[k], 2)
            made = made.index_copy(0, torch.from_numpy(here).to(maps.device), part)
    return made
