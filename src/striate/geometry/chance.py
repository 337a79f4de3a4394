"""Chance: the refusal of networks whose answer depends on random numbers."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import nn

from striate.borrow import borrowed
from striate.errors import StriateError, UsageError
from striate.geometry.geometry import Geometry
from striate.geometry.trace import trace

FRACTIONAL = (nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)


def refuse_chance(
    geometry: Geometry, module: nn.Module, error: type[StriateError] = UsageError
) -> None:
    """Raise `error` where the network's answer depends on chance, naming the layer and what helps."""
    if geometry.chance:
        where = f"{geometry.chance[0]} draws random numbers"
        training = any(getattr(sub, "training", False) for sub in module.modules())
        quiet = (
            training and not _again(geometry, module, evaluating=True, otherwise=geometry).chance
        )
    else:
        fickle = _changed(geometry, _again(geometry, module, evaluating=False, otherwise=geometry))
        if fickle is None:
            return
        where, quiet = f"{fickle} computes with other numbers each time it runs", False
    if quiet:
        remedy = "call module.eval() first"
    elif any(
        isinstance(m, FRACTIONAL) and f"({type(m).__name__})" in where for m in module.modules()
    ):
        remedy = "it draws its windows in evaluation mode too, unless it is made with _random_samples=torch.rand(1, C, 2)"
    else:
        remedy = "evaluation mode does not help: draw only if self.training, as F.dropout(x, training=self.training) does"
    raise error(f"{where}, so no two runs of the same image agree; {remedy}")


def _again(
    geometry: Geometry, module: nn.Module, *, evaluating: bool, otherwise: Geometry
) -> Geometry:
    """The module traced once more on the same inputs."""
    with torch.device("meta"):
        examples = [
            torch.empty(v.shape, dtype=v.dtype)
            for v in (geometry.values[i] for i in geometry.inputs)
        ]
    try:
        with borrowed(module) if evaluating else nullcontext():
            return trace(module, examples if len(examples) > 1 else examples[0])
    except StriateError:
        return otherwise


def _changed(one: Geometry, other: Geometry) -> str | None:
    """What differs between two traces of one module on one shape, None if they are the same."""
    for a, b in zip(one.values, other.values, strict=False):
        if a.data != b.data:
            reader = next((r.name for r in one.records if a.index in r.inputs), a.name)
            return f"{reader} ({one.kind})"
    for r, s in zip(one.records, other.records, strict=False):
        if r.live and (r.target, r.args, r.kwargs) != (s.target, s.args, s.kwargs):
            return f"{r.name} ({one.kind})"
    return None if len(one.records) == len(other.records) else one.kind
