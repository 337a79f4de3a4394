"""The objects of a whole image from the maps of the plain module, by code that shares nothing with the task's own.

Loops and sums over whole maps in float64, from docs/detect.md, docs/instances.md and the papers; the two passes of the
R-CNNs with torchvision's parts. Each gives rows (class, score, left, top, right, bottom), and masks where there are some.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import clip_boxes_to_image, nms, roi_align
from torchvision.ops.poolers import LevelMapper

Found = tuple[np.ndarray, list[np.ndarray] | None]
LISTED = 0.05  # score from which on something is listed


def decode(kind: str, output: Any, classes: int, size: tuple[int, int], tops: int) -> Found:
    """Rows (n, 6) and masks (n, height, width) of an image of `size` (height, width); tops: proposals of the first pass."""
    if kind == "centers":
        return _peaks(_single(output), classes, size)[0], None
    if kind == "voting":
        return _votes(_single(output), classes, size)
    if kind == "levels":
        return _levels(output, classes, size), None
    if kind == "grid":
        return _grid(output, classes, size), None
    return _regions(output, classes, size, tops)


def _single(m: Tensor) -> np.ndarray:
    """(C, h, w) float64 of a map (1, C, h, w), as float32 holds it: so maps are read."""
    return m[0].float().double().numpy()


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _cut(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    out = boxes.copy()
    for column, most in ((0, size[1]), (1, size[0]), (2, size[1]), (3, size[0])):
        out[:, column] = np.clip(out[:, column], 0, most)
    return out


def _peaks(m: np.ndarray, classes: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, 6), best first, and their cells (n, 2): no neighbour of its class is higher, of equals the first is."""
    rows, cells = [], []
    for k in range(classes):
        heat = np.round(m[k] * 1024)  # what differs by less than a thousandth is equal
        h, w = heat.shape
        around = np.full((h + 2, w + 2), -np.inf)
        around[1:-1, 1:-1] = heat
        top = np.ones((h, w), dtype=bool)
        for dr in (-1, 0, 1):
            for dc in (-1, 0, 1):
                other = around[1 + dr : h + 1 + dr, 1 + dc : w + 1 + dc]
                if (dr, dc) < (0, 0):
                    top &= heat > other
                elif (dr, dc) > (0, 0):
                    top &= heat >= other
        top &= _sigmoid(m[k]) >= LISTED
        for r, c in np.argwhere(top):
            x, y = 4 * c + 2, 4 * r + 2
            left, up, right, down = m[classes : classes + 4, r, c]
            rows.append([k, _sigmoid(m[k, r, c]), x - left, y - up, x + right, y + down])
            cells.append([r, c])
    table = np.array(rows).reshape(-1, 6)
    order = np.argsort(-table[:, 1], kind="stable")
    table[:, 2:] = _cut(table[:, 2:], size)
    return table[order], np.array(cells, dtype=int).reshape(-1, 2)[order]


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of boxes (n, 4) with boxes (m, 4)."""
    x = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0])
    y = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1])
    both = np.where((x > 0) & (y > 0), x * y, 0.0)
    area = [(q[:, 2] - q[:, 0]) * (q[:, 3] - q[:, 1]) for q in (a, b)]
    union = area[0][:, None] + area[1] - both
    return np.where(union > 0, both / np.where(union > 0, union, 1), 0.0)


def _best(rows: np.ndarray, above: float) -> np.ndarray:
    """Of rows (n, 6) those that no better one of their class, that stays, overlaps by more than `above`."""
    kept = []
    for k in np.unique(rows[:, 0]):
        left = rows[rows[:, 0] == k]
        left = left[np.argsort(-np.round(left[:, 1] * 4096), kind="stable")]
        while len(left):
            kept.append(left[0])
            left = left[1:][_iou(left[:1, 2:], left[1:, 2:])[0] <= above]
    return np.array(kept).reshape(-1, 6)


def _levels(output: Any, classes: int, size: tuple[int, int]) -> np.ndarray:
    rows = [np.zeros((0, 6))]
    for made, stride in zip(output.maps, output.strides, strict=True):
        m = _single(made)
        for k in range(classes):
            score = np.sqrt(_sigmoid(m[k]) * _sigmoid(m[classes + 4]))
            r, c = np.nonzero(score >= LISTED)
            x, y = (c + 0.5) * stride, (r + 0.5) * stride
            left, up, right, down = m[classes : classes + 4, r, c]
            rows.append(np.stack([np.full(len(r), k), score[r, c], x - left, y - up, x + right, y + down], 1))  # fmt: skip
    table = np.concatenate(rows)
    table[:, 2:] = _cut(table[:, 2:], size)
    return _best(table, 0.6)


def _grid(output: Any, classes: int, size: tuple[int, int]) -> np.ndarray:
    m, stride, many = _single(output.map), output.stride, output.boxes
    rows = [np.zeros((0, 6))]
    for k in range(classes):
        for b in range(many):
            x, y, w, h, sure = m[5 * b : 5 * b + 5]
            score = np.clip(sure, 0, 1) * np.clip(m[5 * many + k], 0, 1)
            r, c = np.nonzero(score >= LISTED)
            across, down = (c + x[r, c]) * stride, (r + y[r, c]) * stride
            wide, high = (v[r, c] ** 2 * 8 * stride / 2 for v in (w, h))
            boxes = across - wide, down - high, across + wide, down + high
            rows.append(np.stack([np.full(len(r), k), score[r, c], *boxes], 1))
    table = np.concatenate(rows)
    table[:, 2:] = _cut(table[:, 2:], size)
    return _best(table, 0.5)


def _votes(m: np.ndarray, classes: int, size: tuple[int, int]) -> Found:
    """Every pixel of the image is asked, for every object, whether it is that object's."""
    rows, _ = _peaks(m[: classes + 4], classes, size)
    h, w = m.shape[1:]
    logits = np.zeros((4 * h, 4 * w))
    aim = np.zeros((2, 4 * h, 4 * w))
    for r in range(4):
        for c in range(4):
            logits[r::4, c::4] = m[classes + 4 + 4 * r + c]
            square = 2 * (r // 2) + c // 2
            columns, lines = np.meshgrid(np.arange(w), np.arange(h))
            aim[0, r::4, c::4] = m[classes + 20 + square] + 4 * columns + 2 * (c // 2) + 1
            aim[1, r::4, c::4] = m[classes + 24 + square] + 4 * lines + 2 * (r // 2) + 1
    logits, aim = logits[: size[0], : size[1]], aim[:, : size[0], : size[1]]
    centres = (rows[:, 2:4] + rows[:, 4:6]) / 2
    sides = rows[:, 4:6] - rows[:, 2:4]
    overlaps = _iou(rows[:, 2:], rows[:, 2:])
    made, masks = [], []
    for i, row in enumerate(rows):
        reach = max(0.35 * sides[i].max(), 4.0)
        grown = sides[i] / 8 + 2
        low, high = row[2:4] - grown, row[4:6] + grown
        # The cells around the box, whole ones.
        left, top = (max(4 * int(np.floor(v / 4)), 0) for v in low)
        right, bottom = (4 * int(np.ceil(v / 4)) for v in high)
        part = (slice(top, max(bottom, 0)), slice(left, max(right, 0)))
        x, y = aim[0][part], aim[1][part]
        own = np.sqrt((x - centres[i, 0]) ** 2 + (y - centres[i, 1]) ** 2)
        mine = (logits[part] > 0) & (own <= reach)
        for j in np.flatnonzero((rows[:, 1] >= 0.35) & (overlaps[i] < 0.4)):
            if j == i or np.abs(centres[j] - centres[i]).max() > 2 * reach:
                continue
            other = np.sqrt((x - centres[j, 0]) ** 2 + (y - centres[j, 1]) ** 2)
            mine &= (own < other) if j < i else (own <= other)
        if not mine.any():
            continue
        mask = np.zeros(size, dtype=bool)
        mask[part] = mine
        r, c = np.nonzero(mask)
        clear = _sigmoid(logits[mask]).mean()
        made.append([row[0], row[1] * clear, c.min(), r.min(), c.max() + 1, r.max() + 1])
        masks.append(mask)
    return np.array(made).reshape(-1, 6), masks


def _regions(output: Any, classes: int, size: tuple[int, int], tops: int) -> Found:
    """Two passes with torchvision's anchors, box coder, level mapper, RoIAlign and way of laying masks."""
    boxes, scores = [], []
    coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
    for made, stride in zip(output.proposals, output.strides, strict=True):
        m = made[0].float()
        h, w = m.shape[1:]
        base = AnchorGenerator().generate_anchors([8 * stride], [0.5, 1.0, 2.0]).round().double()
        y, x = torch.meshgrid(torch.arange(h) * stride, torch.arange(w) * stride, indexing="ij")
        corner = torch.stack([x, y, x, y], -1)[:, :, None].double()
        anchors = (corner + base).reshape(-1, 4)  # row by row, the three of a cell together
        logits = m[:3].permute(1, 2, 0).reshape(-1)
        numbers = m[3:].reshape(3, 4, h, w).permute(2, 3, 0, 1).reshape(-1, 4).double()
        best = (logits * 1024).round().argsort(descending=True, stable=True)[:tops]
        some = coder.decode_single(numbers[best], anchors[best])
        some = clip_boxes_to_image(some, size)
        large = ((some[:, 2:] - some[:, :2]) >= 1e-3).all(1)
        some, value = some[large], (logits[best][large].double() * 4096).round()
        stay = nms(some, value, 0.7)
        boxes.append(some[stay])
        scores.append(value[stay])
    regions, values = torch.cat(boxes), torch.cat(scores)
    regions = regions[values.argsort(descending=True, stable=True)[:tops]]
    logits, numbers = output.box(_aligned(output, regions, 7))
    sure = logits.double().softmax(1)
    moved = BoxCoder((10.0, 10.0, 5.0, 5.0)).decode(numbers.double().flatten(1), [regions])
    rows = [np.zeros((0, 7))]
    for k in range(1, classes + 1):
        cut = clip_boxes_to_image(moved[:, k], size)
        good = (sure[:, k] > LISTED) & ((cut[:, 2:] - cut[:, :2]) >= 1e-2).all(1)
        cut, score = cut[good], sure[good, k]
        stay = nms(cut, (score * 4096).round(), 0.5)
        place = torch.nonzero(good)[
            stay
        ].double()  # of equals the likelier proposal's box comes first
        table = torch.cat([torch.full((len(stay), 1), k - 1.0), score[stay, None], cut[stay], place], 1)  # fmt: skip
        rows.append(table.numpy())
    table = np.concatenate(rows)
    table = table[np.lexsort((table[:, 0], table[:, 6], -np.round(table[:, 1] * 4096)))[:100], :6]
    if output.mask is None or not len(table):
        return table, None if output.mask is None else []
    final = torch.from_numpy(table[:, 2:])
    probabilities = output.mask(_aligned(output, final, 14)).float().sigmoid()
    own = probabilities[torch.arange(len(table)), torch.from_numpy(table[:, 0]).long() + 1]
    pasted = paste_masks_in_image(own[:, None], final, size)[:, 0] > 0.5
    masks = list(pasted.numpy())
    for mask, box in zip(masks, table[:, 2:], strict=True):
        if not mask.any():  # the middle of its box then
            x, y = (box[:2] + box[2:]) / 2
            mask[min(int(y), size[0] - 1), min(int(x), size[1] - 1)] = True
    return table, masks


def _aligned(output: Any, boxes: Tensor, side: int) -> Tensor:
    levels = LevelMapper(2, 5)([boxes])
    made = torch.zeros(len(boxes), output.features[0].shape[1], side, side)
    for k, features in enumerate(output.features):
        here = torch.nonzero(levels == k)[:, 0]
        rois = torch.cat([torch.zeros(len(here), 1), boxes[here].float()], 1)
        made[here] = roi_align(features.float(), rois, side, 1 / output.strides[k], 2)
    return made
