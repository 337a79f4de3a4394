"""Ordering: weights under other names, matched to a network's by their order and shapes where that leaves no doubt."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

SHOWN = 3


def in_order(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], counters: tuple[str, ...]
) -> dict[str, str] | None:
    """Names in the file of all the network's tensors, by its names; None where order and shapes leave a doubt.

    Both hold their tensors in the order in which modules were registered (files of safetensors are sorted, and hold none).
    The two orders must agree in every shape and in every last part (`weight`, `running_var`), a name that both have must
    stand for itself, and no module for its sibling: a file with `key` before `query` is not a network with `query` before
    `key`, though all shapes agree. counters: ends of names that are no weights and are left out of the comparison.
    """
    there = [n for n in tensors if not n.endswith(counters)]
    here = [n for n in wanted if not n.endswith(counters)]
    if len(there) != len(here) or there == here:
        return None
    pairs = list(zip(there, here, strict=True))
    for a, b in pairs:
        alike = tensors[a].shape == wanted[b].shape and a.rpartition(".")[2] == b.rpartition(".")[2]
        if not alike or (a != b and (a in wanted or b in tensors)):
            return None
    if _crosses(pairs) or _crosses([(b, a) for a, b in pairs]):
        return None
    return {b: a for a, b in pairs}


def _crosses(pairs: list[tuple[str, str]]) -> bool:
    """Whether a word of a name on the left is that of another module where its partner on the right stands."""
    modules = {tuple(b.split(".")[:-1]) for _, b in pairs}
    for a, b in pairs:
        place = b.split(".")[:-1]
        words = {w for w in a.split(".")[:-1] if not w.isdecimal()} - set(place)
        if any((*place[:i], w, *place[i + 1 :]) in modules for w in words for i in range(len(place))):  # fmt: skip
            return True
    return False


def sentence(names: Mapping[str, str]) -> str:
    """What was taken for what, the first few."""
    changed = [(a, b) for b, a in names.items() if a != b]
    first = ", ".join(f"{a} as {b}" for a, b in changed[:SHOWN])
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return f"its names are others, and its tensors fit in order and shape: {first}{more}; see that the predictions are right"
