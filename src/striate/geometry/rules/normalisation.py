"""Normalisation: batch, layer and group norm."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from striate.geometry.layout import BATCH
from striate.geometry.plan import Plan, Result, Step
from striate.geometry.record import Link
from striate.geometry.rules.reduction import mix
from striate.geometry.rules.site import Site, everything, kind_of, same


@dataclass(frozen=True, slots=True)
class BatchNorm(Plan):
    """Batch norm; with `training` the statistics are those of the input, over the batch and every position.

    `each`: instance norm, which torch runs as batch norm of one image: the statistics are those of each image.
    """

    training: bool
    each: bool

    def run(self, step: Step) -> Tensor:
        record = step.record
        parts: list[Tensor | None] = [
            step.tensors[a.position] if hasattr(a, "position") else None for a in record.args[:5]
        ]
        x, weight, bias, mean, var = parts
        assert x is not None
        if self.training:
            mean = var = None  # what the call would also write to the module's running statistics
        eps = record.args[7]
        if self.each:
            return step.trim(F.instance_norm(x, None, None, weight, bias, True, 0.0, eps))
        return step.trim(F.batch_norm(x, mean, var, weight, bias, self.training, 0.0, eps))


def batch_norm(site: Site) -> Result | None:
    """Evaluation: pointwise in space. Training: statistics over everything."""
    x = site.operands[0]
    training = bool(site.args[5])
    if site.which != 0 or any(a < BATCH or (a == BATCH and not training) for a in x.layout[1]):
        return None
    each = training and site.norm == "instance" and x.layout[0] == (BATCH,)
    if training and not site.norm:
        return None  # whose statistics are meant, the batch's or each image's, is not known from the call
    # Statistics of the input are over every position, so that each output needs, and each input changes, all of them.
    relations = tuple([
        None if n is None else everything(n, n) if training else same(n) for n in x.extents
    ])  # fmt: skip
    rest = [Link((None,) * site.axes) for _ in site.operands[1:]]
    if any(n is not None for o in site.operands[1:] for n in o.extents):
        return None
    links = (Link(relations), *rest)
    kind = kind_of(links, any(n is not None for n in x.extents))
    return Result(x.layout, x.extents, BatchNorm(links, kind, training, each))


def layer_norm(site: Site) -> Result | None:
    """Layer norm mixes its trailing dimensions: over channels it is pointwise in space."""
    x = site.operands[0]
    ndim, mixed = len(x.shape), len(site.args[1])
    dims = tuple(range(ndim - mixed, ndim))
    if site.which == 0:
        return mix(site, dims)
    return None


@dataclass(frozen=True, slots=True)
class GroupNorm(Plan):
    """Group norm: statistics over every position and the channels of a group."""

    groups: int
    eps: float

    def run(self, step: Step) -> Tensor:
        parts: list[Tensor | None] = [
            step.tensors[a.position] if hasattr(a, "position") else None
            for a in step.record.args[:3]
        ]
        x, weight, bias = parts
        assert x is not None
        return step.trim(F.group_norm(x, self.groups, weight, bias, self.eps))


def group_norm(site: Site) -> Result | None:
    """native_group_norm(x, weight, bias, N, C, HxW, groups, eps)."""
    x = site.operands[0]
    if (
        site.which != 0
        or x.layout[0] != (BATCH,)
        or any(a < 0 for a in x.layout[1])  # groups of rows, by a reshape
        or any(n is not None for o in site.operands[1:] for n in o.extents)
    ):
        return None
    # A group's statistics are over its channels and every position; that other groups are not read is not tracked.
    result = mix(site, tuple(range(1, len(x.shape))))
    if result is None:
        return None
    plan = result.plan
    return Result(
        result.layout, result.extents, GroupNorm(plan.links, plan.kind, site.args[6], site.args[7])
    )


RULES = {
    "native_batch_norm": batch_norm,
    "native_layer_norm": layer_norm,
    "native_group_norm": group_norm,
}
