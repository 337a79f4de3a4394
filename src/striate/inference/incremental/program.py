"""Program: the steps for one group of positions, whose boxes have one size in every layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from striate.geometry import Record
from striate.geometry.box import Box
from striate.geometry.index_map import All, Point, Relation, Same, Spread, Window
from striate.geometry.rules.convolution import Convolve as ConvolvePlan
from striate.geometry.rules.convolution import ConvolveTransposed
from striate.geometry.rules.dimension import Expand, Permute, Take, View
from striate.geometry.rules.normalisation import BatchNorm
from striate.geometry.rules.padding import Pad, Untracked
from striate.geometry.rules.pointwise import Concatenate, Copy, Pointwise
from striate.geometry.rules.pooling import AdaptivePool, AvgPool, MaxPool, Shuffle, Unshuffle
from striate.geometry.rules.product import Product
from striate.geometry.rules.reduction import Along, Reduce
from striate.inference.incremental.cache import Cache
from striate.inference.incremental.classes import Class
from striate.inference.incremental.fetch import Crops, Fetch, Patch, Placement
from striate.inference.incremental.joins import Join
from striate.inference.incremental.lines import Line, pull
from striate.inference.incremental.network import Network, Node, filling, windowed
from striate.inference.incremental.steps import (
    Apply,
    Bucket,
    Convolve,
    Joined,
    Part,
    Pool,
    State,
    Whole,
)

# Plans that compute a box by where it lies relative to its needs, not by where it lies in the image.
RELATIVE = (
    ConvolvePlan, ConvolveTransposed, MaxPool, AvgPool, AdaptivePool, Shuffle, Unshuffle, Pad, Untracked, Take, View,
    Permute, Expand, BatchNorm, Along, Reduce, Product, Pointwise, Copy, Concatenate,
)  # fmt: skip
WHOLE = 0.75  # a box that covers this share of its map is run whole

Step = Whole | Convolve | Pool | Joined | Apply


@dataclass(frozen=True)
class Program:
    """Steps for a group; `order` names its positions, in the order in which the steps count them.

    exits: what the head or the caller reads, and how it is made whole. macs: multiply-adds a position, and bytes the
    memory that one takes at its worst.
    """

    order: np.ndarray
    patches: Mapping[int, Patch]
    steps: Sequence[tuple[int, Step, tuple[int, ...]]]
    exits: Mapping[int, Fetch | None]
    macs: float
    bytes: int

    def run(self, image: Tensor, value: int, a: int, b: int) -> State:
        """What the head reads, of positions a to b - 1, from their changed boxes of the image."""
        state: State = {value: image}
        for output, step, dead in self.steps:
            state[output] = step(state, a, b)
            for v in dead:
                del state[v]
        return {
            v: state[v] if fetch is None else fetch(state[v], a, b)
            for v, fetch in self.exits.items()
        }


def build(
    network: Network, cache: Cache, group: Sequence[Class], places: np.ndarray, order: np.ndarray
) -> Program:
    """The program of the positions `order`, whose intervals are `places` (positions, axes) in classes `group`."""
    geometry = network.geometry
    values = geometry.values
    patches: dict[int, Patch] = {}
    count = len(order)

    def box_of(v: int, whole: bool) -> Patch:
        extents = values[v].extents
        if whole:
            zeros = np.zeros(count, np.int64)
            starts = tuple([None if n is None else zeros for n in extents])
            return Patch(starts, extents, True)
        return Patch(
            tuple([
                None if n is None else group[k].starts[v][places[:, k]]
                for k, n in enumerate(extents)
            ]),
            tuple([None if n is None else group[k].sizes[v] for k, n in enumerate(extents)]),
            False,
        )  # fmt: skip

    patches[network.image] = box_of(network.image, False)
    last_use: dict[int, int] = {v: max(r) for v, r in network.readers.items()}
    for v in network.outputs:
        last_use[v] = len(network.nodes)
    live = {network.image: _bytes(network, patches, network.image)}
    peak = 0
    joins = {n.output: n.join for n in network.nodes if n.join is not None}
    steps: list[tuple[int, Step, tuple[int, ...]]] = []
    macs = 0.0
    for node in network.nodes[: network.head]:
        value = values[node.output]
        whole = not value.spatial or not cache.form(node.output).batched or 0 in value.shape
        whole = whole or any(patches[r.value].whole for r in node.reads)
        patch = box_of(node.output, whole)
        share = 1.0
        if not whole:
            for n, size in zip(value.extents, patch.sizes, strict=True):
                if n is not None and size is not None:
                    share *= size / max(n, 1)
            if share >= WHOLE:
                whole, share = True, 1.0
                patch = box_of(node.output, True)
            elif node.join is not None:
                patch = box_of(_largest(network, group, node.join), False)
        patches[node.output] = patch
        macs += node.macs * share
        step: Step
        if node.join is not None:
            step = _joined(network, cache, node, patches)
        elif whole:
            step = _whole(network, cache, node, patches)
        else:
            step = _boxed(network, cache, node, patches)
        live[node.output] = _bytes(network, patches, node.output)
        crops = sum(2 * live[r.value] for r in node.reads)
        peak = max(peak, sum(live.values()) + crops)
        dead = {r.value for r in node.reads if last_use[r.value] == node.index}
        if node.output not in last_use:
            dead.add(node.output)
        for v in dead:
            del live[v]
            join = joins.get(v)
            if join is not None and v == join.family.top:
                dead = {*dead, join.family.key}
        steps.append((node.output, step, tuple(dead)))
    exits = {v: _made_whole(network, cache, v, patches) for v in live}
    return Program(order, patches, steps, exits, macs, peak)


def _bytes(network: Network, patches: Mapping[int, Patch], v: int) -> int:
    """Memory of one position's box."""
    value = network.geometry.values[v]
    size = value.bytes
    for n, m in zip(value.extents, patches[v].sizes, strict=True):
        if n is not None and m is not None:
            size = size * m // max(n, 1)
    return size


