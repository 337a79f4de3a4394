"""The network as incremental inference runs it: nodes, each one or several records that run in one go.

A convolution takes along the batch norm, the sum and the activation behind it, where nothing else reads what lies
between. All other records are nodes of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.geometry import Crop, Geometry, Link, Record, Weights, apply
from striate.geometry.layout import BATCH, axis_atom
from striate.geometry.relation import Same, Window
from striate.geometry.rules.convolution import Convolve
from striate.geometry.rules.normalisation import BatchNorm
from striate.geometry.rules.pointwise import Pointwise
from striate.geometry.rules.pooling import AvgPool, MaxPool
from striate.geometry.rules.product import Product
from striate.geometry.rules.site import Whole
from striate.inference.incremental.kernel import Activation, Kernel, activation

RANDOM = frozenset({"native_dropout", "dropout", "feature_dropout", "bernoulli", "rrelu_with_noise",
                    "rrelu_with_noise_functional", "rand_like", "randn_like", "uniform", "normal_functional"})  # fmt: skip


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
    macs: multiply-adds as traced.
    """

    index: int
    record: Record
    reads: tuple[Read, ...]
    output: int
    kernel: Kernel | None
    macs: int

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.record.name


@dataclass(frozen=True)
class Network:
    """Nodes in the order they run.

    constants: the values that do not depend on the image, by index. readers: for each value the nodes that read it.
    margins: for each (value, what padding is filled with) how far windows hang over before and after, by axis.
    head: the first node of the classifier's head, which runs on many images at once.
    mixing: the first node whose operation has no rule, so that it runs on as many images as were traced and no others.
    """

    geometry: Geometry
    image: int
    nodes: tuple[Node, ...]
    constants: Mapping[int, Tensor]
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


def lower(geometry: Geometry, module: nn.Module, dtype: torch.dtype | None = None) -> Network:
    """Turn records into nodes, with weights folded and packed.

    dtype: what weights and constants are cast to; as they are if None. Raises UsageError for a network that draws
    random numbers or takes statistics over the batch.
    """
    weights = Weights(geometry, module)
    constants: dict[int, Tensor] = {}
    exact: dict[int, Tensor] = {}  # as the module holds them, for folding

    def constant(i: int) -> Tensor:
        if i not in constants:
            found = weights[i].detach()
            exact[i] = found
            cast = dtype is not None and found.is_floating_point()
            constants[i] = found.to(dtype) if cast else found
        return constants[i]

    for record in geometry.records:
        if not record.live:
            continue
        _refuse_modes(geometry, record)
        for i in record.inputs:
            if geometry.values[i].source not in ("record", "input"):
                constant(i)
        if not geometry.values[record.output].varies:
            crops = [Crop(constants[i], geometry.values[i].full) for i in record.inputs]
            constants[record.output] = apply(
                geometry, record, crops, geometry.values[record.output].full, batch=geometry.batch
            )
    for leaf in geometry.outputs:
        if leaf is not None and geometry.values[leaf].source not in ("record", "input"):
            constant(leaf)
    nodes = _nodes(geometry, constants, exact)
    readers: dict[int, list[int]] = {}
    for node in nodes:
        for read in node.reads:
            readers.setdefault(read.value, []).append(node.index)
    mixing = next((n.index for n in nodes if _mixes(geometry, n)), None)
    return Network(
        geometry, geometry.inputs[0], tuple(nodes), constants,
        {v: tuple(dict.fromkeys(r)) for v, r in readers.items()}, _margins(geometry, nodes),
        _head(geometry, nodes), mixing, weights.device,
    )  # fmt: skip


def _mixes(geometry: Geometry, node: Node) -> bool:
    plan = node.record.plan
    lost = not any(BATCH in dim for dim in geometry.values[node.output].layout)
    return lost or (isinstance(plan, Whole) and plan.mixes_batch)


