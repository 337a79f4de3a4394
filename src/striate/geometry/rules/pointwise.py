"""Pointwise operations with broadcasting, and concatenation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from striate.geometry.index_map import Relation, Window
from striate.geometry.layout import BATCH, Dim, axis_atom, axis_of, plain
from striate.geometry.plan import Kind, Plan, Result, Step, align
from striate.geometry.record import Link
from striate.geometry.rules.site import (
    Operand,
    Site,
    everything,
    extents_of,
    kind_of,
    same,
)

Aligned = tuple[tuple[int, int], ...]  # (dimension of the operand, dimension of the output)


def lined_up(step: Step, tensors: tuple[Tensor, ...], aligned: tuple[Aligned, ...]) -> list[Tensor]:
    """Operands with their untracked tables of positions cut to the box."""
    padded = list(tensors)
    for i, places in enumerate(aligned):
        for dim, out_dim in places:
            atoms = step.out.layout[out_dim]
            padded[i] = align(padded[i], dim, atoms, step.out.extents, step.box, step.batch)
    return padded


@dataclass(frozen=True, slots=True)
class Pointwise(Plan):
    """Each output position from the same position of each input."""

    aligned: tuple[Aligned, ...]

    def run(self, step: Step) -> Tensor:
        return step.call(lined_up(step, step.tensors, self.aligned))


def pointwise(site: Site) -> Result | None:
    """Broadcast the operands' layouts against each other, from the last dimension."""
    ndim = len(site.shape)
    operands = site.operands
    if len(operands) == 1 and operands[0].shape == site.shape:
        only = operands[0]
        link = Link(tuple([None if n is None else same(n) for n in only.extents]))
        kind: Kind = "local" if any(n is not None for n in only.extents) else "whole"
        return Result(only.layout, only.extents, Pointwise((link,), kind, ((),)))
    return None if strays(site) else broadcast(site, ndim)


def strays(site: Site) -> bool:
    """Whether the images of two operands lie along different dimensions: each then meets the others.

    A batch of one image could stand anywhere, and meets nothing.
    """
    held = {
        d - len(o.layout) for o in site.operands for d, dim in enumerate(o.layout) if BATCH in dim
    }
    return site.batch > 1 and len(held) > 1


def broadcast(site: Site, ndim: int, skip: int | None = None) -> Result:
    """The layout of a broadcast; dimension `skip` (of a concatenation) stays plain."""
    operands = site.operands
    layout: list[Dim] = list(plain(site.shape))
    used: set[int] = set()
    for d in range(ndim):
        if d == skip:
            continue
        for o in operands:
            place = d - ndim + len(o.shape)
            if place < 0 or o.shape[place] != site.shape[d]:
                continue
            dim = o.layout[place]
            tracked = {a for a in dim if a < 0}
            if tracked and not tracked & used:
                layout[d] = dim
                used |= tracked
                break
    extents = extents_of(tuple(layout), *_aligned_extents(site, layout, ndim))
    made: dict[Any, tuple[Link, Aligned]] = {}  # most parts of a concatenation are alike
    kinds = [(o.layout, o.shape, o.extents) for o in operands]
    for o, alike in zip(operands, kinds, strict=True):
        if alike in made:
            continue
        shift = ndim - len(o.shape)
        strange = {
            p + shift for p in range(len(o.layout)) if not fits(o, p, layout[p + shift], extents)
        }
        relations: list[Relation | None] = []
        for k, n in enumerate(o.extents):
            if n is None:
                relations.append(None)
                continue
            atom = axis_atom(k)
            place = next(p for p, dim in enumerate(o.layout) if atom in dim)
            alone = place + shift in strange
            relations.append(everything(n, extents[k]) if alone else same(n))
        aligned = tuple([
            (p, p + shift)
            for p in range(len(o.layout))
            if any(a < BATCH for a in layout[p + shift])
            and p + shift in strange
            and o.shape[p] == site.shape[p + shift]
            and o.shape[p] > 1
        ])  # fmt: skip
        made[alike] = Link(tuple(relations)), aligned
    links, places = tuple([made[k][0] for k in kinds]), tuple([made[k][1] for k in kinds])
    spatial = any(n is not None for n in extents)
    return Result(tuple(layout), extents, Pointwise(links, kind_of(links, spatial), places))


