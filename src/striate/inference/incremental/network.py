"""The network as incremental inference runs it: nodes, each one or several records that run in one go.

A convolution takes along the batch norm, the sum and the activation behind it, where nothing else reads what lies
between; concatenations that grow out of each other share a canvas. All other records are nodes of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from striate.geometry import Crop, Geometry, Link, Record, Weights, apply
from striate.geometry.index_map import Same, Window
from striate.geometry.layout import BATCH
from striate.geometry.rules.dimension import Permute, Take, View
from striate.geometry.rules.pointwise import Copy, Pointwise
from striate.geometry.rules.pooling import AdaptivePool, AvgPool, MaxPool
from striate.geometry.rules.product import Product
from striate.geometry.rules.reduction import Reduce
from striate.geometry.rules.site import Whole
from striate.inference.incremental.chains import chains
from striate.inference.incremental.joins import Join, joins
from striate.inference.incremental.kernel import Kernel

MEANS = (AdaptivePool, Reduce)
CHEAP = (View, Permute, Copy, Take, Pointwise)


@dataclass(frozen=True, slots=True)
class Read:
    """A value that depends on the image, as a node reads it; `place` is where it stands among the record's inputs."""

    value: int
    link: Link
    place: int


@dataclass(frozen=True, slots=True)
class Node:
    """One or several records that run in one go and make one value.

    kernel: for a convolution; then the first read is its input, and a second one is added to its result.
    join: for a concatenation that shares a canvas; then the reads are what it grows out of, if anything, and its parts.
    macs: multiply-adds as traced. wide: runs in float32 in a network of fewer digits, see `_wide`.
    """

    index: int
    record: Record
    reads: tuple[Read, ...]
    output: int
    kernel: Kernel | None
    join: Join | None
    macs: int
    wide: bool = False

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.record.name


@dataclass(frozen=True)
class Network:
    """Nodes in the order they run.

    constants: the values that do not depend on the image, by index. wide: those that wide nodes read, in float32.
    readers: for each value the nodes that read it.
    margins: for each (value, what padding is filled with) how far windows hang over before and after, by axis.
    head: the first node of the classifier's head, which runs on many images at once.
    mixing: the first node whose operation has no rule, so that it runs for one image, as traced.
    """

    geometry: Geometry
    image: int
    nodes: tuple[Node, ...]
    constants: Mapping[int, Tensor]
    wide: Mapping[int, Tensor]
    readers: Mapping[int, tuple[int, ...]]
    margins: Mapping[tuple[int, float], tuple[tuple[int, int], ...]]
    head: int
    mixing: int | None
    device: torch.device = field(default=torch.device("cpu"))

    @property
    def outputs(self) -> tuple[int, ...]:
        """The values that the network returns and that depend on the image."""
        values = self.geometry.values
        return tuple(dict.fromkeys(
            i for i in self.geometry.outputs if i is not None and values[i].varies
        ))  # fmt: skip

    def given(self, node: Node, tensors: Mapping[int, Tensor]) -> list[Tensor]:
        """All inputs of a node, in its record's order, from those that depend on the image (by their place)."""
        if not node.wide:
            return [
                tensors[place] if place in tensors else self.constants[i]
                for place, i in enumerate(node.record.inputs)
            ]
        return [
            widened(tensors[place]) if place in tensors else self.wide[i]
            for place, i in enumerate(node.record.inputs)
        ]


def widened(tensor: Tensor) -> Tensor:
    """At least float32, if it is no integer."""
    narrow = tensor.is_floating_point() and tensor.dtype.itemsize < torch.float32.itemsize
    return tensor.float() if narrow else tensor


def lower(
    geometry: Geometry,
    module: nn.Module,
    dtype: torch.dtype | None = None,
    until: int | None = None,
) -> Network:
    """Turn records into nodes, with weights folded and packed.

    dtype: what weights and constants are cast to; as they are if None. until: the record to stop in front of.
    """
    weights = Weights(geometry, module)
    constants: dict[int, Tensor] = {}
    exact: dict[int, Tensor] = {}  # as the module holds them, for folding

    def constant(i: int) -> Tensor:
        if i not in constants:
            weight = weights[i].detach()
            exact[i] = weight
            cast = dtype is not None and weight.is_floating_point()
            constants[i] = weight.to(dtype) if cast else weight
        return constants[i]

    for record in geometry.records[:until]:
        if not record.live:
            continue
        for i in record.inputs:
            if geometry.values[i].source not in ("record", "input"):
                constant(i)
        if not geometry.values[record.output].varies:
            for known in (constants, exact):
                crops = [Crop(known[i], geometry.values[i].full) for i in record.inputs]
                known[record.output] = apply(
                    geometry,
                    record,
                    crops,
                    geometry.values[record.output].full,
                    batch=geometry.batch,
                )
    for leaf in geometry.outputs:
        if leaf is not None and geometry.values[leaf].source not in ("record", "input"):
            constant(leaf)
    nodes = _nodes(geometry, constants, exact, len(geometry.records) if until is None else until)
    wide: dict[int, Tensor] = {}
    if dtype is not None and dtype.itemsize < torch.float32.itemsize:
        nodes = _wide(nodes)
        needed = {i for n in nodes if n.wide for i in n.record.inputs}
        # Weights in double precision too: what they meet is float32.
        wide = {
            i: exact[i].float() if exact[i].is_floating_point() else exact[i]
            for i in needed
            if i in exact
        }
    readers: dict[int, list[int]] = {}
    for node in nodes:
        for read in node.reads:
            readers.setdefault(read.value, []).append(node.index)
    mixing = next((n.index for n in nodes if _mixes(geometry, n)), None)
    return Network(
        geometry, geometry.inputs[0], tuple(nodes), constants, wide,
        {v: tuple(dict.fromkeys(r)) for v, r in readers.items()}, _margins(geometry, nodes),
        _head(geometry, nodes), mixing, weights.device,
    )  # fmt: skip


