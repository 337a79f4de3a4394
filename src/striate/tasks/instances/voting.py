"""Voting: which pixels belong to which object, decided once for the whole image, however its map was made."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial import cKDTree
from torch import Tensor

from striate.tasks.detect.boxes import overlap
from striate.tasks.detect.objects import Objects, Region
from striate.tasks.detect.peaks import LEAST, STRIDE, large_peaks, peaks
from striate.tasks.instances.pixels import Window

RIVAL = 0.35
"""Score from which on an object takes pixels from others."""

SAME = 0.4
"""Overlap of two boxes from which on they are guesses of one object and share its pixels."""

AROUND, MARGIN = 0.125, 2.0
"""How far beyond its box an object has pixels: of the box's side, and pixels."""

NEAR, NEAREST = 0.35, 4.0
"""How far from a centre a vote for it may fall: of the box's longer side, and pixels at least."""

TOGETHER = 512  # objects whose neighbours are looked for at once


def find_instances(
    maps: Tensor, classes: int, size: tuple[int, int], *, least: float = LEAST
) -> Objects:
    """The objects of one image (height, width) with their regions, from its map (K + BESIDE, h, w), best first."""
    found = peaks(maps[: classes + 4], classes, STRIDE, size=size, least=least)
    return voted(maps[classes + 4 :].numpy(), found, size)[0]


def find_large_instances(
    maps: np.ndarray, classes: int, size: tuple[int, int], *, least: float = LEAST
) -> Objects:
    """As `find_instances`, of a map (C, h, w) that need not fit into memory."""
    found = large_peaks(maps[: classes + 4], classes, STRIDE, size=size, least=least)
    return voted(maps[classes + 4 :], found, size)[0]


def voted(maps: np.ndarray, found: Objects, size: tuple[int, int]) -> tuple[Objects, np.ndarray]:
    """The objects with the pixels that vote for them, best first, and which of those found they are (n,); one that gets no
    pixel is left out.

    maps: (PIXELS + VOTES, h, w), see `PixelHead`. found: with their boxes, best first. A pixel of an object goes to the
    nearest centre that its vote falls near, of the object in question and of all that are sure enough to take it from that
    one. So each object has its pixels from the map and the list alone, and no more of the map is held than its surroundings.
    Its box is the one around them, and its score that of the peak times the mean probability of its pixels, by which a
    blurred mask comes after a clear one (Wang et al., "SOLOv2", 2020, section 3.4).
    """
    assert found.scores is not None
    boxes, sides = found.boxes, found.sides
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    reach = np.maximum(NEAR * sides.max(1, initial=0), NEAREST)
    around = sides * AROUND + MARGIN
    windows = np.concatenate([boxes[:, :2] - around, boxes[:, 2:] + around], 1)
    kept: list[int] = []
    regions: list[Region] = []
    scores: list[float] = []
    for i, rivals in enumerate(_rivals(found, centres, reach)):
        left, top, right, bottom = windows[i].tolist()
        window = Window(maps, (left, top, right, bottom), size)
        own = np.hypot(window.x - centres[i, 0], window.y - centres[i, 1])
        mine = (window.logits > 0) & (own <= reach[i])
        if mine.any() and len(rivals):
            votes = np.stack([window.x[mine], window.y[mine]], 1)
            mine[mine] = ~_taken(votes, own[mine], i, rivals, centres)
        if mine.any():
            kept.append(i)
            regions.append(Region.of(mine, top=window.top, left=window.left))
            clear = 1 / (1 + np.exp(-window.logits[mine].astype(np.float64)))
            scores.append(float(found.scores[i] * clear.mean()))
    order = np.argsort(-np.array(scores), kind="stable")
    made = Objects.of([r.box for r in regions], found.labels[kept], scores=scores, regions=regions)
    return made.take(order), np.array(kept, dtype=np.int64)[order]


def _taken(
    votes: np.ndarray, own: np.ndarray, i: int, rivals: np.ndarray, centres: np.ndarray
) -> np.ndarray:
    """(m,) whether votes (m, 2) for object i, so far from its centre, fall nearer to another one's."""
    taken = np.zeros(len(votes), dtype=bool)
    better, worse = centres[rivals[rivals < i]], centres[rivals[rivals > i]]
    # Of equal distances the better object, which stands first, has the pixel.
    if len(better):
        taken |= cKDTree(better).query(votes)[0] <= own
    if len(worse):
        taken |= cKDTree(worse).query(votes)[0] < own
    return taken


def _rivals(found: Objects, centres: np.ndarray, reach: np.ndarray) -> Iterator[np.ndarray]:
    """Of each object those that may take pixels from it: sure enough, and no other guess of the same object.

    A vote within reach of a centre is nearer to another one only where that lies within twice as far.
    """
    assert found.scores is not None
    sure = np.flatnonzero(found.scores >= RIVAL)
    for start in range(0, len(found), TOGETHER):
        mine = centres[start : start + TOGETHER]
        apart = ((mine[:, None] - centres[None, sure]) ** 2).sum(2)
        near = apart <= 4 * reach[start : start + TOGETHER, None] ** 2
        for i, row in enumerate(near, start):
            at = sure[row]
            yield at[(overlap(found.boxes[i : i + 1], found.boxes[at])[0] < SAME) & (at != i)]