def _made_whole(
    network: Network, cache: Cache, v: int, patches: Mapping[int, Patch]
) -> Fetch | None:
    """How a box becomes the whole map; None where it is."""
    have, value = patches[v], network.geometry.values[v]
    if have.whole or not value.spatial:
        return None
    count = len(next(s for s in have.starts if s is not None))
    zeros = [None if n is None else np.zeros(count, np.int64) for n in value.extents]
    return Fetch(cache, v, have, zeros, value.extents)


def _whole(network: Network, cache: Cache, node: Node, patches: Mapping[int, Patch]) -> Whole:
    fetches = [_made_whole(network, cache, read.value, patches) for read in node.reads]
    return Whole(network, node, tuple(fetches), _copies(network, node, fetches))


def _largest(network: Network, group: Sequence[Class], join: Join) -> int:
    """The last member of the family that still runs on boxes: its box serves all."""
    largest = join.family.members[0]
    for v in join.family.members:
        share = 1.0
        for k, n in enumerate(network.geometry.values[v].extents):
            if n is not None:
                share *= group[k].sizes[v] / max(n, 1)
        if share < WHOLE:
            largest = v
    return largest


def _joined(network: Network, cache: Cache, node: Node, patches: Mapping[int, Patch]) -> Joined:
    join = node.join
    assert join is not None
    patch, form, top = patches[node.output], cache.form(node.output), join.family.top
    axes = form.axes
    sizes = [n for n in patch.sizes if n is not None]
    starts = [s for s in patch.starts if s is not None]
    fresh = join.previous is None or patches[join.previous].whole != patch.whole
    pieces = list(join.parts)
    if fresh and join.previous is not None:
        pieces = [(join.previous, 0, join.parts[0][1]), *pieces]
    parts = []
    for v, first, last in pieces:
        have = patches[v]
        whole = _made_whole(network, cache, v, patches) if patch.whole else None
        spans = sizes if whole is not None else [n for n in have.sizes if n is not None]
        offsets = [np.zeros_like(s) for s in starts]
        if not patch.whole:
            mine = [s for s in have.starts if s is not None]
            offsets = [s - t for s, t in zip(mine, starts, strict=True)]
        place = Placement(offsets, spans, sizes)
        parts.append(Part(v, first, last, cache.form(v), tuple(spans), place, whole))
    clean = None
    if fresh and not patch.whole:
        margins = cache.margins(top, 0.0)
        corner = [s + m[0] for s, m in zip(starts, margins, strict=True)]
        clean = Crops(cache.map(top, 0.0), corner, sizes)
    assert axes == tuple(range(len(axes)))
    shape = (*sizes, cache.form(top).rest)
    return Joined(join, form, tuple(parts), fresh, clean, shape, cache[node.output])


def _copies(network: Network, node: Node, fetches: Sequence[Fetch | None]) -> bool:
    """Whether what a kernel writes its sum into may be seen by someone else."""
    if node.kernel is None or len(node.reads) < 2:
        return False
    fetch = fetches[1]
    if fetch is not None and fetch.fresh:
        return False
    value = node.reads[1].value
    makers = [n for n in network.nodes if n.output == value]
    if not makers or not windowed(makers[0]) or node.reads[0].value == value:
        return True
    return any(
        i > node.index or (i != node.index and not windowed(network.nodes[i]))
        for i in network.readers[value]
    ) or value in network.outputs  # fmt: skip