def shared(a: Network, b: Network) -> int:
    """How many nodes two traces of one module, for different numbers of images, begin with alike."""
    count = 0
    for m, n in zip(a.nodes, b.nodes, strict=False):
        if (m.record.op, m.output, m.reads) != (n.record.op, n.output, n.reads):
            break
        count += 1
    return count


def _refuse_modes(geometry: Geometry, record: Record) -> None:
    if not geometry.values[record.output].varies:
        return
    trained = (
        record.op == "native_batch_norm"
        and bool(record.args[5])
        and any(BATCH in d for d in geometry.values[record.inputs[0]].layout[:1])
        and not getattr(record.plan, "each", False)
    )
    if trained or (record.op in RANDOM and geometry.training):
        what = "takes statistics over the batch" if trained else "draws random numbers"
        raise UsageError(
            f"{record.name} {what}, so scores of the same image differ from run to run; call module.eval() first"
        )


def _nodes(
    geometry: Geometry, constants: Mapping[int, Tensor], exact: Mapping[int, Tensor]
) -> list[Node]:
    values = geometry.values
    live = [r for r in geometry.records if r.live and values[r.output].varies]
    uses: dict[int, list[Record]] = {}
    for r in live:
        for i in dict.fromkeys(r.inputs):
            uses.setdefault(i, []).append(r)
    returned = {i for i in geometry.outputs if i is not None}
    absorbed: set[int] = set()
    chains: dict[int, _Chain] = {}  # by the record that ends them
    boxes = _probe(geometry)

    def next_of(value: int) -> Record | None:
        found = uses.get(value, [])
        return found[0] if len(found) == 1 and value not in returned else None

    for record in live:
        if not _plain_convolution(geometry, record):
            continue
        chain = _Chain(record)
        after = next_of(record.output)
        if after is not None and isinstance(after.plan, BatchNorm) and _folds(after, record.output):
            chain.norm, chain.last = after, after
            after = next_of(after.output)
        other = None if after is None else _addend(geometry, after, chain.last.output)
        if (
            after is not None
            and other is not None
            and after.index not in absorbed
            and boxes.get(after.output) == boxes.get(chain.last.output)
        ):
            chain.add, chain.other, chain.last = after, other, after
            after = next_of(after.output)
        if after is not None and isinstance(after.plan, Pointwise) and len(after.inputs) == 1:
            found = activation(after.op, after.args)
            if found is not None:
                chain.activation, chain.last = found, after
        for r in chain.records:
            absorbed.add(r.index)
        if chain.activation is not None:
            absorbed.add(chain.last.index)
        chains[chain.last.index] = chain
    nodes: list[Node] = []
    for record in live:
        chain_ = chains.get(record.index)
        if chain_ is not None:
            nodes.append(chain_.node(len(nodes), geometry, constants, exact))
        elif record.index not in absorbed:
            reads = [
                Read(i, link, place)
                for place, (i, link) in enumerate(zip(record.inputs, record.links, strict=True))
                if values[i].varies
            ]
            nodes.append(
                Node(len(nodes), record, tuple(reads), record.output, None, record.macs or 0)
            )
    return nodes


