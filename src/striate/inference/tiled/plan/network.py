"""The network as tiling sees it: nodes that are computed box by box, and what has to be known of the whole image first.

A *node* makes one value that has positions. A *head* is a record whose inputs have none: it runs once. Between them
stand *reductions*: a mean over all positions, the statistics of a group norm, a feature map that a linear layer reads
whole. A reduction is known only after a walk over the whole image (a *pass*), so every node and head has a level:
how many passes must have ended before it can run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from striate.errors import GeometryError
from striate.geometry import Geometry, Link, Record
from striate.geometry.box import volume
from striate.geometry.index_map import All, Same
from striate.geometry.rules.normalisation import BatchNorm, GroupNorm
from striate.geometry.rules.pointwise import Pointwise
from striate.geometry.rules.site import Whole
from striate.inference.tiled.run.reductions import Reduction, way_of


@dataclass(frozen=True, slots=True)
class Read:
    """A value with positions that a node reads, and how."""

    value: int
    link: Link


@dataclass(frozen=True, slots=True)
class Node:
    """One value that is computed box by box, by records that run one after the other.

    reads: what the records need that has positions, without what they hand on to each other.
    level: passes that must have ended before.
    """

    index: int
    records: tuple[Record, ...]
    reads: tuple[Read, ...]
    output: int
    level: int

    @property
    def name(self) -> str:
        """The name of the first record."""
        return self.records[0].name


@dataclass(frozen=True, slots=True)
class Head:
    """A record that runs once, on inputs that are known as a whole."""

    record: Record
    level: int


@dataclass(frozen=True)
class Network:
    """A traced network, sorted for tiling. `image` is the value of the input."""

    geometry: Geometry
    image: int
    nodes: tuple[Node, ...]
    heads: tuple[Head, ...]
    reductions: tuple[Reduction, ...]
    constants: tuple[Record, ...]
    levels: dict[int, int]

    @property
    def passes(self) -> int:
        """How many walks over the image the network needs."""
        outputs = [self.levels.get(i, 0) for i in self.outputs]
        return 1 + max([r.level for r in self.reductions] + outputs, default=0)

    @property
    def outputs(self) -> tuple[int, ...]:
        """The values with positions that the network returns."""
        values = self.geometry.values
        return tuple(
            dict.fromkeys(i for i in self.geometry.outputs if i is not None and values[i].spatial)
        )

    def macs(self, node: Node) -> float:
        """Multiply-adds of one position of a node's output."""
        total = sum(r.macs or 0 for r in node.records)
        return total / max(volume(self.geometry.values[node.output].full), 1)


def sort(geometry: Geometry) -> Network:
    """Sort the records of a traced network into nodes, heads and reductions.

    Raises GeometryError, with the layer's name, for an operation that mixes all positions and is no statistic.
    """
    values = geometry.values
    levels: dict[int, int] = dict.fromkeys(geometry.inputs, 0)
    nodes: list[Node] = []
    heads: list[Head] = []
    reductions: dict[tuple[int, str], Reduction] = {}
    constants: list[Record] = []
    for record in geometry.records:
        if not record.live:
            continue
        out = values[record.output]
        if not out.varies:
            constants.append(record)
            continue
        spatial = [i for i in record.inputs if values[i].spatial]
        level = max([levels.get(i, 0) for i in record.inputs], default=0)
        if not spatial:
            heads.append(Head(record, level))
        elif not out.spatial:
            way = way_of(record)
            if way == "none":
                raise _refusal(geometry, _attention(geometry, record))
            if way == "whole":
                for i in spatial:
                    reductions[i, way] = Reduction(record, i, i, levels[i], way)
                level = max([level, *(levels[i] + 1 for i in spatial)])
                heads.append(Head(record, level))
            else:
                reductions[record.output, way] = Reduction(
                    record, spatial[0], record.output, level, way
                )
                level += 1
        else:
            if _mixes(geometry, record):
                if not isinstance(record.plan, (GroupNorm, BatchNorm)):
                    raise _refusal(geometry, record)
                reductions[record.output, "moments"] = Reduction(
                    record, spatial[0], record.output, levels[spatial[0]], "moments"
                )
                level = max(level, levels[spatial[0]] + 1)
            nodes.append(_node(geometry, record, level, len(nodes)))
        levels[record.output] = level
    network = Network(
        geometry, geometry.inputs[0], tuple(nodes), tuple(heads), tuple(reductions.values()),
        tuple(constants), levels,
    )  # fmt: skip
    return Network(
        geometry, network.image, _chained(network), network.heads, network.reductions, network.constants, levels
    )  # fmt: skip


