"""The loss of Faster and Mask R-CNN: which anchors and proposed regions hold an object, where it is, and its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.answer import in_single
from striate.models import Regions
from striate.tasks.detect.boxes import overlap
from striate.tasks.detect.regions import RATIOS, WEIGHTS, anchors_of, level_of, propose
from striate.training.batch import Batch, Loss

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

FINE = 28  # numbers along a side of a region's mask

NONE, UNUSED = -1, -2


def loss_of_regions(output: Regions, batch: Batch, edges: float, pixels: float = 1.0) -> Loss:
    """Means over the anchors and regions that were drawn of each image, over the number of images.

    The batch's targets are N tensors (n, 6), see `target_of`, or with the pixels of each object {"objects": (n, 6),
    "numbers": (H, W)}, see `InstanceTarget`. edges: weight of the boxes; pixels: of the masks.
    """
    height, width = batch.images.shape[-2:]
    # Taken apart once: the gradient of a batch's map is put together once, and not for every image.
    features = zip(*(maps.unbind() for maps in output.features), strict=True)
    # What is drawn of an image hangs on its place in the batch, and neither on other images nor on which process holds it.
    base = int(torch.randint(2**40, ()))
    each = [
        region_losses(output, i, maps, target, (height, width), draw_of(base, batch.first + i))
        for i, (maps, target) in enumerate(zip(features, batch.targets, strict=True))
    ]
    sums = {name: torch.stack([one[name] for one in each]).sum() for name in each[0]}
    total = sums["anchors"] + sums["classes"] + edges * (sums["anchor_boxes"] + sums["boxes"])
    if "masks" in sums:
        total = total + pixels * sums["masks"]
    return Loss(total, len(each), {k: v.detach() for k, v in sums.items()})


def draw_of(base: int, place: int) -> torch.Generator:
    """The random numbers of the image at a place in its batch."""
    return torch.Generator().manual_seed(base * 8191 + place)


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


def region_losses(
    output: Regions, at: int, features: Sequence[Tensor], target: Tensor | Mapping[str, Tensor], size: tuple[int, int],
    draw: torch.Generator | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """The losses of image `at` of a batch, each a mean over what was drawn: of anchors and regions, class and box, and of
    the regions that hold an object their masks, where the target says its pixels.

    features: (C, h, w) of that image. target: (n, 6) left, top, right, bottom in pixels, class, crowd; or {"objects",
    "numbers"}, those and (H, W) the number of each pixel's object from 1. size: (height, width). draw: from which anchors
    and regions are drawn, torch's own if None.
    Source: Ren et al. (2015), equation 1; He et al. (2017), section 3; as torchvision weighs them.
    """
    pixels = None if isinstance(target, Tensor) else target["numbers"]
    objects = target if isinstance(target, Tensor) else target["objects"]
    rows = objects.detach().double().cpu().numpy()
    regular = np.flatnonzero(rows[:, 5] == 0)
    crowd, truth, labels = rows[rows[:, 5] > 0, :4], rows[regular, :4], rows[regular, 4]
    maps = [m[at] for m in output.proposals]
    sizes = [(m.shape[-2], m.shape[-1]) for m in maps]
    a = len(RATIOS)
    anchors = all_anchors(output.strides, sizes)
    which = matched(anchors, truth, crowd, *PROPOSED, every=True)
    logits = in_single(torch.cat([m[:a].flatten() for m in maps]))
    numbers = in_single(torch.cat([m[a:].unflatten(0, (a, 4)).movedim(1, -1).reshape(-1, 4) for m in maps]))  # fmt: skip
    chosen = drawn(which, *ANCHORS, draw)
    has, moved = _pair(logits, numbers, anchors, truth, which, chosen)
    losses = {"anchors": has, "anchor_boxes": moved}
    with torch.no_grad():
        regions = propose([in_single(m.detach()).cpu().numpy() for m in maps], output.strides, size)
    regions = np.concatenate([regions, truth])
    which = matched(regions, truth, crowd, *LOOKED, every=False)
    chosen = drawn(which, *REGIONS, draw)
    regions, which = regions[chosen], which[chosen]
    classes, boxes = output.box(aligned(features, output.strides, regions, 7))
    device = classes.device
    wanted = np.where(which >= 0, 1 + labels[which.clip(0)] if len(labels) else 0, 0)
    losses["classes"] = F.cross_entropy(
        in_single(classes), torch.from_numpy(wanted).long().to(device)
    )
    held = np.flatnonzero(which >= 0)
    made = boxes[torch.from_numpy(held).to(device), torch.from_numpy(wanted[held]).long().to(device)]  # fmt: skip
    right = four_numbers(regions[held], truth[which[held]], WEIGHTS)
    losses["boxes"] = _smooth(made, right) / max(len(chosen), 1)
    if pixels is not None and output.mask is not None:
        own = regular[which[held]] + 1
        losses["masks"] = _masks(output, features, regions[held], wanted[held], own, pixels)
    return losses


def _masks(
    output: Regions, features: Sequence[Tensor], regions: np.ndarray, labels: np.ndarray, own: np.ndarray, numbers: Tensor
) -> Tensor:  # fmt: skip
    """The cross entropy of the masks of regions (n, 4), the mean over their numbers; only the mask of its class learns.

    labels, own: (n,) each region's class from 1, and its object's number among those of the pixels (H, W).
    """
    assert output.mask is not None
    logits = in_single(output.mask(aligned(features, output.strides, regions, FINE // 2)))
    which = torch.arange(len(regions)), torch.from_numpy(labels).long()
    made, right = logits[which], true_masks(numbers, own, regions)
    # A sum, so that an image without objects reaches the weights of the masks as well: training on several devices needs it.
    total = F.binary_cross_entropy_with_logits(
        made, right.to(made.device, made.dtype), reduction="sum"
    )
    return total / max(right.numel(), 1)


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


def _smooth(made: Tensor, right: np.ndarray) -> Tensor:
    made = in_single(made)
    wanted = torch.from_numpy(right).to(made.device, made.dtype)
    return F.smooth_l1_loss(made, wanted, beta=BETA, reduction="sum")


def aligned(features: Sequence[Tensor], strides: Sequence[int], regions: np.ndarray, side: int) -> Tensor:  # fmt: skip
    """RoIAlign with gradients: the features (n, C, side, side) of regions (n, 4) of one image, whose maps are (C, h, w)."""
    level = level_of(regions, len(features))
    kind = in_single(features[0]).dtype
    made = torch.zeros(
        len(regions), len(features[0]), side, side, device=features[0].device, dtype=kind
    )
    for k, maps in enumerate(features):
        here = np.flatnonzero(level == k)
        if len(here):
            part = _aligned(maps[None], [0] * len(here), regions[here], strides[k], side)
            made = made.index_copy(0, torch.from_numpy(here).to(maps.device), part)
    return made


def aligned_in_each(output: Regions, region: np.ndarray, side: int) -> Tensor:
    """RoIAlign with gradients: the features (N, C, side, side) of one region (4,) in each of N images."""
    k = int(level_of(region[None], len(output.features))[0])
    maps = output.features[k]
    n = len(maps)
    return _aligned(maps, list(range(n)), np.tile(region, (n, 1)), output.strides[k], side)


def _aligned(maps: Tensor, at: list[int], regions: np.ndarray, stride: int, side: int) -> Tensor:
    from torchvision.ops import roi_align  # takes a second to load

    rows = np.concatenate([np.array(at, dtype=np.float64)[:, None], regions], 1)
    # In single precision: torchvision has no such operation for bfloat16 on a processor.
    maps = in_single(maps)
    boxes = torch.from_numpy(rows).to(maps.device, maps.dtype)
    made: Tensor = roi_align(maps, boxes, side, 1 / stride, 2)
    return made