def _wide(nodes: list[Node]) -> list[Node]:
    """Mark the last matrix product, what follows, and what stands before it back to the mean over positions.

    They are a small share of the arithmetic, and in float32 a drop far smaller than its score keeps its digits.
    """
    first = max((n.index for n in nodes if isinstance(n.record.plan, Product)), default=len(nodes))
    if any(n.kernel is not None or n.join is not None for n in nodes[first:]):
        return nodes
    while 0 < first < len(nodes):
        before = nodes[first - 1]
        if not isinstance(before.record.plan, (*MEANS, *CHEAP)) or before.kernel is not None:
            break
        first -= 1
        if isinstance(before.record.plan, MEANS):
            break
    return [replace(n, wide=True) if n.index >= first else n for n in nodes]


def _mixes(geometry: Geometry, node: Node) -> bool:
    plan = node.record.plan
    lost = not any(BATCH in dim for dim in geometry.values[node.output].layout)
    return lost or (isinstance(plan, Whole) and plan.mixes_batch)


def _nodes(
    geometry: Geometry, constants: Mapping[int, Tensor], exact: Mapping[int, Tensor], until: int
) -> list[Node]:
    values = geometry.values
    live = [r for r in geometry.records if r.live and values[r.output].varies]
    by_end = chains(geometry, live)
    inside = {r.index for c in by_end.values() for r in c.records}
    joined = joins(geometry, live)
    nodes: list[Node] = []
    for record in live:
        if record.index >= until:
            break
        chain = by_end.get(record.index)
        if chain is not None:
            first = chain.first
            reads = [Read(chain.input, first.links[0], 0)]
            if chain.add is not None and chain.other is not None:
                place = chain.add.inputs.index(chain.other)
                reads.append(Read(chain.other, chain.add.links[place], place))
            kernel = chain.kernel(constants, exact)
            nodes.append(
                Node(len(nodes), first, tuple(reads), record.output, kernel, None, first.macs or 0)
            )
        elif record.index not in inside:
            join = joined.get(record.index)
            pairs = enumerate(zip(record.inputs, record.links, strict=True))
            reads = [Read(i, link, place) for place, (i, link) in pairs if values[i].varies]
            if join is not None:
                parts = {v for v, _, _ in join.parts}
                reads = [r for r in reads if r.value in parts]
                if join.previous is not None:
                    extents = values[record.output].extents
                    grown = Link(tuple([None if n is None else Same(n, n) for n in extents]))
                    reads = [Read(join.previous, grown, -1), *reads]
            nodes.append(
                Node(len(nodes), record, tuple(reads), record.output, None, join, record.macs or 0)
            )
    return nodes


def _margins(
    geometry: Geometry, nodes: list[Node]
) -> dict[tuple[int, float], tuple[tuple[int, int], ...]]:
    """How far the windows of the nodes that run without buckets hang over the border of what they read."""
    margins: dict[tuple[int, float], list[tuple[int, int]]] = {}
    for node in nodes:
        if not windowed(node):
            continue
        read, out = node.reads[0], geometry.values[node.output]
        key = (read.value, filling(node))
        sides = margins.setdefault(key, [(0, 0)] * geometry.axes)
        for k, relation in enumerate(read.link.relations):
            n = out.extents[k]
            assert isinstance(relation, Window)
            assert n is not None
            start, stop = relation.reach((0, n))
            before, after = sides[k]
            sides[k] = (max(before, -start), max(after, stop - relation.n_in))
    return {key: tuple(sides) for key, sides in margins.items()}


def windowed(node: Node) -> bool:
    """Whether a node slides one window over its input with a fixed filling beyond the border."""
    if node.kernel is not None:
        return True
    plan = node.record.plan
    if not isinstance(plan, (MaxPool, AvgPool)):
        return False
    if not all(isinstance(r, Window) for r in node.reads[0].link.relations):
        return False
    if any(k is None for k in plan.along) or plan.along != tuple(range(len(plan.along))):
        return False
    if len(plan.along) != len(node.reads[0].link.relations):
        return False
    if isinstance(plan, MaxPool):
        return True
    if plan.divisor is not None:
        return True
    relations = node.reads[0].link.relations
    whole = all(
        isinstance(r, Window) and r.reach((0, r.n_out))[1] <= r.n_in + r.pad for r in relations
    )
    return whole and (plan.count_padding or not any(plan.padding))


def filling(node: Node) -> float:
    """What lies beyond the border: zeros, or for a maximum what never wins."""
    return float("-inf") if isinstance(node.record.plan, MaxPool) else 0.0


def _head(geometry: Geometry, nodes: list[Node]) -> int:
    """Where the head starts: behind the last convolution, before the first matrix product, where least is handed on."""
    last = max((n.index for n in nodes if n.kernel is not None), default=-1)
    products = [n.index for n in nodes if isinstance(n.record.plan, Product) and n.index > last]
    if not products:
        return len(nodes)
    best, at = None, products[0]
    for cut in range(products[0], last, -1):
        made = {n.output for n in nodes[cut:]}
        crossing = {r.value for n in nodes[cut:] for r in n.reads} - made
        size = sum(geometry.values[v].bytes for v in crossing)
        if best is None or size < best:
            best, at = size, cut
    return at
