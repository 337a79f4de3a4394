"""Pooling: maximum, average and adaptive; pixel shuffle and its inverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, gcd

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.geometry.index_map import Pattern, Ranges, Relation, Spread, Window
from striate.geometry.layout import BATCH, Dim, axis_of
from striate.geometry.plan import Plan, Result, Step
from striate.geometry.record import Link
from striate.geometry.rules.site import Site, everything, kind_of, link_along, same

Along = tuple[int | None, ...]


def _many(value: int | tuple[int, ...], n: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * n
    return tuple(value) * n if len(value) == 1 else tuple(value)


def _along(site: Site, n: int) -> Along | None:
    """The axis of each of the last n dimensions; None if one of them is merged or holds the batch."""
    axes: list[int | None] = []
    for dim in site.operands[0].layout[-n:]:
        if len(dim) > 1 or dim[0] == BATCH:
            return None
        axes.append(None if dim[0] > 0 else axis_of(dim[0]))
    return tuple(axes)


def _swept(
    site: Site, along: Along, relations: dict[int, Relation]
) -> tuple[tuple[Dim, ...], tuple[int | None, ...], tuple[Link, ...]]:
    x = site.operands[0]
    n = len(along)
    layout = list(x.layout[: len(x.layout) - n])
    extents = list(x.extents)
    for j, k in enumerate(along):
        size = site.shape[len(site.shape) - n + j]
        layout.append((size,) if k is None else x.layout[len(x.layout) - n + j])
        if k is not None:
            extents[k] = size
    result = tuple(extents)
    return tuple(layout), result, (link_along(x, result, relations),)


def _windows(
    site: Site, along: Along, kernel: tuple[int, ...], stride: tuple[int, ...],
    dilation: tuple[int, ...], padding: tuple[int, ...],
) -> dict[int, Relation]:  # fmt: skip
    n = len(along)
    x = site.operands[0]
    return {
        k: Window(x.shape[j - n], site.shape[j - n], kernel[j], stride[j], dilation[j], padding[j])
        for j, k in enumerate(along)
        if k is not None
    }


def _border(
    step: Step, link: Link, along: Along, padding: tuple[int, ...], sizes: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """How far the windows of the box hang over each end, in each dimension of the kernel."""
    border = []
    for j, k in enumerate(along):
        if k is None:
            border.append((padding[j], sizes[j][1] - sizes[j][0] - padding[j]))
            continue
        relation, side, need = link.relations[k], step.box[k], step.needs[0][k]
        assert isinstance(relation, Window)
        assert side is not None
        assert need is not None
        start, stop = relation.reach(side)
        border.append((need[0] - start, stop - need[1]) if need[0] < need[1] else (stop - start, 0))
    return border


def _flat(pads: list[tuple[int, int]]) -> list[int]:
    return [n for pair in reversed(pads) for n in pair]


@dataclass(frozen=True, slots=True)
class MaxPool(Plan):
    """Maximum of a window; what hangs over the border never wins."""

    along: Along
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    untracked: tuple[tuple[int, int], ...]  # (size, size that the windows span) where no axis runs

    def run(self, step: Step) -> Tensor:
        x = step.tensors[0]
        n = len(self.along)
        pads = _border(step, self.links[0], self.along, self.padding, list(self.untracked))
        inside = [
            min(b, a, k // 2) if b == a else 0 for (b, a), k in zip(pads, self.kernel, strict=True)
        ]
        rest = [(b - i, a - i) for (b, a), i in zip(pads, inside, strict=True)]
        if any(b or a for b, a in rest):
            low = float("-inf") if x.is_floating_point() else torch.iinfo(x.dtype).min
            x = F.pad(x, _flat(rest), value=low)
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1]
        return pool(x, self.kernel, self.stride, inside, self.dilation)


def max_pool(site: Site) -> Result | None:
    """max_pool1d/2d/3d, ceil mode or not: the windows that exist are those of the traced output."""
    if site.which != 0:
        return None
    n = int(site.op[len("max_pool")])
    kernel = _many(site.arg(1), n)
    stride = _many(site.arg(2, ()) or kernel, n)
    padding, dilation = _many(site.arg(3, 0), n), _many(site.arg(4, 1), n)
    along = _along(site, n)
    if along is None:
        return None
    relations = _windows(site, along, kernel, stride, dilation, padding)
    layout, extents, links = _swept(site, along, relations)
    plan = MaxPool(
        links, kind_of(links, any(e is not None for e in extents)), along, kernel, stride, padding,
        dilation, _untracked(site, n, kernel, stride, dilation),
    )  # fmt: skip
    return Result(layout, extents, plan)


def _untracked(
    site: Site, n: int, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    x = site.operands[0]
    return tuple([
        (x.shape[j - n], (site.shape[j - n] - 1) * stride[j] + dilation[j] * (kernel[j] - 1) + 1)
        for j in range(n)
    ])  # fmt: skip


@dataclass(frozen=True, slots=True)
class AvgPool(Plan):
    """Average of a window, over as many entries as the whole image would count."""

    along: Along
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    count_padding: bool
    divisor: int | None
    untracked: tuple[tuple[int, int], ...]

    def counts(self, j: int, out: tuple[int, int], n: int) -> list[int]:
        """How many entries each window of the interval `out` counts along kernel dimension j."""
        counts = []
        for o in range(*out):
            start = o * self.stride[j] - self.padding[j]
            stop = min(start + self.kernel[j], n + self.padding[j])
            if not self.count_padding:
                start, stop = max(start, 0), min(stop, n)
            counts.append(stop - start)
        return counts

    def run(self, step: Step) -> Tensor:
        x = step.tensors[0]
        n = len(self.along)
        spans: list[tuple[tuple[int, int], int]] = []
        for j, k in enumerate(self.along):
            size, span = self.untracked[j]
            side = (0, (span - self.kernel[j]) // self.stride[j] + 1) if k is None else step.box[k]
            relation = None if k is None else self.links[0].relations[k]
            assert side is not None
            spans.append((side, size if relation is None else relation.n_in))
        pads = _border(step, self.links[0], self.along, self.padding, list(self.untracked))
        if any(b or a for b, a in pads):
            x = F.pad(x, _flat(pads))
        if n == 1:
            return self._divided(F.avg_pool1d(x, self.kernel, self.stride), spans)
        pool = F.avg_pool2d if n == 2 else F.avg_pool3d
        if self.divisor is not None:
            return pool(x, self.kernel, self.stride, divisor_override=self.divisor)
        return self._divided(pool(x, self.kernel, self.stride), spans)

    def _divided(self, x: Tensor, spans: list[tuple[tuple[int, int], int]]) -> Tensor:
        """From the mean over the kernel to the mean over what counts."""
        for j, (side, size) in enumerate(spans):
            counts = self.counts(j, side, size)
            if any(c != self.kernel[j] for c in counts):
                factor = x.new_tensor([self.kernel[j] / max(c, 1) for c in counts])
                x = x * factor.view(-1, *[1] * (len(spans) - 1 - j))
        return x


def avg_pool(site: Site) -> Result | None:
    """avg_pool1d/2d/3d with every mode of counting."""
    n = int(site.op[len("avg_pool")])
    kernel = _many(site.arg(1), n)
    stride = _many(site.arg(2, ()) or kernel, n)
    padding = _many(site.arg(3, 0), n)
    along = _along(site, n)
    if along is None:
        return None
    ones = (1,) * n
    relations = _windows(site, along, kernel, stride, ones, padding)
    layout, extents, links = _swept(site, along, relations)
    plan = AvgPool(
        links, kind_of(links, any(e is not None for e in extents)), along, kernel, stride, padding,
        bool(site.arg(5, True)), site.arg(6), _untracked(site, n, kernel, stride, ones),
    )  # fmt: skip
    return Result(layout, extents, plan)


def bins(n_in: int, n_out: int) -> Relation:
    """The windows of adaptive pooling: output o reads floor(o n/m) to ceil((o+1) n/m) - 1."""
    if n_in % n_out == 0:
        size = n_in // n_out
        return Window(n_in, n_out, size, size)
    starts = tuple([floor(o * n_in / n_out) for o in range(n_out)])
    stops = tuple([ceil((o + 1) * n_in / n_out) for o in range(n_out)])
    period = n_out // gcd(n_in, n_out)
    ideal = Pattern(
        period, n_in // gcd(n_in, n_out), starts[:period], tuple([s - 1 for s in stops[:period]])
    )
    return Ranges(n_in, n_out, starts, stops, ideal)


@dataclass(frozen=True, slots=True)
class AdaptivePool(Plan):
    """Mean or maximum of bins that share the input out."""

    along: Along
    largest: bool
    untracked: tuple[tuple[int, int], ...]  # (size, bins) where no axis runs

    def run(self, step: Step) -> Tensor:
        x = step.tensors[0]
        n = len(self.along)
        for j, k in enumerate(self.along):
            if k is None:
                relation, side = bins(*self.untracked[j]), (0, self.untracked[j][1])
                first = 0
            else:
                known, rows, need = self.links[0].relations[k], step.box[k], step.needs[0][k]
                assert known is not None
                assert rows is not None
                assert need is not None
                relation, side, first = known, rows, need[0]
            parts = []
            # torch's own pooling would share this crop out anew; the bins are those of the whole input.
            for o in range(*side):
                start, stop = relation.pull((o, o + 1))
                part = x.narrow(j - n, start - first, stop - start)
                parts.append(
                    part.amax(j - n, keepdim=True)
                    if self.largest
                    else part.mean(j - n, keepdim=True)
                )
            x = torch.cat(parts, j - n)
        return x


def adaptive_pool(site: Site) -> Result | None:
    """adaptive average and maximum pooling; along an axis that ends in one position, a reduction."""
    if site.which != 0:
        return None
    n = int(site.op[site.op.index("pool") + 4])
    along = _along(site, n)
    if along is None:
        return None
    x = site.operands[0]
    relations: dict[int, Relation] = {}
    for j, k in enumerate(along):
        if k is not None:
            relations[k] = bins(x.shape[j - n], site.shape[j - n])
    largest = "max" in site.op
    untracked = tuple([(x.shape[j - n], site.shape[j - n]) for j in range(n)])
    if all(size == 1 for size in site.shape[-n:]):
        layout = (*x.layout[:-n], *[(1,)] * n)
        none = tuple(None if k in along else e for k, e in enumerate(x.extents))
        links: tuple[Link, ...] = (
            Link(tuple([None if e is None else everything(e, None) if k in along else same(e)
                        for k, e in enumerate(x.extents)])),
        )  # fmt: skip
        plan = AdaptivePool(
            links, kind_of(links, any(e is not None for e in none)), (None,) * n, largest, untracked
        )
        return Result(layout, none, plan)
    layout, extents, links = _swept(site, along, relations)
    kind = kind_of(links, any(e is not None for e in extents))
    return Result(layout, extents, AdaptivePool(links, kind, along, largest, untracked))


@dataclass(frozen=True, slots=True)
class Shuffle(Plan):
    """Pixel shuffle: blocks of channels become blocks of positions."""

    factor: int
    along: Along

    def run(self, step: Step) -> Tensor:
        x = F.pixel_shuffle(step.tensors[0], self.factor)
        for j, k in enumerate(self.along):
            if k is not None:
                side, need = step.box[k], step.needs[0][k]
                assert side is not None
                assert need is not None
                x = x.narrow(j - 2, side[0] - need[0] * self.factor, side[1] - side[0])
        return x


@dataclass(frozen=True, slots=True)
class Unshuffle(Plan):
    """The inverse: blocks of positions become blocks of channels."""

    factor: int

    def run(self, step: Step) -> Tensor:
        return F.pixel_unshuffle(step.tensors[0], self.factor)


def shuffle(site: Site) -> Result | None:
    """pixel_shuffle and pixel_unshuffle."""
    x = site.operands[0]
    along = _along(site, 2)
    if along is None or any(a < 0 for a in x.layout[-3]):
        return None
    r = site.arg(1)
    relations: dict[int, Relation] = {}
    for j, k in enumerate(along):
        if k is not None:
            kind = Spread if site.op == "pixel_shuffle" else Window
            relations[k] = kind(x.shape[j - 2], site.shape[j - 2], r, r)
    layout, extents, links = _swept(site, along, relations)
    layout = (*layout[:-3], (site.shape[-3],), *layout[-2:])
    what = kind_of(links, any(e is not None for e in extents))
    plan: Plan
    if site.op == "pixel_shuffle":
        plan = Shuffle(links, what, r, along)
    else:
        plan = Unshuffle(links, what, r)
    return Result(layout, extents, plan)


RULES: dict[str, Callable[[Site], Result | None]] = {
    **dict.fromkeys(
        ("max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices",
         "max_pool1d_with_indices"),
        max_pool,
    ),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), avg_pool),
    **dict.fromkeys(
        ("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
         "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
        adaptive_pool,
    ),
    "pixel_shuffle": shuffle,
    "pixel_unshuffle": shuffle,
}  # fmt: skip
