"""Tree: the operations of a network under the submodules that ran them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from striate.geometry.geometry import Geometry, Layer


@dataclass(slots=True)
class Node:
    """One run of a submodule, or one operation of it (then `layer` is set and there are no children).

    name: the last part of its path, numbered from the second run on; kind: class or operation.
    """

    name: str
    path: str
    kind: str
    layer: Layer | None = None
    children: list[Node] = field(default_factory=list)
    _layers: list[Layer] | None = None

    @property
    def layers(self) -> list[Layer]:
        """Its operations, in the order they run; put together once, when the tree is complete."""
        if self._layers is None:
            own = [] if self.layer is None else [self.layer]
            self._layers = own or [x for child in self.children for x in child.layers]
        return self._layers

    @property
    def params(self) -> int:
        """Parameters that it is the first to use."""
        return sum(layer.params for layer in self.layers)

    @property
    def macs(self) -> int | None:
        """Multiply-adds; None if one of its operations is unknown."""
        counts = [layer.macs for layer in self.layers]
        return None if any(c is None for c in counts) else sum(c for c in counts if c is not None)

    @property
    def activation_bytes(self) -> int:
        """Bytes of the values that it makes."""
        return sum(layer.activation_bytes for layer in self.layers)

    def walk(self, depth: int, level: int = 0) -> Iterator[tuple[int, Node]]:
        """(level, node) for everything down to `depth`, parents first, without the root."""
        for child in self.children:
            yield level, child
            if level + 1 < depth:
                yield from child.walk(depth, level + 1)

    @property
    def height(self) -> int:
        """Levels below it."""
        return 1 + max(child.height for child in self.children) if self.children else 0


def tree(geometry: Geometry) -> Node:
    """The network as a tree; submodules that run no operation (Identity, Flatten) do not appear."""
    root = Node(geometry.kind, "", geometry.kind)
    nodes: dict[int, Node] = {0: root}

    def node(visit: int) -> Node:
        entry = nodes.get(visit)
        if entry is None:
            run = geometry.visits[visit]
            parent = node(run.parent if run.parent is not None else 0)
            prefix = f"{parent.path}." if parent.path else ""
            short = run.path.removeprefix(prefix)
            number = f"#{run.number}" if run.number > 1 else ""
            entry = Node(f"{short}{number}", run.path, run.kind)
            parent.children.append(entry)
            nodes[visit] = entry
        return entry

    for layer in geometry.layers:
        visit = geometry.records[layer.record].visit
        owner = node(visit)
        prefix = f"{owner.path}." if owner.path else ""
        owner.children.append(Node(layer.name.removeprefix(prefix), layer.name, layer.op, layer))
    for visit, entry in nodes.items():
        if visit and len(entry.children) == 1 and entry.children[0].layer is not None:
            entry.layer = entry.children[0].layer  # a submodule of one operation is that operation
            entry.children = []
    return root
