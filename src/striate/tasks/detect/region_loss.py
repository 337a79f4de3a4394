"""The loss of Faster and Mask R-CNN: which anchors and proposed regions hold an object, where it is, and its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.answer import in_single
from striate.models import Regions
from striate.tasks.detect.boxes import overlap
from striate.tasks.detect.regions import RATIOS, SIDE, WEIGHTS, anchors_of, level_of, propose
from striate.training.batch import Batch, Loss

PROPOSED = (
    0.3,
    0.7,
)  # IoU with an object below which an anchor has none, and from which on it has one
LOOKED = (0.5, 0.5)  # the same of a region
TAUGHT = 512  # regions that an image teaches by where nothing else is said, and half as many anchors, as torchvision
ANCHORS, REGIONS = 0.5, 0.25  # most of them that hold an object
BETA = 1 / 9  # of the smooth L1 loss

FINE = 28  # numbers along a side of a region's mask

NONE, UNUSED = -1, -2


def loss_of_regions(
    output: Regions, batch: Batch, edges: float, pixels: float = 1.0, *, regions: int = TAUGHT
) -> Loss:
    """Means over the anchors and regions that were drawn of each image, over the number of images.

    The batch's targets are N tensors (n, 6), see `target_of`, or with the pixels of each object {"objects": (n, 6),
    "numbers": (H, W)}, see `InstanceTarget`. edges: weight of the boxes; pixels: of the masks. regions: that an image
    teaches by, at most; of anchors half as many.
    Source: Ren et al. (2015), equation 1; He et al. (2017), section 3; as torchvision weighs them.
    """
    # What is drawn of an image hangs on its place in the batch, and neither on other images nor on which process holds it.
    base = int(torch.randint(2**40, ()))
    lessons = [
        lesson_of(
            output, i, target, batch.images.shape[-2:], regions, draw_of(base, batch.first + i)
        )
        for i, target in enumerate(batch.targets)
    ]
    sums = {
        "anchors": torch.stack([one.anchors for one in lessons]).sum(),
        "anchor_boxes": torch.stack([one.anchor_boxes for one in lessons]).sum(),
        **_second(output, lessons),
    }
    if output.mask is not None and not any(isinstance(t, Tensor) for t in batch.targets):
        sums["masks"] = _masks(output, lessons, [target["numbers"] for target in batch.targets])
    total = sums["anchors"] + sums["classes"] + edges * (sums["anchor_boxes"] + sums["boxes"])
    if "masks" in sums:
        total = total + pixels * sums["masks"]
    return Loss(total, len(lessons), {k: v.detach() for k, v in sums.items()})


def draw_of(base: int, place: int) -> torch.Generator:
    """The random numbers of the image at a place in its batch."""
    return torch.Generator().manual_seed(base * 8191 + place)


def all_anchors(
    strides: Sequence[int], sizes: Sequence[tuple[int, int]], anchor: int = SIDE
) -> np.ndarray:
    """The anchors (T, 4) of all levels: level by level, anchor by anchor, row by row.

    sizes: (rows, columns) of each. anchor: their side in cells.
    """
    parts = []
    for stride, (h, w) in zip(strides, sizes, strict=True):
        y, x = np.mgrid[:h, :w] * float(stride)
        corner = np.stack([x, y, x, y], -1)
        parts.append((anchors_of(stride, anchor)[:, None, None] + corner[None]).reshape(-1, 4))
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


def drawn(
    which: np.ndarray, count: int, share: float, draw: torch.Generator | None = None
) -> np.ndarray:
    """Indices (c,) of at most `count` boxes that teach, drawn at random, at most `share` of them with an object.

    which: (n,) what each box holds, see `matched`.
    """
    some, none = np.flatnonzero(which >= 0), np.flatnonzero(which == NONE)
    some = some[torch.randperm(len(some), generator=draw).numpy()[: int(count * share)]]
    none = none[torch.randperm(len(none), generator=draw).numpy()[: count - len(some)]]
    return np.concatenate([some, none])


def four_numbers(boxes: np.ndarray, truth: np.ndarray, weights: Sequence[float] = (1, 1, 1, 1)) -> np.ndarray:  # fmt: skip
    """What boxes (n, 4) are to be moved and stretched by to be the true ones (n, 4): (n, 4), see `moved_boxes`."""
    sides, wanted = boxes[:, 2:] - boxes[:, :2], truth[:, 2:] - truth[:, :2]
    shift = (truth[:, :2] + wanted / 2 - boxes[:, :2] - sides / 2) / sides
    numbers: np.ndarray = np.concatenate([shift, np.log(wanted / sides)], 1) * np.asarray(weights)
    return numbers


class Lesson(NamedTuple):
    """What one image teaches: the losses of its anchors, and regions (n, 4) that the second pass is to look at.

    labels: (n,) the class of each from 1, 0 for none. held: (m,) indices of those with an object; truth: (m, 4) its box;
    own: (m,) its number among the image's objects, from 1.
    """

    anchors: Tensor
    anchor_boxes: Tensor
    regions: np.ndarray
    labels: np.ndarray
    held: np.ndarray
    truth: np.ndarray
    own: np.ndarray


def lesson_of(
    output: Regions, at: int, target: Tensor | Mapping[str, Tensor], size: Sequence[int], count: int,
    draw: torch.Generator | None = None,
) -> Lesson:  # fmt: skip
    """What image `at` of a batch teaches.

    target: (n, 6) left, top, right, bottom in pixels, class, crowd; or {"objects", "numbers"}, those and (H, W) the number
    of each pixel's object from 1. size: (height, width). count: of regions, at most. draw: from which anchors and regions
    are drawn, torch's own if None.
    """
    objects = target if isinstance(target, Tensor) else target["objects"]
    rows = objects.detach().double().cpu().numpy()
    regular = np.flatnonzero(rows[:, 5] == 0)
    crowd, truth, labels = rows[rows[:, 5] > 0, :4], rows[regular, :4], rows[regular, 4]
    maps = [m[at] for m in output.proposals]
    sizes = [(m.shape[-2], m.shape[-1]) for m in maps]
    a = len(RATIOS)
    anchors = all_anchors(output.strides, sizes, output.anchor)
    which = matched(anchors, truth, crowd, *PROPOSED, every=True)
    logits = in_single(torch.cat([m[:a].flatten() for m in maps]))
    numbers = in_single(torch.cat([m[a:].unflatten(0, (a, 4)).movedim(1, -1).reshape(-1, 4) for m in maps]))  # fmt: skip
    has, moved = _pair(logits, numbers, anchors, truth, which, drawn(which, max(count // 2, 1), ANCHORS, draw))  # fmt: skip
    with torch.no_grad():
        given = [in_single(m.detach()).cpu().numpy() for m in maps]
    regions = propose(given, output.strides, (size[0], size[1]), output.anchor)
    regions = np.concatenate([regions, truth])
    which = matched(regions, truth, crowd, *LOOKED, every=False)
    chosen = drawn(which, count, REGIONS, draw)
    regions, which = regions[chosen], which[chosen]
    held = np.flatnonzero(which >= 0)
    wanted = np.zeros(len(which), np.int64)
    wanted[held] = 1 + labels[which[held]]
    return Lesson(
        has,
        moved,
        regions,
        wanted,
        held,
        truth[which[held]].reshape(-1, 4),
        regular[which[held]] + 1,
    )


def _second(output: Regions, lessons: Sequence[Lesson]) -> dict[str, Tensor]:
    """The losses of the second pass, class and box, each the mean over an image's regions, summed over images."""
    at = np.repeat(np.arange(len(lessons)), [len(one.regions) for one in lessons])
    regions = np.concatenate([one.regions for one in lessons])
    # Together, so that the gradient of each weight and each map is made once for a batch, and not for every image.
    classes, boxes = output.box(aligned(output, at, regions, 7))
    device = classes.device
    share = torch.from_numpy(1 / np.maximum(np.bincount(at, minlength=len(lessons)), 1)).float()
    weights = share.to(device)[torch.from_numpy(at).to(device)]
    labels = torch.from_numpy(np.concatenate([one.labels for one in lessons])).to(device)
    entropy = F.cross_entropy(in_single(classes), labels, reduction="none")
    held = np.flatnonzero(labels.cpu().numpy())
    index = torch.from_numpy(held).to(device)
    right = four_numbers(regions[held], np.concatenate([one.truth for one in lessons]), WEIGHTS)
    apart = _smooth(boxes[index, labels[index]], right, reduction="none").sum(1)
    return {"classes": (entropy * weights).sum(), "boxes": (apart * weights[index]).sum()}


