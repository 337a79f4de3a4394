"""Reach: which objects a detector can find at all, from its geometry and the boxes alone, before a step is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.findings import Finding, Table
from striate.tasks.detect.boxes import overlapping
from striate.tasks.detect.objects import Objects
from striate.wording import counted, percent

Near = dict[Any, set[Any]]  # for each node those that exclude it

EXACT = 16  # cells of a group that touch one another, up to which the most that stand apart are counted exactly


@dataclass(frozen=True)
class Sight:
    """What limits a kind of detector before it learns.

    levels: (stride, field, longest) of each map, the finest first: pixels between two cells; pixels that a cell sees along
    an axis, None where it sees the whole image; the longest side of the objects that this map answers for. lost: of the
    objects of some images, crowds left out, how many cannot be found at best. heading, why, caption: the reason, as the
    heading of a column, as the end of "3 objects ...", and as a sentence.
    """

    levels: tuple[tuple[int, int | None, float], ...]
    lost: Callable[[Sequence[Objects]], int]
    heading: str
    why: str
    caption: str

    def excludes(self, pair: Objects) -> bool:
        """Whether of two objects of an image only one can be found, each of which could be found alone."""
        return self.lost([pair]) > sum(self.lost([pair.take([i])]) for i in (0, 1))

    @property
    def stride(self) -> int:
        """Pixels between two cells of the finest map."""
        return self.levels[0][0]

    @property
    def field(self) -> int | None:
        """What a cell of the last map sees, in pixels; None: the whole image."""
        return self.levels[-1][1]

    def larger(self, sides: np.ndarray) -> int:
        """How many objects, by their longer sides (n,) in pixels, are larger than what a cell of their map sees."""
        count, shortest = 0, -np.inf
        for _, field, longest in self.levels:
            here = (sides >= shortest) & (sides < longest)
            count += 0 if field is None else int((here & (sides > field)).sum())
            shortest = longest
        return count


@dataclass(frozen=True)
class Reach:
    """Of `objects`, crowds left out: how many are lost to another one (or have no cell, see `Sight`), are smaller than a
    cell, and larger than what a cell sees.
    """

    objects: int
    lost: int
    tiny: int
    larger: int

    @property
    def recall(self) -> float:
        """The best recall, a fraction in [0, 1]; 1 without objects."""
        return 1 - self.lost / self.objects if self.objects else 1.0


def reach_of(images: Iterable[Objects], sight: Sight, *, scale: float = 1.0) -> Reach:
    """What a detector can find in images that are enlarged `scale` times."""
    some = []
    total = tiny = larger = 0
    for objects in images:
        regular = objects.take(~objects.crowd)
        if not len(regular):
            continue
        scaled = Objects.of(regular.boxes * scale, regular.labels)
        some.append(scaled)
        total += len(scaled)
        tiny += int((scaled.sides.min(1) < sight.stride).sum())
        larger += sight.larger(scaled.sides.max(1))
    return Reach(total, sight.lost(some) if some else 0, tiny, larger)


def given_up(cells: np.ndarray) -> int:
    """How many of the cells (n, 2) must be given up at least so that no two of the rest are the same or touch."""
    nodes = [tuple(c) for c in np.unique(cells, axis=0).tolist()]
    present = set(nodes)
    near = {
        (x, y): {(x + dx, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)} & present - {(x, y)}
        for x, y in nodes
    }
    return len(cells) - most_apart(near, _squares)


def most_apart(near: Near, bound: Callable[[set[Any], Near], int]) -> int:
    """The most nodes of which no two are near each other; in groups of more than 16 no more than `bound` says."""
    kept = 0
    left = set(near)
    while left:
        group, edge = set[Any](), {left.pop()}
        while edge:
            group |= edge
            edge = {other for node in edge for other in near[node]} - group
        left -= group
        kept += _apart(frozenset(group), near) if len(group) <= EXACT else bound(group, near)
    return kept


def _apart(group: frozenset[Any], near: Near) -> int:
    """The most nodes of a group of which no two touch: with the one that touches most, or without it."""
    if len(group) <= 1:
        return len(group)
    node = max(group, key=lambda c: (len(near[c] & group), c))
    if not near[node] & group:
        return len(group)
    return max(_apart(group - {node}, near), 1 + _apart(group - {node} - near[node], near))


def _squares(group: set[Any], near: Near) -> int:
    """No more cells of a large group can stand apart: of each square of 2 x 2, one."""
    return min(
        len({((x + dx) // 2, (y + dy) // 2) for x, y in group}) for dx in (0, 1) for dy in (0, 1)
    )


def _cliques(group: set[Any], near: Near) -> int:
    """No more nodes of a group can stand apart than it takes sets of nodes that are all near each other to cover it."""
    left, count = set(group), 0
    while left:
        node = min(left)
        left.remove(node)
        count += 1
        both = near[node] & left
        while both:
            other = min(both)
            left.remove(other)
            both = both & near[other]
    return count


def overlapped(images: Iterable[Objects], above: float) -> int:
    """How many objects must be given up so that of each class no two in an image overlap by an IoU above `above`."""
    count = 0
    for objects in images:
        labels = objects.labels
        pairs = [(i, j) for i, j in overlapping(objects.boxes, above) if labels[i] == labels[j]]
        if pairs:
            near: Near = {i: set() for pair in pairs for i in pair}
            for i, j in pairs:
                near[i].add(j)
                near[j].add(i)
            count += len(near) - most_apart(near, _cliques)
    return count


def sentence(images: list[Objects], sight: Sight) -> str:
    """What limits the recall, and what would lift it; nothing where nothing does."""
    now = reach_of(images, sight)
    parts = []
    if now.lost:
        twice = reach_of(images, sight, scale=2.0)
        parts.append(
            f"at best {percent(now.recall)} of the objects can be found: {counted(now.lost, 'object')} {sight.why}"
            + (
                f"; images of twice the size (`--set enlarge=2`) would lift it to {percent(twice.recall)}"
                if twice.recall > now.recall
                else ""
            )
        )
    if now.tiny > 0.01 * now.objects:
        parts.append(
            f"{percent(now.tiny / now.objects)} of the objects are smaller than a cell of {sight.stride} pixels; enlarge "
            "the images (`--set enlarge=2`)"
        )
    if now.larger > 0.01 * now.objects:
        fields = _listed([field for _, field, _ in sight.levels if field is not None])
        parts.append(
            f"{percent(now.larger / now.objects)} of the objects are larger than the {fields} pixels that their cell sees; "
            "reduce the images (`--set longest=`), or take a deeper network"
        )
    return "; ".join(parts)


def _listed(numbers: Sequence[int]) -> str:
    """Numbers as in "8, 16 and 32"."""
    return " and ".join(", ".join(map(str, numbers)).rsplit(", ", 1))


def reach(images: list[Objects], sight: Sight) -> Finding:
    """The best recall that this network can reach on these boxes, at this and other sizes of the images."""
    now = reach_of(images, sight)
    seen = [field for _, field, _ in sight.levels if field is not None]
    rows = tuple(
        (f"{scale:g} times", r.recall, r.lost, r.tiny, r.larger if seen else None)
        for scale in (0.5, 1.0, 2.0, 4.0)
        for r in (reach_of(images, sight, scale=scale),)
    )
    why = sentence(images, sight)
    strides, fields = _listed([stride for stride, _, _ in sight.levels]), _listed(seen)
    return Finding(
        name="reach",
        title="What it can find at all",
        verdict=f"The geometry of this network lets it find {percent(now.recall)} of {counted(now.objects, 'object')}"
        + (f": {why}." if why else "; nothing in it stands in the way."),
        status="warning" if now.recall < 0.98 or now.larger > 0.05 * now.objects else "good",
        tables=(
            Table(
                columns=("images enlarged", "best recall", sight.heading, "smaller than a cell", "larger than it sees"),
                rows=rows,
                formats=("", ".2%", ",", ",", ","),
                caption=(
                    f"A cell every {strides} pixels"
                    + (f", which sees {fields} pixels each way" if seen else "")
                    + f". {sight.caption}"
                ),
            ),
        ),
        data={"recall": now.recall, "objects": now.objects, "sharing": now.lost, "tiny": now.tiny, "larger": now.larger,
              "receptive_field": sight.field, "stride": sight.stride},
    )  # fmt: skip