def _attention(geometry: Geometry, record: Record) -> Record:
    """The layer that makes positions attend to each other after they were joined, for a message; else the record."""
    later = geometry.records[record.index :]
    return next(filter(_attends, later), record)


def _attends(record: Record) -> bool:
    """Whether a record is, or is part of, an attention among positions."""
    return "softmax" in record.op or "attention" in record.op


def _node(geometry: Geometry, record: Record, level: int, index: int) -> Node:
    reads = []
    for i, link in zip(record.inputs, record.links, strict=True):
        if not geometry.values[i].spatial:
            continue
        if isinstance(record.plan, (GroupNorm, BatchNorm)):  # the statistics are known by then
            n = geometry.values[i].extents
            link = Link(tuple([None if e is None else Same(e, e) for e in n]))
        reads.append(Read(i, link))
    return Node(index, (record,), tuple(reads), record.output, level)


def _mixes(geometry: Geometry, record: Record) -> bool:
    """Whether every axis along which the output could be cut is needed in full by some input."""
    extents = geometry.values[record.output].extents
    mixed = {
        k
        for link in record.links
        for k, relation in enumerate(link.relations)
        if isinstance(relation, All) and relation.n_in > 1
    }
    return bool(mixed) and all(n is None or k in mixed for k, n in enumerate(extents))


def _refusal(geometry: Geometry, record: Record) -> GeometryError:
    visit = geometry.visits[record.visit]
    kind = f" in {visit.kind}" if visit.kind else ""
    shape = "x".join(map(str, geometry.values[record.output].shape))
    # Nothing is guessed: an operation without a rule, or in a form that has none, could move any position anywhere.
    # That a softmax behind joined tokens mixes them is known, whatever form their places have there.
    unknown = isinstance(record.plan, Whole) and not _attends(record)
    does = "has no rule in this form and is taken to mix" if unknown else "mixes"
    return GeometryError(
        f"{record.name} ({record.op}{kind}, output {shape}) {does} all positions of its input, so the image cannot be "
        "cut into tiles before it; run this network on the whole image, or on a smaller one"
    )


def _chained(network: Network) -> tuple[Node, ...]:
    """Join pointwise nodes to the node that makes what they read, where nothing else reads it.

    What stands between them then never leaves the cache, and needs no place in the plan.
    """
    geometry = network.geometry
    uses: Counter[int] = Counter(r.value for node in network.nodes for r in node.reads)
    uses.update(r.value for r in network.reductions)
    uses.update(network.outputs)
    made: dict[int, Node] = {}
    for node in network.nodes:
        chained = node
        record = node.records[0]
        if isinstance(record.plan, (Pointwise, BatchNorm, GroupNorm)) and _fits(geometry, node):
            before = [
                made[r.value]
                for r in node.reads
                if r.value in made and uses[r.value] == 1 and made[r.value].level == node.level
                and geometry.values[r.value].layout == geometry.values[node.output].layout
            ]  # fmt: skip
            if before:  # a convolution rather than what it is added to; else the latest
                best = max(before, key=lambda n: (n.records[0].op == "convolution", n.index))
                reads = best.reads + tuple(r for r in node.reads if r.value != best.output)
                del made[best.output]
                chained = Node(
                    node.index, best.records + node.records, reads, node.output, node.level
                )
        made[chained.output] = chained
    ordered = sorted(made.values(), key=lambda n: n.index)
    return tuple(Node(i, n.records, n.reads, n.output, n.level) for i, n in enumerate(ordered))


def _fits(geometry: Geometry, node: Node) -> bool:
    """Whether each read is of the same position."""
    extents = geometry.values[node.output].extents
    return all(
        isinstance(relation, Same) if n is not None else relation is None
        for read in node.reads
        for relation, n in zip(read.link.relations, extents, strict=True)
    )
