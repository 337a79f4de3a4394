"""Outputs: the tensors of what a module returns, and how to put others in their place.

torch's pytrees open tuples, lists, dicts and named tuples. Networks also return dataclasses, dicts and lists of classes of
their own (the ModelOutput of Hugging Face) and simple namespaces; those are opened here, and not
registered with torch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from striate.errors import GeometryError

DEPTH = 4  # objects in each other that are searched for tensors


class Opened:
    """An object of a class that pytrees do not know: its parts, and the object without them."""

    def __init__(self, parts: Sequence[Any], names: tuple[Any, ...], shell: Any) -> None:
        self.parts, self.names, self.shell = list(parts), names, shell


class Shell:
    """What is left of an object when its parts are taken out; equal where class and names are."""

    def __init__(self, empty: Any, names: tuple[Any, ...]) -> None:
        self.empty, self.names = empty, names

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Shell) or type(self.empty) is not type(other.empty):
            return False
        return self.names == other.names

    def __hash__(self) -> int:
        return hash((type(self.empty), self.names))

    def filled(self, parts: Sequence[Any]) -> Any:
        """The object with these parts."""
        filled = copy.copy(self.empty)
        pairs = list(zip(self.names, parts, strict=True))
        if isinstance(filled, dict):
            for name, part in pairs:
                dict.__setitem__(filled, name, part)
                if name in getattr(
                    filled, "__dict__", ()
                ):  # a class that keeps its entries as attributes too
                    filled.__dict__[name] = part
        elif isinstance(filled, list):
            filled[:] = parts
        else:
            for name, part in pairs:
                object.__setattr__(filled, name, part)
        return filled


pytree.register_pytree_node(
    Opened,
    lambda o: (o.parts, Shell(o.shell, o.names)),
    lambda parts, shell: shell.filled(list(parts)),
    serialized_type_name="striate.geometry.outputs.Opened",
)


def flatten(result: Any) -> tuple[list[Any], pytree.TreeSpec]:
    """The leaves of what a module returns, and the tree that puts others in their place.

    Raises GeometryError for an object that holds tensors in a way that cannot be put together again.
    """
    opened = _open(result)
    leaves, tree = pytree.tree_flatten(opened)
    for leaf in leaves:
        if not isinstance(leaf, Tensor) and holds_tensor(leaf):
            raise GeometryError(
                f"the module returns {_a(type(leaf).__name__)}, whose tensors cannot be replaced from outside; return "
                "tensors, or a tuple, list, dict, named tuple or dataclass of them"
            )
    return leaves, tree


def map_tensors(result: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """What a module returns, with every tensor, of any shape, changed; tuples, dicts and objects keep their form."""
    leaves, tree = flatten(result)
    return pytree.tree_unflatten([change(t) if isinstance(t, Tensor) else t for t in leaves], tree)


def leaves_of(result: Any) -> list[Any]:
    """What a module returns as a flat list, in the order of a geometry's outputs."""
    return flatten(result)[0]


def _open(result: Any) -> Any:
    """The same with every object of an unknown class replaced by what is in it."""

    def opened(item: Any) -> Any:
        if is_dataclass(item) and not isinstance(item, (type, dict)):
            names: tuple[Any, ...] = tuple([f.name for f in fields(item) if hasattr(item, f.name)])
            parts = [getattr(item, n) for n in names]
        elif isinstance(item, dict):
            names, parts = tuple(item), list(dict.values(item))
        elif isinstance(item, list):
            names, parts = tuple(range(len(item))), list(item)
        elif isinstance(item, SimpleNamespace):
            names, parts = tuple(vars(item)), list(vars(item).values())
        else:
            return item
        if not any(holds_tensor(p) for p in parts):
            return item
        shell = copy.copy(item)
        empty = Shell(shell, names).filled([None] * len(parts))
        return Opened([_open(p) for p in parts], names, empty)

    return pytree.tree_map(opened, result)


def holds_tensor(item: Any, depth: int = DEPTH) -> bool:
    """Whether an object is a tensor, or has one in its attributes or entries."""
    if isinstance(item, Tensor):
        return True
    if depth == 0 or isinstance(item, (type, str, bytes, int, float)) or item is None:
        return False
    if hasattr(item, "gi_frame"):  # a generator, which would give its tensors once
        return True
    inside: list[Any] = []
    if isinstance(item, dict):
        inside += dict.values(item)
    elif isinstance(item, (list, tuple, set, frozenset)):
        inside += item
    state = getattr(item, "__dict__", None)
    if isinstance(state, dict):
        inside += state.values()
    inside += [
        getattr(item, n, None) for n in getattr(type(item), "__slots__", ()) if isinstance(n, str)
    ]
    return any(holds_tensor(part, depth - 1) for part in inside)


def _a(name: str) -> str:
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"