def fits(o: Operand, place: int, dim: Dim, extents: tuple[int | None, ...]) -> bool:
    """Whether a dimension of an operand holds the output's `dim`: the same axes, as long as there.

    One row taken out of an image has the image's axes too, but stands for all rows of what it is subtracted from.
    """
    return o.layout[place] == dim and all(
        o.extents[axis_of(a)] == extents[axis_of(a)] for a in dim if a < BATCH
    )


def _aligned_extents(site: Site, layout: list[Dim], ndim: int) -> list[tuple[int | None, ...]]:
    """The extents of the operands, of those first whose dimension was taken."""
    aligned: list[tuple[int | None, ...]] = []
    for k in range(site.axes):
        atom = axis_atom(k)
        for o in site.operands:
            shift = ndim - len(o.shape)
            if any(
                atom in dim and layout[p + shift] == dim and o.shape[p] == site.shape[p + shift]
                for p, dim in enumerate(o.layout)
            ):
                aligned.append(tuple(n if j == k else None for j, n in enumerate(o.extents)))
                break
    return aligned or [(None,) * site.axes]


@dataclass(frozen=True, slots=True)
class Concatenate(Plan):
    """Inputs side by side along an untracked dimension, or along an axis of the image."""

    dim: int
    axis: int | None
    aligned: tuple[Aligned, ...]
    mixes_batch: bool = False

    def run(self, step: Step) -> Tensor:
        tensors = lined_up(step, step.tensors, self.aligned)
        parts = []
        for i, tensor in enumerate(tensors):
            if self.axis is not None:
                side = step.box[self.axis]
                relation = self.links[i].relations[self.axis]
                assert side is not None
                if relation is None:  # an operand without positions, a border of constants
                    relation = self.offsets(step)[i]
                    want = relation.pull(side)
                    tensor = tensor.narrow(self.dim, want[0], want[1] - want[0])
                elif relation.pull(side)[0] >= relation.pull(side)[1]:
                    continue
            shape = [step.size(dim) for dim in step.out.layout]
            shape[self.dim] = tensor.shape[self.dim]
            parts.append(tensor.expand(shape))
        return torch.cat(parts, self.dim)

    def offsets(self, step: Step) -> list[Window]:
        """Where each operand lies along the axis."""
        assert self.axis is not None
        total = step.out.extents[self.axis]
        assert total is not None
        offsets, at = [], 0
        for value in step.values:
            n = value.shape[self.dim]
            offsets.append(Window(n, total, 1, 1, 1, at))
            at += n
        return offsets


def concatenate(site: Site) -> Result | None:
    """cat: along channels pointwise in space; along an axis each operand is shifted; else everything is needed."""
    ndim = len(site.shape)
    dim = site.arg(1, 0, "dim") % ndim
    operands = site.operands
    if any(len(o.shape) != ndim for o in operands):
        return None
    base = broadcast(site, ndim, skip=dim)
    plan = base.plan
    assert isinstance(plan, Pointwise)
    held = {o.layout[dim] for o in operands if any(a < 0 for a in o.layout[dim])}
    if not held:
        return Result(
            base.layout, base.extents, Concatenate(plan.links, plan.kind, dim, None, plan.aligned)
        )
    only = next(iter(held))
    if len(held) > 1 or len(only) != 1 or only[0] == BATCH:
        images = any(BATCH in o.layout[dim] for o in operands)
        return Result(
            base.layout,
            base.extents,
            Concatenate(plan.links, plan.kind, dim, None, plan.aligned, images),
        )
    k = axis_of(only[0])
    n_out = site.shape[dim]
    layout = tuple([only if d == dim else x for d, x in enumerate(base.layout)])
    extents = tuple([n_out if j == k else n for j, n in enumerate(base.extents)])
    links, at = [], 0
    for o, link in zip(operands, plan.links, strict=True):
        relations = list(link.relations)
        if o.extents[k] is not None and o.layout[dim] == only:
            relations[k] = Window(o.shape[dim], n_out, 1, 1, 1, at)
        links.append(Link(tuple(relations)))
        at += o.shape[dim]
    aligned = tuple([tuple([(p, q) for p, q in a if q != dim]) for a in plan.aligned])
    return Result(layout, extents, Concatenate(tuple(links), kind_of(links, True), dim, k, aligned))


