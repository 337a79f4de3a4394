"""Maps: the arithmetic on whole images, and the windows of patches cut from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.geometry import Box, Record
from striate.geometry.layout import BATCH, Layout, axis_of, sizes
from striate.geometry.rules.convolution import Convolve
from striate.geometry.rules.pooling import AdaptivePool, AvgPool, MaxPool

Pair = tuple[int, int]
Extents = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A kernel along one axis of a map: output m reads entries m * step - before + j * spread, j < kernel."""

    kernel: int
    step: int
    spread: int
    before: int
    after: int


def cut(tensor: Tensor, layout: Layout, have: Pair, want: Pair) -> Tensor:
    """The first rows and columns of a map."""
    flat = tensor.reshape([n for dim in layout for n in sizes(dim, have, 1)])
    atoms = [a for dim in layout for a in dim]
    for place, atom in enumerate(atoms):
        if atom < BATCH:
            flat = flat.narrow(place, 0, want[axis_of(atom)])
    shape = []
    for dim in layout:
        size = 1
        for n in sizes(dim, want, 1):
            size *= n
        shape.append(size)
    return flat.reshape(shape)


def gather(
    tensor: Tensor, layout: Layout, size: Pair, place: Pair, jump: Pair, box: Box, rows: Pair, columns: Pair
) -> Tensor:  # fmt: skip
    """`box` of a value for the patches of `rows` x `columns`, cut from its map of `size`; patches are the batch.

    place: entries of the map from one patch to the next; jump: from one position of the value to the next.
    """
    atoms = [a for dim in layout for a in dim]
    flat = tensor.reshape([n for dim in layout for n in sizes(dim, size, 1)])
    strides, shape = list(flat.stride()), list(flat.shape)
    outer = [0, 0]
    start = flat.storage_offset()
    for d, atom in enumerate(atoms):
        if atom < BATCH:
            k = axis_of(atom)
            side = box[k]
            assert side is not None
            outer[k] = strides[d] * place[k]
            start += strides[d] * jump[k] * side[0] + outer[k] * (rows, columns)[k][0]
            shape[d], strides[d] = side[1] - side[0], strides[d] * jump[k]
    counts = [rows[1] - rows[0], columns[1] - columns[0]]
    view = flat.as_strided([*counts, *shape], [*outer, *strides], start)
    batch = atoms.index(BATCH)
    view = view.reshape(counts[0] * counts[1], *shape).squeeze(batch + 1).movedim(0, batch)
    lengths = tuple(None if s is None else s[1] - s[0] for s in box)
    final = []
    for dim in layout:
        total = 1
        for n in sizes(dim, lengths, counts[0] * counts[1]):
            total *= n
        final.append(total)
    return view.reshape(final)


def _swept(x: Tensor, sweeps: tuple[Sweep, Sweep], largest: bool) -> Tensor:
    """Sum or maximum over a spread window, one axis after the other."""
    for dim, sweep in zip((-2, -1), sweeps, strict=True):
        x = _swept_along(x, dim, sweep, torch.maximum if largest else torch.add)
    return x


def _swept_along(x: Tensor, dim: int, sweep: Sweep, join: Callable[..., Tensor]) -> Tensor:
    """Windows of 1, 2, 4, ... entries, each made of two halves, put together to the kernel's length: 12 entries take four
    operations instead of eleven. Where most places are skipped, entry by entry at the others.
    """
    n = (x.shape[dim] - (sweep.kernel - 1) * sweep.spread - 1) // sweep.step + 1

    def taken(runs: Tensor, entry: int) -> Tensor:
        part = runs.narrow(dim, entry * sweep.spread, (n - 1) * sweep.step + 1)
        return part[(..., slice(None, None, sweep.step)) + (slice(None),) * (-1 - dim)]

    halves = (sweep.kernel - 1).bit_length()
    if sweep.kernel - 1 <= halves * sweep.step and sweep.step > 1:
        return reduce(join, (taken(x, entry) for entry in range(sweep.kernel)))
    parts, runs, length, done = [], x, 1, 0
    while True:
        if sweep.kernel & length:
            parts.append(taken(runs, done))
            done += length
        if 2 * length > sweep.kernel:
            return reduce(join, parts)
        apart = length * sweep.spread
        left = runs.shape[dim] - apart
        runs = join(runs.narrow(dim, 0, left), runs.narrow(dim, apart, left))
        length *= 2


def _padded(x: Tensor, sweeps: tuple[Sweep, Sweep], value: float = 0.0) -> Tensor:
    pads = [sweeps[1].before, sweeps[1].after, sweeps[0].before, sweeps[0].after]
    return F.pad(x, pads, value=value) if any(pads) else x


