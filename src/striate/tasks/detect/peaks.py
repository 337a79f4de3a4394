"""Peaks: from a detector's map to objects, all at once, however large the map."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.tasks.detect.loss import boxes_of
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.ties import LOGIT, steps

STRIDE = 4  # pixels between two cells of a map
AT_ONCE = 2**24  # numbers of a map that are looked at together
LEAST = 0.05  # score below which nothing is listed, of any kind of detector


def peaks(
    maps: Tensor, classes: int, stride: int, *, size: tuple[int, int], most: int | None = None, least: float = LEAST
) -> Objects:  # fmt: skip
    """The objects of one image (height, width) from its map (K + 4, h, w), best first.

    A cell is an object of its class where none of the eight around it has a higher score; of equal neighbours, see `steps`,
    the first in reading order. Boxes are cut at the image's border. most: objects, all if None; of equal scores the first
    cell comes first. least: score.
    """
    return peaks_with_cells(maps, classes, stride, size=size, most=most, least=least)[0]


def peaks_with_cells(
    maps: Tensor, classes: int, stride: int, *, size: tuple[int, int], most: int | None = None, least: float = LEAST
) -> tuple[Objects, Tensor]:  # fmt: skip
    """As `peaks`, and where each object was read: (n, 3) class, row and column of its cell."""
    return _best(_peaks_of(maps, classes, least), stride, size, most)


def large_peaks(
    maps: np.ndarray, classes: int, stride: int, *, size: tuple[int, int], most: int | None = None, least: float = LEAST
) -> Objects:  # fmt: skip
    """As `peaks`, of a map (K + 4, h, w) that need not fit into memory: some rows at a time, one more on either side."""
    _, height, width = maps.shape
    rows = max(1, AT_ONCE // (width * len(maps)))
    parts = []
    for top in range(0, height, rows):
        first, last = max(top - 1, 0), min(top + rows + 1, height)
        band = torch.from_numpy(np.array(maps[:, first:last], dtype=np.float32))
        which, scores, edges = _peaks_of(band, classes, least)
        inside = (which[:, 1] + first >= top) & (which[:, 1] + first < top + rows)
        which = which + which.new_tensor([0, first, 0])
        parts.append((which[inside], scores[inside], edges[inside]))
    whole = tuple(torch.cat(column) for column in zip(*parts, strict=True))
    which, scores, edges = whole
    # As from one pass over the whole map: by class, then row by row.
    order = np.lexsort((which[:, 2].numpy(), which[:, 1].numpy(), which[:, 0].numpy()))
    return _best((which[order], scores[order], edges[order]), stride, size, most)[0]


def _peaks_of(maps: Tensor, classes: int, least: float) -> tuple[Tensor, Tensor, Tensor]:
    """(class, row, column) (n, 3) of each peak, its score (n,) and its distances (n, 4)."""
    heat = maps[:classes].float()
    whole = steps(heat, LOGIT)
    best = F.max_pool2d(whole[None], 3, 1, 1)[0]
    scores = heat.sigmoid()
    which = torch.nonzero((whole == best) & (scores >= least))
    which = which[first_of_equals(which, whole)]
    k, r, c = which.unbind(1)
    return which, scores[k, r, c], maps[classes:, r, c].T


def _best(
    found: tuple[Tensor, Tensor, Tensor], stride: int, size: tuple[int, int], most: int | None
) -> tuple[Objects, Tensor]:
    which, scores, edges = found
    order = scores.argsort(descending=True, stable=True)[:most]
    which, scores, edges = which[order], scores[order], edges[order]
    # In double precision: at 20,000 pixels float32 is exact to a thousandth of a pixel only.
    centres = (which[:, [2, 1]].double() + 0.5) * stride
    boxes = boxes_of(centres, edges.double()).cpu().numpy()
    boxes[:, 0::2] = boxes[:, 0::2].clip(0, size[1])
    boxes[:, 1::2] = boxes[:, 1::2].clip(0, size[0])
    made = Objects.of(boxes, which[:, 0].cpu().numpy(), scores=scores.double().cpu().numpy())
    return made, which


def first_of_equals(which: Tensor, heat: Tensor) -> Tensor:
    """(n,) bool: cells (n, 3) of a map (K, h, w) that no equal neighbour precedes in reading order."""
    keep = torch.ones(len(which), dtype=torch.bool, device=which.device)
    padded = F.pad(heat, (1, 1, 1, 1), value=float("-inf"))
    k, r, c = which.unbind(1)
    own = heat[k, r, c]
    for dr, dc in ((-1, -1), (-1, 0), (-1, 1), (0, -1)):
        keep &= padded[k, r + 1 + dr, c + 1 + dc] < own
    return keep
