"""Reach: which objects a detector can find at all, from its geometry and the boxes alone, before a step is taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.findings import Finding, Table
from striate.tasks.detect.objects import Objects
from striate.wording import counted, percent

EXACT = 16  # cells of a group that touch one another, up to which the most that stand apart are counted exactly


@dataclass(frozen=True)
class Reach:
    """Of `objects`, crowds left out: how many share a peak's place with another one of their class, are smaller than a cell,
    and larger than what a cell sees.

    A cell is a peak where none of the eight around it is higher, so that of objects of one class whose centres lie in the
    same or in touching cells only one can be found where its centre is.
    """

    objects: int
    sharing: int
    tiny: int
    larger: int

    @property
    def recall(self) -> float:
        """The best recall with every object's peak at its centre, a fraction in [0, 1]; 1 without objects."""
        return 1 - self.sharing / self.objects if self.objects else 1.0


def reach_of(images: Iterable[Objects], stride: int, field: int | None, *, scale: float = 1.0) -> Reach:  # fmt: skip
    """What a map with a cell every `stride` pixels can find in images that are enlarged `scale` times.

    field: pixels that a cell sees along an axis; None: the whole image.
    """
    total = sharing = tiny = larger = 0
    for objects in images:
        regular = objects.take(~objects.crowd)
        sides = regular.sides * scale
        total += len(regular)
        tiny += int((sides.min(1) < stride).sum())
        larger += 0 if field is None else int((sides.max(1) > field).sum())
        cells = np.floor((regular.boxes[:, :2] + regular.boxes[:, 2:]) / 2 * scale / stride)
        for label in np.unique(regular.labels):
            sharing += _crowded(cells[regular.labels == label].astype(np.int64))
    return Reach(total, sharing, tiny, larger)


def _crowded(cells: np.ndarray) -> int:
    """How many of the cells (n, 2) must be given up at least so that no two of the rest touch."""
    nodes = [tuple(c) for c in np.unique(cells, axis=0).tolist()]
    present = set(nodes)
    near = {
        (x, y): {(x + dx, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)} & present - {(x, y)}
        for x, y in nodes
    }
    kept = 0
    left = present.copy()
    while left:
        group, edge = set[Any](), {left.pop()}
        while edge:
            group |= edge
            edge = {other for cell in edge for other in near[cell]} - group
        left -= group
        kept += _apart(frozenset(group), near) if len(group) <= EXACT else _at_most(group)
    return len(cells) - kept


def _apart(group: frozenset[Any], near: dict[Any, set[Any]]) -> int:
    """The most cells of a group of which no two touch: with the cell that touches most, or without it."""
    if len(group) <= 1:
        return len(group)
    cell = max(group, key=lambda c: (len(near[c] & group), c))
    if not near[cell] & group:
        return len(group)
    return max(_apart(group - {cell}, near), 1 + _apart(group - {cell} - near[cell], near))


def _at_most(group: set[Any]) -> int:
    """No more cells of a large group can stand apart: of each square of 2 x 2, one."""
    return min(
        len({((x + dx) // 2, (y + dy) // 2) for x, y in group}) for dx in (0, 1) for dy in (0, 1)
    )


def sentence(images: list[Objects], stride: int, field: int | None) -> str:
    """What limits the recall, and what would lift it; nothing where nothing does."""
    now = reach_of(images, stride, field)
    parts = []
    if now.sharing:
        twice = reach_of(images, stride, field, scale=2.0)
        parts.append(
            f"at best {percent(now.recall)} of the objects can be found: {counted(now.sharing, 'object')} lie so close to "
            "another one of their class that both share a peak; images of twice the size (`--set enlarge=2`) would lift it "
            f"to {percent(twice.recall)}"
        )
    if now.tiny > 0.01 * now.objects:
        parts.append(
            f"{percent(now.tiny / now.objects)} of the objects are smaller than a cell of {stride} pixels; enlarge "
            "the images (`--set enlarge=2`)"
        )
    if now.larger > 0.01 * now.objects:
        parts.append(
            f"{percent(now.larger / now.objects)} of the objects are larger than the {field} pixels that the network sees; "
            "reduce the images (`--set longest=`), or take a deeper network"
        )
    return "; ".join(parts)


def reach(images: list[Objects], stride: int, field: int | None) -> Finding:
    """The best recall that this network can reach on these boxes, at this and other sizes of the images."""
    now = reach_of(images, stride, field)
    rows = tuple(
        (f"{scale:g} times", r.recall, r.sharing, r.tiny, None if field is None else r.larger)
        for scale in (0.5, 1.0, 2.0, 4.0)
        for r in (reach_of(images, stride, field, scale=scale),)
    )
    why = sentence(images, stride, field)
    return Finding(
        name="reach",
        title="What it can find at all",
        verdict=f"The geometry of this network lets it find {percent(now.recall)} of {counted(now.objects, 'object')}"
        + (f": {why}." if why else "; nothing in it stands in the way."),
        status="warning" if now.recall < 0.98 or now.larger > 0.05 * now.objects else "good",
        tables=(
            Table(
                columns=("images enlarged", "best recall", "sharing a peak", "smaller than a cell", "larger than it sees"),
                rows=rows,
                formats=("", ".2%", ",", ",", ","),
                caption=(
                    f"A cell every {stride} pixels"
                    + ("" if field is None else f", which sees {field} pixels each way")
                    + ". Of objects of a class whose centres lie in touching cells, one is found."
                ),
            ),
        ),
        data={"recall": now.recall, "objects": now.objects, "sharing": now.sharing, "tiny": now.tiny, "larger": now.larger,
              "receptive_field": field, "stride": stride},
    )  # fmt: skip
