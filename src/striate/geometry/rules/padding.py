"""Padding of every kind, rolls and flips: each output position is one input position, or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from striate.geometry.index_map import Gather, Relation, Window
from striate.geometry.layout import BATCH, Dim, axis_of
from striate.geometry.plan import Plan, Result, Step
from striate.geometry.rules.site import Site, extents_of, kind_of, link_along


@dataclass(frozen=True, slots=True)
class Pad(Plan):
    """Constant padding; `pads` are (before, after) for each dimension, `axes` the axis of each or None."""

    pads: tuple[tuple[int, int], ...]
    axes: tuple[int | None, ...]
    value: float

    def run(self, step: Step) -> Tensor:
        flat: list[int] = []
        for (before, after), k in zip(reversed(self.pads), reversed(self.axes), strict=True):
            if k is not None:
                relation, side, need = self.links[0].relations[k], step.box[k], step.needs[0][k]
                assert isinstance(relation, Window)
                assert side is not None
                assert need is not None
                start, stop = relation.reach(side)
                before, after = need[0] - start, stop - need[1]
                if need[0] >= need[1]:
                    before, after = stop - start, 0
            flat += [before, after]
        x = step.tensors[0]
        return F.pad(x, flat, value=self.value) if any(flat) else x


def constant(site: Site) -> Result | None:
    """constant_pad_nd: a shift along each padded axis."""
    x = site.operands[0]
    ndim = len(x.shape)
    given = site.arg(1)
    pads = [(0, 0)] * ndim
    for i in range(len(given) // 2):
        pads[ndim - 1 - i] = (given[2 * i], given[2 * i + 1])
    layout: list[Dim] = []
    axes: list[int | None] = []
    relations: dict[int, Relation] = {}
    extents = list(x.extents)
    for d, dim in enumerate(x.layout):
        if pads[d] == (0, 0):
            layout.append(dim)
            axes.append(None)
        elif any(a < 0 for a in dim):
            if len(dim) > 1 or dim[0] == BATCH:
                return None
            k = axis_of(dim[0])
            # A window of one pixel: what hangs over the border is the constant. Negative padding cuts off.
            relations[k] = Window(x.shape[d], site.shape[d], 1, 1, 1, pads[d][0])
            extents[k] = site.shape[d]
            layout.append(dim)
            axes.append(k)
        else:
            layout.append((site.shape[d],))
            axes.append(None)
    result = tuple(extents)
    links = (link_along(x, result, relations),)
    kind = kind_of(links, any(n is not None for n in result))
    plan = Pad(links, kind, tuple(pads), tuple(axes), site.arg(2, 0, "value"))
    return Result(tuple(layout), result, plan)


@dataclass(frozen=True, slots=True)
class Move(Plan):
    """Positions picked along some axes: reflect and replicate padding, roll, flip."""

    axes: tuple[tuple[int, int], ...]  # (dimension, axis of the image)

    def run(self, step: Step) -> Tensor:
        x = step.tensors[0]
        for dim, k in self.axes:
            relation, side, need = self.links[0].relations[k], step.box[k], step.needs[0][k]
            assert isinstance(relation, Gather)
            assert side is not None
            assert need is not None
            # The crop holds the span of what is picked; a roll picks both ends, and then everything between.
            sources = relation.sources[side[0] : side[1]]
            if sources != tuple(range(need[0], need[1])):
                picks = x.new_tensor([s - need[0] for s in sources]).long()
                x = x.index_select(dim, picks)
        return x


def _move(site: Site, sources: dict[int, tuple[tuple[int, ...], int | None]]) -> Result | None:
    """A plan that picks `sources[dim]` along each dimension, all of which must be single axes."""
    x = site.operands[0]
    relations: dict[int, Relation] = {}
    extents = list(x.extents)
    axes = []
    for d, (picks, shift) in sources.items():
        dim = x.layout[d]
        if len(dim) != 1 or dim[0] >= 0 or dim[0] == BATCH:
            return None
        k = axis_of(dim[0])
        relations[k] = Gather(x.shape[d], len(picks), picks, shift)
        extents[k] = len(picks)
        axes.append((d, k))
    result = extents_of(x.layout, tuple(extents))
    links = (link_along(x, result, relations),)
    kind = kind_of(links, any(n is not None for n in result))
    return Result(x.layout, result, Move(links, kind, tuple(axes)))


def _reflected(n: int, before: int, after: int) -> tuple[int, ...]:
    period = 2 * (n - 1)
    pieces = []
    for o in range(-before, n + after):
        place = o % period if period else 0
        pieces.append(place if place < n else period - place)
    return tuple(pieces)


def _replicated(n: int, before: int, after: int) -> tuple[int, ...]:
    return tuple([min(max(o, 0), n - 1) for o in range(-before, n + after)])


def border(site: Site) -> Result | None:
    """reflection_pad and replication_pad: border positions read inside the image."""
    x = site.operands[0]
    pads = site.arg(1)
    pick = _reflected if site.op.startswith("reflection") else _replicated
    sources: dict[int, tuple[tuple[int, ...], int | None]] = {}
    for i in range(len(pads) // 2):
        d = len(x.shape) - 1 - i
        before, after = pads[2 * i], pads[2 * i + 1]
        if before or after:
            sources[d] = (pick(x.shape[d], before, after), before)
    return _move(site, sources)


@dataclass(frozen=True, slots=True)
class Untracked(Plan):
    """The call as it is: only dimensions without positions are touched."""

    def run(self, step: Step) -> Tensor:
        return step.call(step.tensors)


def _plain(site: Site, dims: set[int]) -> Result | None:
    x = site.operands[0]
    if any(a < 0 for d in dims for a in x.layout[d]):
        return None
    links = (link_along(x, x.extents),)
    return Result(
        x.layout, x.extents, Untracked(links, kind_of(links, any(n is not None for n in x.extents)))
    )


def roll(site: Site) -> Result | None:
    """roll along axes of the image wraps round."""
    x = site.operands[0]
    ndim = len(x.shape)
    shifts, dims = site.arg(1), site.arg(2, (), "dims")
    if not dims:
        return None
    result = _plain(site, {d % ndim for d in dims})
    if result is not None:
        return result
    moved: dict[int, int] = {}
    for shift, d in zip(shifts, dims, strict=True):  # a dimension may be named twice
        moved[d % ndim] = moved.get(d % ndim, 0) + shift
    return _move(
        site,
        {
            d: (tuple([(o - s) % x.shape[d] for o in range(x.shape[d])]), s)
            for d, s in moved.items()
        },
    )


def flip(site: Site) -> Result | None:
    """flip: the axis runs backwards."""
    x = site.operands[0]
    ndim = len(x.shape)
    dims = {d % ndim for d in site.arg(1)}
    result = _plain(site, dims)
    if result is not None:
        return result
    return _move(site, {d: (tuple(range(x.shape[d] - 1, -1, -1)), None) for d in dims})


RULES: dict[str, Callable[[Site], Result | None]] = {
    "constant_pad_nd": constant,
    **dict.fromkeys(
        ("reflection_pad1d", "reflection_pad2d", "reflection_pad3d",
         "replication_pad1d", "replication_pad2d", "replication_pad3d"),
        border,
    ),
    "roll": roll,
    "flip": flip,
}  # fmt: skip
