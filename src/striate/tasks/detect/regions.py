"""Regions: which are proposed by the maps of a first pass, and what a second look at each finds (Faster and Mask R-CNN)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.tasks.detect.boxes import suppress
from striate.tasks.detect.objects import Region
from striate.tasks.detect.ties import LOGIT, steps

RATIOS = (0.5, 1.0, 2.0)  # height over width of a cell's anchors
SIDE = 8  # cells; an anchor's side where a network says no other
SCALE = math.log(1000 / 16)  # most that a box's side is stretched by, as its logarithm
WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of the second pass's four numbers
AREA = 800 * 1333  # pixels of the images that the next two are for; larger ones get more
TOP = 1000  # proposals before and after suppression
FOUND = 100  # objects
SAME = 0.7  # IoU with a better proposal of its level above which one is dropped
OVERLAP = 0.5  # IoU with a better box of its class above which one is not listed
AT_ONCE = 512  # regions that are looked at together
FINEST, USUAL = 2, 224  # the first level by its stride's logarithm; a region's side on the third
BLOCK = 2048  # pixels; regions of one block are read together
MARGIN = 2  # cells around a region that its features may be drawn from
ROOM = 2**22  # logits of a level that are looked at together

Source = np.ndarray  # (C, h, w), in memory or on the disk


class Found(NamedTuple):
    """Boxes (n, 4), classes (n,), scores (n,), the best first, and the proposed regions (n, 4) that gave them."""

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    regions: np.ndarray


def anchors_of(stride: int, anchor: int = SIDE) -> np.ndarray:
    """The anchors (A, 4) of the cell at the origin: left, top, right, bottom in pixels, whole numbers as torchvision's.

    anchor: their side in cells.
    """
    tall = np.sqrt(np.array(RATIOS, dtype=np.float32))
    side = np.float32(anchor * stride)
    w, h = 1 / tall * side, tall * side
    anchors: np.ndarray = (np.stack([-w, -h, w, h], 1) / 2).round().astype(np.float64)
    return anchors


def moved_boxes(
    boxes: np.ndarray, numbers: np.ndarray, weights: Sequence[float] = (1, 1, 1, 1)
) -> np.ndarray:
    """Boxes (..., 4) moved and stretched by four numbers (..., 4) each, in float64.

    Source: Girshick et al., "Rich feature hierarchies" (2014), appendix C.
    """
    sides = boxes[..., 2:] - boxes[..., :2]
    centres = boxes[..., :2] + sides / 2
    numbers = numbers.astype(np.float64) / np.asarray(weights)
    middle = centres + numbers[..., :2] * sides
    half = np.exp(np.minimum(numbers[..., 2:], SCALE)) * sides / 2
    return np.concatenate([middle - half, middle + half], -1)


def propose(
    maps: Sequence[Source], strides: Sequence[int], size: tuple[int, int], anchor: int = SIDE
) -> np.ndarray:
    """The regions (n, 4) float64 that the maps (5 * A, h, w) of all levels propose, the likeliest first.

    Of every level the likeliest `TOP`, cut at the image's border (height, width), without those that a better one of the
    level overlaps; of all levels the likeliest `TOP`. Larger images have more, so that a slide has as many for its area.
    """
    most = most_for(TOP, size)
    boxes, scores, levels = [], [], []
    for level, (source, stride) in enumerate(zip(maps, strides, strict=True)):
        count, h, w = len(RATIOS), *source.shape[1:]
        places, logits = likeliest(source[:count].reshape(count, -1), most)
        kind, cell = places // (h * w), places % (h * w)
        row, column = cell // w, cell % w
        numbers = np.stack([source[count + 4 * kind + i, row, column] for i in range(4)], 1)
        corner = np.stack([column, row, column, row], 1) * float(stride)
        made = moved_boxes(anchors_of(stride, anchor)[kind] + corner, numbers)
        boxes.append(cut_at(made, size))
        scores.append(logits)
        levels.append(np.full(len(logits), level))
    made, logits, which = (np.concatenate(parts) for parts in (boxes, scores, levels))
    large = ((made[:, 2:] - made[:, :2]) >= 1e-3).all(1)
    made, logits, which = made[large], logits[large], which[large]
    regions: np.ndarray = made[suppress(made, logits, which, SAME, most)]
    return regions


def likeliest(logits: Source, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in reading order and values of the largest of logits (A, T) of T cells; of equal ones the first cell's."""
    count, cells = logits.shape
    kept, values = np.zeros(0, np.int64), np.zeros(0, np.float32)
    step = max(1, ROOM // count)
    for first in range(0, cells, step):
        part = np.asarray(logits[:, first : first + step], dtype=np.float32).T.reshape(-1)
        best = np.argsort(-steps(part, LOGIT), kind="stable")[:most]
        kept = np.concatenate([kept, first * count + best])
        values = np.concatenate([values, part[best]])
        order = np.argsort(-steps(values, LOGIT), kind="stable")[:most]
        kept, values = kept[order], values[order]
    return kept % count * cells + kept // count, values


def most_for(count: int, size: tuple[int, int]) -> int:
    """How many are taken of an image (height, width), `count` up to `AREA` pixels."""
    return math.ceil(count * max(1.0, size[0] * size[1] / AREA))


def cut_at(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes (..., 4) cut at the border of an image (height, width)."""
    height, width = size
    return boxes.clip(0, [width, height, width, height])


def level_of(boxes: np.ndarray, levels: int, anchor: int = SIDE) -> np.ndarray:
    """The level (n,) from which the features of regions (n, 4) are taken, finer ones for smaller anchors.

    Source: Lin et al. (2017), equation 1.
    """
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1))
    with np.errstate(divide="ignore"):
        level = np.floor(4 + np.log2(sides / (USUAL * anchor / SIDE)) + 1e-6)
    return (level.clip(FINEST, FINEST + levels - 1) - FINEST).astype(np.int64)


def features_of(
    features: Sequence[Source], strides: Sequence[int], boxes: np.ndarray, side: int, device: torch.device,
    anchor: int = SIDE,
) -> Tensor:  # fmt: skip
    """RoIAlign: the features (n, C, side, side) of regions (n, 4), each from the level for its size.

    Each is read from a part of its map: a map on the disk may be larger than memory.
    Source: He et al. (2017), section 3.
    """
    from torchvision.ops import roi_align  # takes a second to load

    made = torch.zeros(len(boxes), features[0].shape[0], side, side, device=device)
    level = level_of(boxes, len(features), anchor)
    block = np.floor(boxes[:, :2] / BLOCK).astype(np.int64)
    for k, source in enumerate(features):
        stride, here = strides[k], np.flatnonzero(level == k)
        for corner in np.unique(block[here], axis=0):
            at = here[(block[here] == corner).all(1)]
            low = np.maximum(np.floor(boxes[at, :2].min(0) / stride) - MARGIN, 0).astype(int)
            high = np.ceil(boxes[at, 2:].max(0) / stride).astype(int) + MARGIN
            part = np.ascontiguousarray(source[:, low[1] : high[1], low[0] : high[0]])
            local = boxes[at] - np.tile(low * float(stride), 2)
            rows = torch.from_numpy(np.concatenate([np.zeros((len(at), 1)), local], 1)).float()
            aligned = roi_align(
                torch.from_numpy(part)[None].to(device), rows.to(device), side, 1 / stride, 2
            )
            made[torch.from_numpy(at).to(device)] = aligned
    return made


def found_in(
    features: Sequence[Source],
    proposals: Sequence[Source],
    strides: Sequence[int],
    box: Callable[[Tensor], tuple[Tensor, Tensor]],
    size: tuple[int, int],
    *,
    least: float,
    device: torch.device,
    anchor: int = SIDE,
) -> Found:
    """What is found in an image (height, width).

    Each proposed region is looked at again; of each class the boxes that no better one overlaps stay, and of all the best
    `FOUND`. features, proposals: maps of the first pass, in memory or on the disk. box: the second pass, see
    `striate.models.Regions`.
    """
    regions = propose(proposals, strides, size, anchor)
    parts = [(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 4)))]
    for first in range(0, len(regions), AT_ONCE):
        some = regions[first : first + AT_ONCE]
        logits, numbers = box(features_of(features, strides, some, 7, device, anchor))
        scores = logits.double().softmax(1)[:, 1:].cpu().numpy()
        moved = moved_boxes(some[:, None], numbers[:, 1:].double().cpu().numpy(), WEIGHTS)
        which, label = np.nonzero(scores > least)
        parts.append((cut_at(moved[which, label], size), label, scores[which, label], some[which]))
    boxes, labels, scores, held = (np.concatenate(column) for column in zip(*parts, strict=True))
    large = ((boxes[:, 2:] - boxes[:, :2]) >= 1e-2).all(1)
    best = suppress(boxes[large], scores[large], labels[large], OVERLAP, most_for(FOUND, size))
    kept = np.flatnonzero(large)[best]
    return Found(boxes[kept], labels[kept], scores[kept], held[kept])


def masks_of(
    features: Sequence[Source],
    strides: Sequence[int],
    mask: Callable[[Tensor], Tensor],
    boxes: np.ndarray,
    labels: np.ndarray,
    size: tuple[int, int],
    device: torch.device,
    anchor: int = SIDE,
) -> list[Region]:
    """The pixels of each object, found in boxes (n, 4) with classes (n,) in an image (height, width), as Mask R-CNN says.

    Each box is looked at a third time; its mask of 28 x 28 numbers is laid over it as torchvision lays it, and what is more
    likely than not belongs to the object. One without such a pixel has the middle of its box.
    Source: He et al. (2017), section 3.
    """
    found: list[Region] = []
    for first in range(0, len(boxes), AT_ONCE):
        some, own = boxes[first : first + AT_ONCE], labels[first : first + AT_ONCE]
        logits = mask(features_of(features, strides, some, 14, device, anchor))
        which = torch.arange(len(some), device=device), torch.from_numpy(own + 1).to(device)
        numbers = logits[which].sigmoid().cpu()
        found += [_laid_over(n, box, size) for n, box in zip(numbers, some, strict=True)]
    return found


def _laid_over(numbers: Tensor, box: np.ndarray, size: tuple[int, int]) -> Region:
    """The pixels of a mask (28, 28) laid over a box (4,), one number more on each side, so that its border can be seen."""
    side = len(numbers)
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * (side + 2) / side
    left, top, right, bottom = (
        np.trunc(np.concatenate([middle - half, middle + half])).astype(int).tolist()
    )
    width, height = max(right - left + 1, 1), max(bottom - top + 1, 1)
    whole = F.interpolate(
        F.pad(numbers, (1, 1, 1, 1))[None, None], (height, width), mode="bilinear"
    )[0, 0]
    rows = slice(max(-top, 0), min(bottom + 1, size[0]) - top)
    columns = slice(max(-left, 0), min(right + 1, size[1]) - left)
    inside = whole[rows, columns].numpy() > 0.5
    if not inside.any():
        x, y = (int(min(v, n - 1)) for v, n in zip(middle, (size[1], size[0]), strict=True))
        return Region.of(np.ones((1, 1), dtype=bool), y, x)
    return Region.of(inside, max(top, 0), max(left, 0))
