"""Passes: in which walk over the image what is computed, and which values are stored for the next walk."""

from __future__ import annotations

from dataclasses import dataclass

from striate.geometry.box import volume
from striate.inference.tiled.plan.costs import MOVE
from striate.inference.tiled.plan.network import Network, Node


@dataclass(frozen=True, slots=True)
class Pass:
    """One walk over the image.

    level: its number, from 0.
    nodes: what it computes, in order.
    sources: the image, and stored values that it reads instead of computing them again.
    stores: values that it stores whole for later passes.
    gathers: indices into `Network.reductions` of what it gathers.
    outputs: values that the network returns and this pass hands out.
    """

    level: int
    nodes: tuple[Node, ...]
    sources: frozenset[int]
    stores: tuple[int, ...]
    gathers: tuple[int, ...]
    outputs: tuple[int, ...]

    def targets(self, network: Network) -> tuple[int, ...]:
        """The values that the walk is made for."""
        gathered = [network.reductions[i].value for i in self.gathers]
        return tuple(dict.fromkeys([*self.outputs, *gathered, *self.stores]))


def arrange(network: Network, budget: int) -> tuple[Pass, ...]:
    """Share the network out among passes; up to `budget` bytes of values are stored between two passes.

    What later passes need and was not stored is computed again, from the last stored values or from the image.
    """
    passes = []
    held: frozenset[int] = frozenset()
    for level in range(network.passes):
        gathers = tuple(i for i, r in enumerate(network.reductions) if r.level == level)
        outputs = tuple(i for i in network.outputs if network.levels.get(i, 0) == level)
        sources = held | {network.image}
        stores, next_held = _stores(network, level, sources, budget)
        targets = {network.reductions[i].value for i in gathers} | set(outputs) | set(stores)
        nodes = _closure(network, targets, sources)
        passes.append(Pass(level, nodes, sources, stores, gathers, outputs))
        held = next_held
    return tuple(passes)


def _closure(network: Network, targets: set[int], sources: frozenset[int]) -> tuple[Node, ...]:
    """The nodes that make `targets` out of `sources`."""
    need = set(targets) - sources
    nodes = []
    for node in reversed(network.nodes):
        if node.output in need:
            nodes.append(node)
            need.update(r.value for r in node.reads if r.value not in sources)
    return tuple(reversed(nodes))


def _stores(
    network: Network, level: int, sources: frozenset[int], budget: int
) -> tuple[tuple[int, ...], frozenset[int]]:
    """What pass `level` stores, and what is held after it: the set that saves most work and fits the budget."""
    later = {r.value for r in network.reductions if r.level > level}
    later |= {i for i in network.outputs if network.levels.get(i, 0) > level}
    if not later:
        return (), frozenset()
    closure = _closure(network, later, sources)
    early = [n for n in closure if n.level <= level]
    late = [n for n in closure if n.level > level]
    values = network.geometry.values
    count = len(early)
    # A value is held if early node number k and those after it run again, for every k from `made` to `last`.
    last = dict.fromkeys({r.value for n in late for r in n.reads} | later, count)
    for k, node in enumerate(early):
        for read in node.reads:
            last[read.value] = max(last.get(read.value, 0), k)
    made = {node.output: k + 1 for k, node in enumerate(early)}
    made |= dict.fromkeys(sources - {network.image}, 0)
    spans = {v: (k, last[v]) for v, k in made.items() if v in last}
    sizes = [0] * (count + 2)
    for v, (first, final) in spans.items():
        if first <= final:
            sizes[first] += values[v].bytes
            sizes[final + 1] -= values[v].bytes
    again = sum(_work(network, n) for n in early)
    # All that is held is a cut through the early nodes at one place k, so that a scan over the places finds the best.
    best, size = 0, 0
    least, smallest = float("inf"), 0
    for k in range(count + 1):
        size += sizes[k]
        again -= _work(network, early[k - 1]) if k else 0.0
        if (size <= budget or k == 0) and (again < least or (again == least and size < smallest)):
            best, least, smallest = k, again, size
    holds = frozenset(v for v, (first, final) in spans.items() if first <= best <= final)
    return tuple(sorted(holds - sources)), holds


def _work(network: Network, node: Node) -> float:
    """What it costs to compute the whole of a node once, in multiply-adds."""
    value = network.geometry.values[node.output]
    return network.macs(node) * volume(value.full) + MOVE * value.bytes
