"""Joins: concatenations along the channels that grow out of each other share one canvas.

DenseNet puts the features of all earlier layers side by side before each layer. Written as it is traced, each
concatenation copies all of them again. Here the largest one is allocated once, each new part is written into its
channels, and the smaller ones are views of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from striate.geometry import Geometry, Record
from striate.geometry.index_map import All
from striate.geometry.layout import BATCH, axis_atom
from striate.geometry.rules.pointwise import Concatenate


@dataclass(slots=True)
class Family:
    """Concatenations that grow out of each other. top: the value of the largest; members in their order."""

    key: int  # under which the canvas is kept, negative
    members: list[int] = field(default_factory=list)

    @property
    def top(self) -> int:
        """The value that holds all channels."""
        return self.members[-1]


@dataclass(frozen=True, slots=True)
class Join:
    """One concatenation. parts: what is added: (value, its first channel, the channel after its last).

    previous: the member that it grows out of, None for the first of its family. channels: how many it holds.
    """

    family: Family
    previous: int | None
    parts: tuple[tuple[int, int, int], ...]
    channels: int


def joins(geometry: Geometry, live: Sequence[Record]) -> dict[int, Join]:
    """The concatenations that can share a canvas, by record."""
    values = geometry.values
    joins_by_value: dict[int, Join] = {}
    by_inputs: dict[tuple[int, ...], int] = {}  # what was put side by side -> the value
    families: dict[int, Family] = {}  # of the value that may still grow
    for record in live:
        if not _along_channels(geometry, record):
            continue
        previous, rest = None, record.inputs
        # It grows out of a concatenation that is its first input, or of the longest one that begins with the same inputs. A
        # canvas has room behind its last member alone, so each member is grown out of once.
        if record.inputs[0] in families:
            previous, rest = record.inputs[0], record.inputs[1:]
        else:
            for n in range(len(record.inputs) - 1, 0, -1):
                earlier = by_inputs.get(record.inputs[:n])
                if earlier is not None and earlier in families:
                    previous, rest = earlier, record.inputs[n:]
                    break
        if previous is None:
            family, at = Family(-1 - record.index), 0
        else:
            family, at = families.pop(previous), values[previous].shape[1]
        parts = []
        for v in rest:
            parts.append((v, at, at + values[v].shape[1]))
            at += values[v].shape[1]
        family.members.append(record.output)
        families[record.output] = family
        by_inputs.setdefault(record.inputs, record.output)
        joins_by_value[record.index] = Join(family, previous, tuple(parts), at)
    return joins_by_value


def _along_channels(geometry: Geometry, record: Record) -> bool:
    """A concatenation of images (N, C, *axes) along C."""
    plan, values = record.plan, geometry.values
    if not isinstance(plan, Concatenate) or plan.axis is not None or plan.dim != 1:
        return False
    axes = tuple((axis_atom(k),) for k in range(geometry.axes))
    if any(plan.aligned) or len(set(record.inputs)) < len(record.inputs):
        return False
    out = values[record.output]
    return all(
        values[i].varies and values[i].dtype == out.dtype and values[i].layout[0] == (BATCH,)
        and values[i].layout[2:] == axes and values[i].shape[2:] == out.shape[2:]
        for i in record.inputs
    ) and not any(isinstance(r, All) for link in record.links for r in link.relations)  # fmt: skip