@dataclass(frozen=True, slots=True)
class Copy(Plan):
    """The second input, broadcast to the shape and in the kind of number of the first."""

    aligned: tuple[Aligned, ...]

    def run(self, step: Step) -> Tensor:
        tensors = lined_up(step, step.tensors, self.aligned)
        shape = [step.size(dim) for dim in step.out.layout]
        return tensors[1].to(step.out.dtype).expand(shape)


def copy(site: Site) -> Result | None:
    """copy_: what was there before does not matter."""
    if len(site.operands) != 2:
        return None
    base = broadcast(site, len(site.shape))
    plan = base.plan
    assert isinstance(plan, Pointwise)
    return Result(base.layout, base.extents, Copy(plan.links, plan.kind, plan.aligned))


def stack(site: Site) -> Result | None:
    """stack: concatenation along a new dimension."""
    ndim = len(site.shape)
    dim = site.arg(1, 0, "dim") % ndim
    first = site.operands[0]
    if any((o.layout, o.extents) != (first.layout, first.extents) for o in site.operands):
        return None
    layout = (*first.layout[:dim], (site.shape[dim],), *first.layout[dim:])
    links = tuple(
        [Link(tuple([None if n is None else same(n) for n in o.extents])) for o in site.operands]
    )
    aligned: tuple[Aligned, ...] = tuple([() for _ in site.operands])
    return Result(layout, first.extents, Pointwise(links, kind_of(links, True), aligned))


@dataclass(frozen=True, slots=True)
class Channels(Plan):
    """Untracked dimensions mixed or halved, each position by itself."""

    def run(self, step: Step) -> Tensor:
        return step.call(step.tensors)


def channels(site: Site) -> Result | None:
    """glu along channels, channel_shuffle."""
    operand = site.operands[0]
    dim = 1 if site.op != "glu" else site.arg(1, -1, "dim") % len(operand.shape)
    if any(a < 0 for a in operand.layout[dim]):
        return None
    layout = (*operand.layout[:dim], (site.shape[dim],), *operand.layout[dim + 1 :])
    links = (Link(tuple([None if n is None else same(n) for n in operand.extents])),)
    kind = kind_of(links, any(n is not None for n in operand.extents))
    return Result(layout, operand.extents, Channels(links, kind))


RULES = {
    **dict.fromkeys(
        (
            "clone", "_to_copy", "detach", "alias", "lift_fresh", "lift_fresh_copy", "fill", "zero",
            "native_dropout", "bernoulli", "empty_like", "zeros_like", "ones_like", "full_like", "rand_like",
            "randn_like", "_prelu_kernel", "prelu", "contiguous", "nan_to_num", "masked_fill", "where", "hardswish",
            "hardtanh", "leaky_relu", "relu6", "gelu", "silu", "mish", "softplus", "log_sigmoid_forward", "erf",
            "dropout", "feature_dropout", "rrelu_with_noise", "rrelu_with_noise_functional", "elu", "threshold",
            "uniform", "normal_functional",
        ),
        pointwise,
    ),
    "copy": copy,
    "glu": channels,
    "channel_shuffle": channels,
    "native_channel_shuffle": channels,
    "cat": concatenate,
    "concat": concatenate,
    "stack": stack,
}  # fmt: skip
