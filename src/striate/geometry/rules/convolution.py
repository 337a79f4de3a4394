"""Convolution and transposed convolution of any number of axes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.geometry.index_map import Relation, Spread, Window
from striate.geometry.layout import BATCH, Dim, axis_of
from striate.geometry.plan import Plan, Result, Step
from striate.geometry.record import Link
from striate.geometry.rules.site import Site, everything, extents_of, kind_of, whole_link

Along = tuple[
    int | None, ...
]  # for each dimension that the kernel runs along, the axis of the image, or None


@dataclass(frozen=True, slots=True)
class Convolve(Plan):
    """A convolution: zeros enter only where the window hangs over a true border."""

    along: Along
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    bias: bool
    mixes_batch: bool

    def run(self, step: Step) -> Tensor:
        x, weight = step.tensors[0], step.tensors[1]
        bias = step.tensors[2] if self.bias else None
        # A crop ends at a true border, where zeros stand for what the window reads beyond it, or inside the image, where it
        # holds all that is read: `need` is `reach` clipped to the image, so their difference is the padding.
        before, after = list(self.padding), list(self.padding)
        for j, k in enumerate(self.along):
            if k is None:
                continue
            relation, side, need = self.links[0].relations[k], step.box[k], step.needs[0][k]
            assert isinstance(relation, Window)
            assert side is not None
            assert need is not None
            start, stop = relation.reach(side)
            before[j], after[j] = need[0] - start, stop - need[1]
            if need[0] >= need[1]:  # the window lies in padding altogether
                before[j], after[j] = stop - start, 0
        if before != after:  # torch pads both sides alike: what one has more is padded here
            x = _pad(x, [b - min(b, a) for b, a in zip(before, after, strict=True)],
                     [a - min(b, a) for b, a in zip(before, after, strict=True)])  # fmt: skip
        padding = [min(b, a) for b, a in zip(before, after, strict=True)]
        zeros = [0] * len(self.along)
        return torch.convolution(
            x, weight, bias, self.stride, padding, self.dilation, False, zeros, self.groups
        )


@dataclass(frozen=True, slots=True)
class ConvolveTransposed(Plan):
    """A transposed convolution: each input position adds a kernel to the outputs around it."""

    along: Along
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int
    bias: bool
    mixes_batch: bool

    def run(self, step: Step) -> Tensor:
        x, weight = step.tensors[0], step.tensors[1]
        bias = step.tensors[2] if self.bias else None
        padding, extra = list(self.padding), list(self.output_padding)
        cropped: list[tuple[int, int] | None] = [None] * len(self.along)
        for j, k in enumerate(self.along):
            if k is None:
                continue
            side, need = step.box[k], step.needs[0][k]
            assert side is not None
            assert need is not None
            # In the full output of the crop, position 0 is output need[0] * stride - pad.
            offset = side[0] + self.padding[j] - need[0] * self.stride[j]
            cropped[j] = (offset, offset + side[1] - side[0])
            padding[j] = extra[j] = 0
        if 0 in x.shape:
            sizes = [step.size(dim) for dim in step.out.layout]
            out = x.new_zeros(sizes)
            return out if bias is None else out + bias.view(-1, *[1] * len(self.along))
        out = torch.convolution(
            x, weight, None, self.stride, padding, self.dilation, True, extra, self.groups
        )
        first = out.dim() - len(self.along)
        for j, span in enumerate(cropped):
            if span is None:
                continue
            n = out.shape[first + j]
            if span[0] < 0 or span[1] > n:  # outputs that no input reaches
                pads = [0, 0] * len(self.along)
                pads[2 * (len(self.along) - 1 - j)] = max(-span[0], 0)
                pads[2 * (len(self.along) - 1 - j) + 1] = max(span[1] - n, 0)
                out = F.pad(out, pads)
                span = (span[0] + max(-span[0], 0), span[1] + max(-span[0], 0))
            out = out.narrow(first + j, span[0], span[1] - span[0])
        return out if bias is None else out + bias.view(-1, *[1] * len(self.along))


def _pad(x: Tensor, before: list[int], after: list[int]) -> Tensor:
    pads = [n for b, a in zip(reversed(before), reversed(after), strict=True) for n in (b, a)]
    return F.pad(x, pads) if any(pads) else x


def _spread(values: tuple[int, ...], n: int) -> tuple[int, ...]:
    return tuple(values) * n if len(values) == 1 else tuple(values)


def convolution(site: Site) -> Result | None:
    """convolution: a window along each dimension of the kernel; channels are all needed."""
    x, weight = site.operands[0], site.operand(1)
    if weight is None or site.operand(0) is not x:
        return None
    n = len(weight.shape) - 2
    if len(x.shape) != n + 2:
        return None
    stride, padding, dilation = (_spread(site.args[i], n) for i in (3, 4, 5))
    transposed, output_padding, groups = site.args[6], _spread(site.args[7], n), site.args[8]
    layout: list[Dim] = [x.layout[0], (site.shape[1],)]
    relations: list[Relation | None] = [
        None if e is None else everything(e, None) for e in x.extents
    ]
    extents = list(x.extents)
    along: list[int | None] = []
    # The sum runs over all channels: an axis that a reshape put among them is read whole, and is none afterwards.
    for atom in (*x.layout[1], *(a for dim in x.layout[2:] if len(dim) > 1 for a in dim)):
        if atom < BATCH:
            extents[axis_of(atom)] = None
        elif atom == BATCH:
            return None
    # One that lies among the images of the batch passes through: each of its positions is convolved by itself.
    for atom in x.layout[0]:
        if atom < BATCH:
            e = x.extents[axis_of(atom)]
            assert e is not None
            relations[axis_of(atom)] = Window(e, e, 1)
    for j in range(n):
        dim, size = x.layout[2 + j], site.shape[2 + j]
        if len(dim) > 1 or dim[0] > 0:
            layout.append((size,))
            along.append(None)
            continue
        if dim[0] == BATCH:
            return None
        k = axis_of(dim[0])
        kind = Spread if transposed else Window
        relations[k] = kind(
            x.shape[2 + j], size, weight.shape[2 + j], stride[j], dilation[j], padding[j]
        )
        extents[k] = size
        layout.append(dim)
        along.append(k)
    extents_out = tuple(extents)
    others = [whole_link(o, extents_out) for o in site.operands[1:]]
    relations = [
        everything(r.n_in, None) if r is not None and extents[k] is None else r
        for k, r in enumerate(relations)
    ]
    links = (Link(tuple(relations)), *others)
    kind_ = kind_of(links, any(e is not None for e in extents_out))
    bias = site.arg(2) is not None
    # kernels of their own for each image (CondConv): the images of the batch lie in the groups
    fixed = any(a == BATCH for o in site.operands[1:] for dim in o.layout for a in dim)
    tail = (tuple(stride), tuple(padding), tuple(dilation))
    plan: Plan
    if transposed:
        plan = ConvolveTransposed(
            links, kind_, tuple(along), *tail, tuple(output_padding), groups, bias, fixed
        )
    else:
        plan = Convolve(links, kind_, tuple(along), *tail, groups, bias, fixed)
    return Result(tuple(layout), extents_of(tuple(layout), extents_out), plan)


RULES = {"convolution": convolution}