def _masks(output: Regions, lessons: Sequence[Lesson], numbers: Sequence[Tensor]) -> Tensor:
    """The cross entropy of the masks of regions that hold an object, the mean over an image's, summed over images.

    numbers: of each image (H, W) the number of each pixel's object. Only the mask of a region's class learns.
    """
    assert output.mask is not None
    at = np.repeat(np.arange(len(lessons)), [len(one.held) for one in lessons])
    regions = np.concatenate([one.regions[one.held] for one in lessons])
    logits = in_single(output.mask(aligned(output, at, regions, FINE // 2)))
    labels = torch.from_numpy(np.concatenate([one.labels[one.held] for one in lessons]))
    made = logits[torch.arange(len(regions)), labels.to(logits.device)]
    right = torch.cat(
        [
            true_masks(n, one.own, one.regions[one.held])
            for n, one in zip(numbers, lessons, strict=True)
        ]
    ).to(made.device, made.dtype)
    entropy = F.binary_cross_entropy_with_logits(made, right, reduction="none").mean((1, 2))
    # A sum, so that images without objects reach the weights of the masks as well: training on several devices needs it.
    share = 1 / np.maximum(np.bincount(at, minlength=len(lessons)), 1)
    return (entropy * torch.from_numpy(share[at]).to(made.device, made.dtype)).sum()


def true_masks(numbers: Tensor, own: np.ndarray, regions: np.ndarray, side: int = FINE) -> Tensor:
    """What share of each of side x side parts of regions (n, 4) their object has: (n, side, side) float32, by RoIAlign.

    numbers: (H, W) the number of each pixel's object. own: (n,) the number of each region's.
    """
    from torchvision.ops import roi_align  # takes a second to load

    made = torch.zeros(len(regions), side, side, device=numbers.device)
    for number in np.unique(own).tolist():
        here = np.flatnonzero(own == number)
        boxes = regions[here]
        # Of a large image only what the object's regions show is looked at, and a pixel around it.
        left, top = np.maximum(np.floor(boxes[:, :2].min(0)).astype(int) - 1, 0).tolist()
        right, bottom = (np.ceil(boxes[:, 2:].max(0)).astype(int) + 1).tolist()
        part = (numbers[top:bottom, left:right] == number).float()
        local = torch.from_numpy(boxes - [left, top, left, top]).to(numbers.device, torch.float32)
        made[torch.from_numpy(here).to(numbers.device)] = roi_align(part[None, None], [local], side)[:, 0]  # fmt: skip
    return made


def _pair(
    logits: Tensor, numbers: Tensor, anchors: np.ndarray, truth: np.ndarray, which: np.ndarray, chosen: np.ndarray
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The losses of anchors: whether they hold an object, and where it is."""
    index = torch.from_numpy(chosen).to(logits.device)
    has = torch.from_numpy(which[chosen] >= 0).to(logits.device, logits.dtype)
    held = chosen[which[chosen] >= 0]
    made = numbers[torch.from_numpy(held).to(numbers.device)]
    boxes = _smooth(made, four_numbers(anchors[held], truth[which[held]]))
    return F.binary_cross_entropy_with_logits(logits[index], has), boxes / max(len(chosen), 1)


def _smooth(made: Tensor, right: np.ndarray, reduction: str = "sum") -> Tensor:
    made = in_single(made)
    wanted = torch.from_numpy(right).to(made.device, made.dtype)
    return F.smooth_l1_loss(made, wanted, beta=BETA, reduction=reduction)


def aligned(output: Regions, at: np.ndarray, regions: np.ndarray, side: int) -> Tensor:
    """RoIAlign with gradients: the features (n, C, side, side) of regions (n, 4), each in image `at` (n,) of the batch."""
    level = level_of(regions, len(output.features), output.anchor)
    first = output.features[0]
    made = torch.zeros(
        len(regions), first.shape[1], side, side, device=first.device, dtype=in_single(first).dtype
    )
    for k, maps in enumerate(output.features):
        here = np.flatnonzero(level == k)
        if len(here):
            part = _aligned(maps, at[here], regions[here], output.strides[k], side)
            made = made.index_copy(0, torch.from_numpy(here).to(maps.device), part)
    return made


def aligned_in_each(output: Regions, region: np.ndarray, side: int) -> Tensor:
    """RoIAlign with gradients: the features (N, C, side, side) of one region (4,) in each of N images."""
    k = int(level_of(region[None], len(output.features), output.anchor)[0])
    maps = output.features[k]
    n = len(maps)
    return _aligned(maps, np.arange(n), np.tile(region, (n, 1)), output.strides[k], side)


def _aligned(maps: Tensor, at: np.ndarray, regions: np.ndarray, stride: int, side: int) -> Tensor:
    from torchvision.ops import roi_align  # takes a second to load

    rows = np.concatenate([at.astype(np.float64)[:, None], regions], 1)
    # In single precision: torchvision has no such operation for bfloat16 on a processor.
    maps = in_single(maps)
    boxes = torch.from_numpy(rows).to(maps.device, maps.dtype)
    made: Tensor = roi_align(maps, boxes, side, 1 / stride, 2)
    return made
