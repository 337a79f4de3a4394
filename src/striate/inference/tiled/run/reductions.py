"""Reductions: what is known of a value only when all its positions have been seen, gathered tile by tile."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from striate.geometry import Box, Record, Value
from striate.geometry.rules.dimension import Take
from striate.geometry.rules.normalisation import GroupNorm
from striate.geometry.rules.pooling import AdaptivePool
from striate.geometry.rules.product import Product
from striate.geometry.rules.reduction import Reduce

Way = Literal[
    "mean", "sum", "amax", "amin", "any", "all", "var", "std", "norm", "moments", "whole", "none"
]

# op -> how it is gathered; "whole" (the value itself is kept) for everything that is not here
WAYS: dict[str, Way] = {
    "mean": "mean", "sum": "sum", "amax": "amax", "amin": "amin", "max": "amax", "min": "amin", "any": "any",
    "all": "all", "var": "var", "std": "std", "linalg_vector_norm": "norm", "norm": "norm",
}  # fmt: skip


JOINS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "amax": torch.maximum, "amin": torch.minimum, "any": torch.logical_or, "all": torch.logical_and,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reduction:
    """A statistic over all positions of `value` that a record needs or is.

    output: the value that it makes ("moments": the output of the norm; "whole": `value` itself).
    level: the pass in which it is gathered.
    """

    record: Record
    value: int
    output: int
    level: int
    way: Way


def way_of(record: Record) -> Way:
    """How the result of a record that ends every axis is gathered.

    "whole": the value is kept whole for it, a matrix product over flattened positions for instance. "none": it cannot be.
    """
    plan = record.plan
    if not isinstance(plan, (AdaptivePool, Reduce, Product, Take)):
        return "none"  # no weight and no statistic says how many positions there are
    if isinstance(plan, AdaptivePool):
        return "amax" if plan.largest else "mean"
    if not isinstance(plan, Reduce) or record.which != 0:
        return "whole"
    way = WAYS.get(record.op, "whole")
    if way == "norm" and _argument(record, 1, "ord", 2) not in (2, 2.0, None):
        return "whole"
    return way


def _argument(record: Record, place: int, name: str, default: Any) -> Any:
    if len(record.args) > place:
        return record.args[place]
    return dict(record.kwargs).get(name, default)


class Gathered:
    """Gathers one reduction over tiles that meet every position once; sums are kept in float64.

    Lecture 003's global average is a sum over positions divided by their number: it does not matter in which order the
    positions come. Variances are gathered around the first tile's mean, so that no digits are lost.
    """

    def __init__(self, reduction: Reduction, value: Value) -> None:
        self.reduction = reduction
        self.value = value
        plan = reduction.record.plan
        if isinstance(plan, AdaptivePool):
            n = len(plan.untracked)
            self.dims: tuple[int, ...] = tuple(range(-n, 0))
            self.keepdim = True
        elif isinstance(plan, Reduce):
            self.dims, self.keepdim = plan.dims, plan.keepdim
        else:  # statistics of a norm: a channel at a time
            self.dims = tuple(d for d in range(len(value.shape)) if d != 1)
            self.keepdim = True
        self.count = 1
        for d in self.dims:
            self.count *= value.shape[d]
        self.parts: dict[str, Tensor] = {}
        self.met = 0  # positions, of `count`

    def sink(self, box: Box, x: Tensor) -> None:
        """Take in the tile `box` of the value."""
        del box
        self.add(x)

    def add(self, x: Tensor) -> None:
        """Take in a tile of the value."""
        way = self.reduction.way
        self.met += math.prod([x.shape[d] for d in self.dims])
        if x.dtype in (torch.float16, torch.bfloat16):
            x = x.float()
        if way in ("amax", "amin"):
            self._join("top", getattr(x, way)(self.dims, keepdim=self.keepdim))
        elif way in ("any", "all"):
            part = x != 0
            for d in sorted([d % x.dim() for d in self.dims], reverse=True):
                part = getattr(part, way)(d, keepdim=self.keepdim)
            self._join("top", part)
        elif way in ("mean", "sum"):
            self._plus("sum", x.sum(self.dims, keepdim=self.keepdim))
        elif way == "norm":
            part = torch.linalg.vector_norm(x, 2, self.dims, keepdim=self.keepdim)
            self._plus("squares", part.double().square())
        else:
            if "around" not in self.parts:
                self.parts["around"] = x.mean(self.dims, keepdim=True)
            off = x - self.parts["around"]
            self._plus("sum", off.sum(self.dims, keepdim=True))
            part = torch.linalg.vector_norm(off, 2, self.dims, keepdim=True)
            self._plus("squares", part.double().square())

    def _plus(self, name: str, part: Tensor) -> None:
        part = part.double() if part.is_floating_point() else part
        self.parts[name] = self.parts[name] + part if name in self.parts else part

    def _join(self, name: str, part: Tensor) -> None:
        if name not in self.parts:
            self.parts[name] = part
            return
        self.parts[name] = JOINS[self.reduction.way](self.parts[name], part)

    def result(self, out: Value) -> Tensor:
        """The reduction, in the kind of number of the value `out` that it makes."""
        way, parts = self.reduction.way, self.parts
        if way in ("amax", "amin", "any", "all"):
            return parts["top"].to(out.dtype)
        if way == "sum":
            return parts["sum"].to(out.dtype)
        if way == "mean":
            return (parts["sum"] / self.count).to(out.dtype)
        if way == "norm":
            return parts["squares"].sqrt().to(out.dtype)
        off = self.squared_deviation()
        record = self.reduction.record
        correction = dict(record.kwargs).get("correction", 1)
        if record.target.endswith(".dim"):
            correction = int(_argument(record, 2, "unbiased", True))
        spread = off / max(self.count - (1 if correction is None else correction), 0)
        if not self.keepdim:
            spread = spread.squeeze(self.dims)
        return (spread.sqrt() if way == "std" else spread).to(out.dtype)

    def squared_deviation(self) -> Tensor:
        """Sum of squared distances from the mean."""
        total = self.parts["sum"].double()
        return (self.parts["squares"] - total.square() / self.count).clamp(min=0)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance (without correction) of each channel, (C,) float64; of each group for a group norm."""
        mean = (self.parts["around"].double() + self.parts["sum"] / self.count).flatten()
        off = self.squared_deviation().flatten()
        plan = self.reduction.record.plan
        if not isinstance(plan, GroupNorm):
            return mean, off / self.count
        size = len(mean) // plan.groups
        means, offs = mean.view(plan.groups, size), off.view(plan.groups, size)
        centre = means.mean(1, keepdim=True)
        spread = offs.sum(1, keepdim=True) + self.count * (means - centre).square().sum(
            1, keepdim=True
        )
        variance = (spread / (self.count * size)).expand_as(means)
        return centre.expand_as(means).flatten(), variance.flatten()

    def summary(self) -> dict[str, Tensor]:
        """What was gathered so far, so that it can be joined with what others gathered elsewhere."""
        if not self.parts:
            return {}
        if "around" not in self.parts:
            return dict(self.parts)
        total, met = self.parts["sum"].double(), self.met
        off = (self.parts["squares"] - total.square() / met).clamp(min=0)
        count = torch.tensor(met, dtype=torch.float64)
        return {"count": count, "centre": self.parts["around"].double() + total / met, "off": off}

    def joined(self, a: dict[str, Tensor], b: dict[str, Tensor]) -> dict[str, Tensor]:
        """Two summaries as one; of variances by Chan, Golub and LeVeque 1979, updating formula (2.1)."""
        if not a or not b:
            return a or b
        if "centre" in a:
            count = a["count"] + b["count"]
            apart = b["centre"] - a["centre"]
            return {
                "count": count, "centre": a["centre"] + apart * (b["count"] / count),
                "off": a["off"] + b["off"] + apart.square() * (a["count"] * b["count"] / count),
            }  # fmt: skip
        if "top" in a:
            return {"top": JOINS[self.reduction.way](a["top"], b["top"])}
        return {name: a[name] + b[name] for name in a}

    def take(self, summary: dict[str, Tensor]) -> None:
        """Be what a summary of all positions says."""
        self.parts = dict(summary)
        if "centre" in summary:
            self.parts = {
                "around": summary["centre"], "sum": torch.zeros_like(summary["centre"]), "squares": summary["off"],
            }  # fmt: skip


class Tree:
    """Joins summaries that come in order, two of equal size at a time: what comes out hangs on their order alone.

    Rounding grows with the logarithm of their number; about as many are held at once.
    """

    def __init__(self, gathered: Gathered) -> None:
        self.gathered = gathered
        self.waiting: list[tuple[int, dict[str, Tensor]]] = []  # how many each stands for, falling

    def add(self, summary: dict[str, Tensor]) -> None:
        """Take in the next one."""
        size = 1
        while self.waiting and self.waiting[-1][0] == size:
            summary = self.gathered.joined(self.waiting.pop()[1], summary)
            size *= 2
        self.waiting.append((size, summary))

    def end(self) -> None:
        """Hand all of it to what gathers."""
        total: dict[str, Tensor] = {}
        while self.waiting:
            total = self.gathered.joined(self.waiting.pop()[1], total)
        self.gathered.take(total)
