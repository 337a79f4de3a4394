"""Checking: a few crops of the image computed again by the plain module, and compared with what the tiles gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from striate.geometry import Box, Crop, Record, Weights, apply
from striate.geometry.plan import cut
from striate.geometry.rules.normalisation import GroupNorm
from striate.inference.tiled.crops import Sample
from striate.inference.tiled.network import Network
from striate.inference.tiled.store import axis_dims, narrow, overlap, room, spread

Known = Mapping[int, Tensor]
Moments = Mapping[int, tuple[Tensor, Tensor]]


class Probe:
    """Keeps what a run hands out inside the sampled boxes."""

    def __init__(self, network: Network, samples: Sequence[Sample], device: torch.device) -> None:
        self.network, self.samples = network, samples
        self.values = network.geometry.values
        self.found = [room(self.values[s.target], s.box, device, False) for s in samples]

    def sink(self, box: Box, tensor: Tensor) -> None:
        """Take in a piece of the target."""
        for sample, found in zip(self.samples, self.found, strict=True):
            value = self.values[sample.target]
            part = overlap(sample.box, box)
            if part is not None:
                dims = axis_dims(value)
                source = narrow(spread(tensor, value, box), dims, box, part)
                narrow(spread(found, value, sample.box), dims, sample.box, part).copy_(source)

    def difference(
        self, module: nn.Module, read: Callable[[Box], Tensor], known: Known, moments: Moments
    ) -> float | None:
        """The largest difference from direct computation, divided by the largest value; None without samples."""
        worst = top = 0.0
        for sample, found in zip(self.samples, self.found, strict=True):
            crop = read(sample.crop)
            if self.plain:
                whole = _returned(module(crop), sample)
            else:
                whole = _direct(self.network, module, sample, crop, known, moments)
            value = sample.network.geometry.values[sample.target]
            want = cut(whole, value.layout, value.full, sample.inside, 1).double()
            worst = max(worst, (found.double() - want).abs().max().item())
            top = max(top, want.abs().max().item())
        if not self.samples:
            return None
        return worst / top if top else worst

    @property
    def plain(self) -> bool:
        """Whether the module's own forward pass on a crop gives the compared boxes."""
        return not self.network.reductions and all(
            s.target in s.network.geometry.outputs for s in self.samples
        )


def _returned(result: object, sample: Sample) -> Tensor:
    leaf = pytree.tree_leaves(result)[sample.network.geometry.outputs.index(sample.target)]
    assert isinstance(leaf, Tensor)
    return leaf


def _direct(
    network: Network,
    module: nn.Module,
    sample: Sample,
    crop: Tensor,
    known: Known,
    moments: Moments,
) -> Tensor:
    """The target of a crop, operation by operation, with the statistics of the whole image as they are known."""
    geometry = sample.network.geometry
    values = geometry.values
    weights = Weights(geometry, module)
    done: dict[int, Tensor] = {geometry.inputs[0]: crop}
    last = {i: record.index for record in geometry.records for i in record.inputs}
    for record in geometry.records:
        value = values[record.output]
        if not record.live:
            continue
        if value.varies and not value.spatial:
            if record.output in known:
                done[record.output] = known[record.output]
            continue
        inputs = []
        for i in record.inputs:
            if values[i].source in ("parameter", "buffer", "constant"):
                done[i] = weights[i].detach()
            if i in done:
                inputs.append(Crop(done[i], values[i].full))
        if len(inputs) < len(record.inputs):
            continue
        if record.output in moments:
            done[record.output] = normalised(
                record, [c.tensor for c in inputs], *moments[record.output]
            )
        else:
            done[record.output] = apply(geometry, record, inputs, value.full, batch=1)
        if record.output == sample.target:
            break
        del inputs
        for i in {*record.inputs, record.output}:
            if last.get(i, -1) <= record.index:
                done.pop(i, None)
    return done[sample.target]


def normalised(record: Record, tensors: list[Tensor], mean: Tensor, var: Tensor) -> Tensor:
    """A norm with the statistics of the whole image, in float64."""
    x, weight, bias = [
        tensors[a.position] if hasattr(a, "position") else None for a in record.args[:3]
    ]
    assert x is not None
    eps = record.plan.eps if isinstance(record.plan, GroupNorm) else record.args[7]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    y = (x.double() - mean.view(shape)) / (var.view(shape) + eps).sqrt()
    if weight is not None:
        y = y * weight.double().view(shape)
    if bias is not None:
        y = y + bias.double().view(shape)
    return y.to(x.dtype)