def _boxed(network: Network, cache: Cache, node: Node, patches: Mapping[int, Patch]) -> Step:
    patch = patches[node.output]
    if windowed(node):
        read = node.reads[0]
        starts, sizes = [], []
        for relation, start, size in zip(
            read.link.relations, patch.starts, patch.sizes, strict=True
        ):
            assert isinstance(relation, Window)
            assert start is not None
            assert size is not None
            starts.append(start * relation.stride - relation.pad)
            sizes.append(
                (size - 1) * relation.stride + relation.dilation * (relation.kernel - 1) + 1
            )
        fetch = Fetch(cache, read.value, patches[read.value], starts, sizes, filling(node))
        if node.kernel is None:
            return Pool(fetch, pool_of(node.record))
        addend = None
        if len(node.reads) > 1:
            other = node.reads[1].value
            addend = Fetch(cache, other, patches[other], patch.starts, patch.sizes)
        return Convolve(node, fetch, addend, _copies(network, node, [fetch, addend]))
    return _apply(network, cache, node, patches)


def pool_of(record: Record) -> Callable[[Tensor], Tensor]:
    plan = record.plan
    if isinstance(plan, MaxPool):
        largest = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(plan.kernel) - 1]
        return partial(largest, kernel_size=plan.kernel, stride=plan.stride, dilation=plan.dilation)
    assert isinstance(plan, AvgPool)
    if len(plan.kernel) == 1:
        return partial(F.avg_pool1d, kernel_size=plan.kernel, stride=plan.stride)
    mean = (F.avg_pool2d, F.avg_pool3d)[len(plan.kernel) - 2]
    return partial(mean, kernel_size=plan.kernel, stride=plan.stride, divisor_override=plan.divisor)


def _apply(network: Network, cache: Cache, node: Node, patches: Mapping[int, Patch]) -> Apply:
    """Buckets of neighbouring positions that the record's rule computes alike."""
    values, record = network.geometry.values, node.record
    patch = patches[node.output]
    count = len(next(s for s in patch.starts if s is not None))
    relative = _relative(record)
    keys: list[np.ndarray] = []
    needs: list[list[Line | None]] = []
    for i, link in zip(record.inputs, record.links, strict=True):
        ranges: list[Line | None] = []
        for k, relation in enumerate(link.relations):
            if relation is None:
                ranges.append(None)
                continue
            start, size = patch.starts[k], patch.sizes[k]
            if start is None or size is None:  # the axis ends here
                span = Line(np.zeros(count, np.int64), np.ones(count, np.int64))
            else:
                span = Line(start, start + size)
            need = pull(relation, span)
            ranges.append(need)
            if values[i].varies:
                keys += _key(relation, span, need)
        needs.append(ranges)
    if not relative:
        keys = [s for s in patch.starts if s is not None]
    breaks = [0]
    if keys:
        table = np.stack(keys, 1)
        breaks += (np.flatnonzero((table[1:] != table[:-1]).any(1)) + 1).tolist()
    buckets = []
    for j, begin in enumerate(breaks):
        stop = breaks[j + 1] if j + 1 < len(breaks) else count
        boxes = [_at(ranges, begin) for ranges in needs]
        box: Box = tuple(
            None if s is None or n is None else (int(s[begin]), int(s[begin]) + n)
            for s, n in zip(patch.starts, patch.sizes, strict=True)
        )
        fetches: list[Fetch | None] = []
        for read in node.reads:
            have = patches[read.value]
            if not values[read.value].spatial:
                fetches.append(None)
                continue
            lines = needs[read.place]
            part = Patch(
                tuple([None if s is None else s[begin:stop] for s in have.starts]),
                have.sizes,
                have.whole,
            )
            fetch = Fetch(
                cache, read.value, part,
                [None if n is None else n.starts[begin:stop] for n in lines],
                [None if n is None else int(n.sizes[begin]) for n in lines],
            )  # fmt: skip
            fetches.append(fetch)
        buckets.append(Bucket(begin, box, tuple(boxes), tuple(fetches)))
    forms = [cache.form(read.value) for read in node.reads]
    return Apply(network, node, buckets, breaks, cache.form(node.output), forms)


def _at(lines: Sequence[Line | None], i: int) -> Box:
    return tuple([None if n is None else (int(n.starts[i]), int(n.stops[i])) for n in lines])


def _key(relation: Relation, out: Line, need: Line) -> list[np.ndarray]:
    """What has to agree for two positions to be computed alike: where the need lies as seen from the box."""
    if isinstance(relation, (Same, All, Point)):
        return []
    if isinstance(relation, Window):
        return [need.starts - out.starts * relation.stride, need.sizes]
    if isinstance(relation, Spread):
        return [need.starts * relation.stride - out.starts, need.sizes]
    return [out.starts]


def _relative(record: Record) -> bool:
    """Whether the record's rule depends on the box by `_key` alone."""
    plan = record.plan
    if not isinstance(plan, RELATIVE) or any(getattr(plan, "aligned", ())):
        return False
    if isinstance(plan, Concatenate) and plan.axis is not None:
        return all(link.relations[plan.axis] is not None for link in plan.links)
    return True