@dataclass(slots=True)
class _Chain:
    """A convolution and what runs in one go with it."""

    first: Record
    norm: Record | None = None
    add: Record | None = None
    other: int | None = None
    activation: Activation | None = None
    last: Record = field(init=False)

    def __post_init__(self) -> None:
        self.last = self.first

    @property
    def records(self) -> list[Record]:
        return [r for r in (self.first, self.norm, self.add) if r is not None]

    def node(
        self, index: int, geometry: Geometry, constants: Mapping[int, Tensor], exact: Mapping[int, Tensor]
    ) -> Node:  # fmt: skip
        first, plan = self.first, self.first.plan
        assert isinstance(plan, Convolve)

        def given(record: Record, place: int) -> Tensor | None:
            position = getattr(record.args[place], "position", None)
            if position is None:
                return None
            i = record.inputs[position]
            return exact.get(i, constants[i])

        weight, bias = given(first, 1), given(first, 2)
        assert weight is not None
        dtype = constants[first.inputs[1]].dtype
        if self.norm is not None:
            gamma, beta, mean, var = (given(self.norm, p) for p in (1, 2, 3, 4))
            assert mean is not None
            assert var is not None
            scale = 1 / torch.sqrt(var.double() + self.norm.args[7])
            scale = scale if gamma is None else scale * gamma.double()
            shift = -mean.double() if bias is None else bias.double() - mean.double()
            bias = shift * scale if beta is None else shift * scale + beta.double()
            weight = weight.double() * scale.view(-1, *[1] * (weight.dim() - 1))
        kernel = Kernel(
            weight.detach().to(dtype), None if bias is None else bias.detach().to(dtype), plan.stride,
            plan.padding, plan.dilation, plan.groups, self.activation,
        )  # fmt: skip
        reads = [Read(first.inputs[0], first.links[0], 0)]
        if self.add is not None and self.other is not None:
            place = self.add.inputs.index(self.other)
            reads.append(Read(self.other, self.add.links[place], place))
        return Node(index, first, tuple(reads), self.last.output, kernel, first.macs or 0)


def _plain_convolution(geometry: Geometry, record: Record) -> bool:
    """A convolution of (N, C, *axes) with a constant weight."""
    plan, values = record.plan, geometry.values
    if not isinstance(plan, Convolve) or plan.kind != "local":
        return False
    x = values[record.inputs[0]]
    axes = tuple(range(geometry.axes))
    return (
        plan.along == axes
        and x.layout[0] == (BATCH,)
        and x.layout[2:] == tuple((axis_atom(k),) for k in axes)
        and not any(values[i].varies for i in record.inputs[1:])
    )


def _folds(norm: Record, value: int) -> bool:
    assert isinstance(norm.plan, BatchNorm)
    return (
        not norm.plan.training
        and norm.inputs[0] == value
        and norm.inputs.count(value) == 1
        and all(p is None or hasattr(p, "position") for p in norm.args[1:5])
    )


def _addend(geometry: Geometry, record: Record, value: int) -> int | None:
    """What a sum adds to `value`, where both have the same shape and positions."""
    if record.op != "add" or len(record.inputs) != 2 or dict(record.kwargs).get("alpha", 1) != 1:
        return None
    if len(record.args) > 2 or not isinstance(record.plan, Pointwise):
        return None
    other = record.inputs[1] if record.inputs[0] == value else record.inputs[0]
    a, b = geometry.values[value], geometry.values[other]
    same = a.shape == b.shape and a.layout == b.layout and a.dtype == b.dtype
    return other if same and other != value and b.varies else None


def _probe(geometry: Geometry) -> dict[int, object]:
    """What a change in the middle of the image reaches."""
    box = tuple((n // 2, n // 2 + max(n // 16, 1)) for n in geometry.image)
    return dict(geometry.push(box))


def _margins(
    geometry: Geometry, nodes: list[Node]
) -> dict[tuple[int, float], tuple[tuple[int, int], ...]]:
    """How far the windows of the nodes that run without buckets hang over the border of what they read."""
    found: dict[tuple[int, float], list[tuple[int, int]]] = {}
    for node in nodes:
        if not windowed(node):
            continue
        read, out = node.reads[0], geometry.values[node.output]
        key = (read.value, filling(node))
        sides = found.setdefault(key, [(0, 0)] * geometry.axes)
        for k, relation in enumerate(read.link.relations):
            n = out.extents[k]
            assert isinstance(relation, Window)
            assert n is not None
            start, stop = relation.reach((0, n))
            before, after = sides[k]
            sides[k] = (max(before, -start), max(after, stop - relation.n_in))
    return {key: tuple(sides) for key, sides in found.items()}


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


def same(read: Read) -> bool:
    """Whether the output's box is the box that is read, along every axis."""
    return all(r is None or isinstance(r, Same) for r in read.link.relations)
