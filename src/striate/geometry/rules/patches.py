"""Patches: sliding windows laid out as entries (unfold, im2col), and their sum back into an image (col2im)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from striate.geometry.index_map import Relation, Spread, Window
from striate.geometry.layout import BATCH, Dim, axis_of
from striate.geometry.plan import Plan, Result, Step
from striate.geometry.rules.site import Site, extents_of, kind_of, link_along

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Unfold(Plan):
    """Windows along one dimension as a new last dimension."""

    dim: int
    size: int
    step: int

    def run(self, step: Step) -> Tensor:
        return step.tensors[0].unfold(self.dim, self.size, self.step)


def unfold(site: Site) -> Result | None:
    """Tensor.unfold(dim, size, step)."""
    x = site.operands[0]
    dim, size, step = site.arg(1) % len(x.shape), site.arg(2), site.arg(3)
    atoms: Dim = x.layout[dim]
    relations: dict[int, Relation] = {}
    extents = list(x.extents)
    if any(a < 0 for a in atoms):
        if len(atoms) > 1 or atoms[0] == BATCH:
            return None
        k = axis_of(atoms[0])
        relations[k] = Window(x.shape[dim], site.shape[dim], size, step)
        extents[k] = site.shape[dim]
        kept = atoms
    else:
        kept = (site.shape[dim],)
    layout = (*x.layout[:dim], kept, *x.layout[dim + 1 :], (size,))
    result = extents_of(layout, tuple(extents))
    links = (link_along(x, result, relations),)
    kind = kind_of(links, any(n is not None for n in result))
    return Result(layout, result, Unfold(links, kind, dim, size, step))


@dataclass(frozen=True, slots=True)
class Columns(Plan):
    """im2col: every window of an image as one column of entries; the windows' positions are merged in one dimension."""

    axes: Pair
    kernel: Pair
    dilation: Pair
    stride: Pair

    def run(self, step: Step) -> Tensor:
        x = step.tensors[0]
        pads: list[int] = []
        for k in reversed(self.axes):
            relation, side, need = self.links[0].relations[k], step.box[k], step.needs[0][k]
            assert isinstance(relation, Window)
            assert side is not None
            assert need is not None
            start, stop = relation.reach(side)
            pads += [need[0] - start, stop - need[1]] if need[0] < need[1] else [stop - start, 0]
        if any(pads):
            x = F.pad(x, pads)
        return F.unfold(x, self.kernel, self.dilation, 0, self.stride)


def _image_axes(layout: tuple[Dim, ...]) -> Pair | None:
    """The axes of the last two dimensions, if each is exactly one."""
    last = layout[-2:]
    if any(len(dim) != 1 or dim[0] >= 0 or dim[0] == BATCH for dim in last):
        return None
    return axis_of(last[0][0]), axis_of(last[1][0])


def im2col(site: Site) -> Result | None:
    """im2col(x, kernel, dilation, padding, stride), as in `F.unfold`."""
    x = site.operands[0]
    axes = _image_axes(x.layout) if len(x.shape) == 4 else None
    if axes is None or axes[0] > axes[1] or any(a < 0 for a in x.layout[1]):
        return None
    kernel, dilation, padding, stride = (tuple(site.arg(i)) for i in range(1, 5))
    relations: dict[int, Relation] = {}
    extents = list(x.extents)
    for j, k in enumerate(axes):
        span = dilation[j] * (kernel[j] - 1) + 1
        n_out = (x.shape[2 + j] + 2 * padding[j] - span) // stride[j] + 1
        relations[k] = Window(x.shape[2 + j], n_out, kernel[j], stride[j], dilation[j], padding[j])
        extents[k] = n_out
    layout = (x.layout[0], (site.shape[1],), (*x.layout[2], *x.layout[3]))
    result = tuple(extents)
    links = (link_along(x, result, relations),)
    plan = Columns(links, kind_of(links, True), axes, kernel, dilation, stride)
    return Result(layout, result, plan)


@dataclass(frozen=True, slots=True)
class Image(Plan):
    """col2im: columns of entries added up at the places of their windows."""

    axes: Pair
    kernel: Pair
    dilation: Pair
    padding: Pair
    stride: Pair

    def run(self, step: Step) -> Tensor:
        x = step.tensors[0]
        needs = [step.needs[0][k] for k in self.axes]
        whole: list[int] = []
        places: list[Pair] = []
        for j, (k, need) in enumerate(zip(self.axes, needs, strict=True)):
            side = step.box[k]
            assert side is not None
            assert need is not None
            if need[0] >= need[1]:  # no window reaches these positions
                return x.new_zeros([step.size(dim) for dim in step.out.layout])
            span = self.dilation[j] * (self.kernel[j] - 1) + 1
            whole.append((need[1] - need[0] - 1) * self.stride[j] + span)
            places.append((side[0] + self.padding[j] - need[0] * self.stride[j], side[1] - side[0]))
        out = F.fold(x, tuple(whole), self.kernel, self.dilation, 0, self.stride)
        for j, (start, size) in enumerate(places):
            n = out.shape[2 + j]
            if start < 0 or start + size > n:
                pads = [0, 0, 0, 0]
                pads[2 * (1 - j)], pads[2 * (1 - j) + 1] = max(-start, 0), max(start + size - n, 0)
                out = F.pad(out, pads)
            out = out.narrow(2 + j, max(start, 0), size)
        return out


def col2im(site: Site) -> Result | None:
    """col2im(x, size, kernel, dilation, padding, stride), as in `F.fold`."""
    x = site.operands[0]
    if len(x.shape) != 3 or len(x.layout[2]) != 2 or any(a >= 0 or a == BATCH for a in x.layout[2]):
        return None
    axes = (axis_of(x.layout[2][0]), axis_of(x.layout[2][1]))
    if axes[0] > axes[1] or any(a < 0 for a in x.layout[1]):
        return None
    size, kernel, dilation, padding, stride = (tuple(site.arg(i)) for i in range(1, 6))
    relations: dict[int, Relation] = {}
    extents = list(x.extents)
    for j, k in enumerate(axes):
        span = dilation[j] * (kernel[j] - 1) + 1
        if x.extents[k] != (size[j] + 2 * padding[j] - span) // stride[j] + 1:
            return None  # the columns stand for other windows
        relations[k] = Spread(
            x.extents[k] or 0, size[j], kernel[j], stride[j], dilation[j], padding[j]
        )
        extents[k] = size[j]
    layout = (x.layout[0], (site.shape[1],), (x.layout[2][0],), (x.layout[2][1],))
    result = tuple(extents)
    links = (link_along(x, result, relations),)
    plan = Image(links, kind_of(links, True), axes, kernel, dilation, padding, stride)
    return Result(layout, result, plan)


RULES: dict[str, Callable[[Site], Result | None]] = {
    "unfold": unfold,
    "im2col": im2col,
    "col2im": col2im,
}