def kernel(record: Record, sweeps: tuple[Sweep, Sweep]) -> Callable[[list[Tensor]], Tensor]:
    """How a record with a sliding window runs on a map."""
    plan = record.plan
    if isinstance(plan, Convolve):
        return partial(_convolve, plan.groups, sweeps)
    if isinstance(plan, MaxPool) or (isinstance(plan, AdaptivePool) and plan.largest):
        return lambda tensors: _swept(_padded(tensors[0], sweeps, float("-inf")), sweeps, True)
    if isinstance(plan, AvgPool):
        return partial(_average, plan.divisor, plan.count_padding, plan.padding, sweeps)
    if isinstance(plan, AdaptivePool):
        return partial(_average, None, True, (0, 0), sweeps)
    value: Any = record.args[2] if len(record.args) > 2 else 0.0
    return lambda tensors: _padded(tensors[0], sweeps, float(value or 0.0))


def _convolve(groups: int, sweeps: tuple[Sweep, Sweep], tensors: list[Tensor]) -> Tensor:
    x, weight = tensors[0], tensors[1]
    bias = tensors[2] if len(tensors) > 2 else None
    rows, columns = sweeps
    padding = (rows.before, columns.before)
    if (rows.before, columns.before) != (rows.after, columns.after):
        x, padding = _padded(x, sweeps), (0, 0)
    return F.conv2d(
        x, weight, bias, (rows.step, columns.step), padding, (rows.spread, columns.spread), groups
    )


def _average(
    divisor: int | None, counts_padding: bool, padding: tuple[int, ...], sweeps: tuple[Sweep, Sweep],
    tensors: list[Tensor],
) -> Tensor:  # fmt: skip
    x = tensors[0]
    total = _swept(_padded(x, sweeps), sweeps, False)
    if divisor is not None:
        return total / divisor
    size = sweeps[0].kernel * sweeps[1].kernel
    if not any((s.before, s.after) != (0, 0) for s in sweeps):
        return total / size
    # What hangs over the border counts only as far as the padding reaches, or not at all.
    mask = x.new_ones(1, 1, *x.shape[-2:])
    if counts_padding:
        reach = [min(s.after, s.before) if p else 0 for s, p in zip(sweeps, padding, strict=True)]
        edge = [(s.before, r, s.after - r) for s, r in zip(sweeps, reach, strict=True)]
        mask = F.pad(mask, [edge[1][0], edge[1][1], edge[0][0], edge[0][1]], value=1.0)
        mask = F.pad(mask, [0, edge[1][2], 0, edge[0][2]])
    else:
        mask = _padded(mask, sweeps)
    return total / _swept(mask, sweeps, False)


def statistic(how: str, sweeps: tuple[Sweep, Sweep], tensors: list[Tensor]) -> Tensor:
    """The mean, sum or maximum over all positions of each patch: (1, C, rows, columns) of patches."""
    pooled = _swept(tensors[0], sweeps, how == "amax")
    return pooled / (sweeps[0].kernel * sweeps[1].kernel) if how == "mean" else pooled


def linear_of_statistic(how: str, sweeps: tuple[Sweep, Sweep], tensors: list[Tensor]) -> Tensor:
    """A linear layer on the mean or sum over all positions, (1, K, rows, columns): taken before it, where K < C numbers
    are left to add up.

    tensors: the bias (K,) if there is one, the map (1, C, rows, columns), the transposed weight (C, K).
    """
    *bias, x, weight = tensors
    scores = (x.movedim(1, -1) @ weight).movedim(-1, 1)
    pooled = statistic(how, sweeps, [scores])
    return pooled + bias[0][:, None, None] if bias else pooled


def flat_linear(
    channels: int, window: Extents, sweeps: tuple[Sweep, Sweep], tensors: list[Tensor],
    shapes: list[Pair | None],
) -> Tensor:  # fmt: skip
    """A linear layer on a flattened map: a convolution with the map of a patch as its window (lecture 003).

    tensors: the bias if there is one, the map (1, C * rows * columns), the transposed weight.
    """
    size = shapes[-2]
    assert size is not None
    x, weight = tensors[-2].reshape(1, channels, *size), tensors[-1]
    bias = tensors[0] if len(tensors) > 2 else None
    kernel = weight.t().reshape(weight.shape[1], channels, *window).contiguous()  # type: ignore[arg-type]
    return _convolve(1, sweeps, [x, kernel] if bias is None else [x, kernel, bias])
