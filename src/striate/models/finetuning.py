"""Where a network's head is, and its layers in order, to train some of them faster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from torch import nn

from striate.errors import UsageError

NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.InstanceNorm2d,
)


def _weighted_layers(module: nn.Module) -> Iterator[nn.Module]:
    """The parts of `module` with parameters, in order of registration; sequences are opened."""
    for child in module.children():
        if not any(True for _ in child.parameters()):
            continue
        if type(child) is nn.Sequential:
            yield from _weighted_layers(child)
        else:
            yield child


def head(module: nn.Module) -> nn.Module:
    """The classifier: the last layer or block with weights, as large as the classes are many.

    Networks of timm are asked for theirs; in all others it is the layer registered last.
    Raises UsageError where no part of the network has parameters.
    """
    ask = getattr(module, "get_classifier", None)
    if callable(ask):
        answer = ask()
        parts = answer if isinstance(answer, (tuple, list)) else [answer]
        parts = [p for p in parts if isinstance(p, nn.Module) and any(True for _ in p.parameters())]
        if len(parts) == 1:
            return cast(nn.Module, parts[0])
        if parts:
            return nn.ModuleList(parts)
    layers = list(_weighted_layers(module))
    if layers:
        return layers[-1]
    if any(True for _ in module.parameters()):
        return module
    raise UsageError(
        f"{type(module).__name__} has no parameters, so it has no head; give a network with "
        "layers to train"
    )


def layer_groups(module: nn.Module) -> list[list[nn.Parameter]]:
    """Every trainable parameter once, in groups from the input to the head, the last group.

    A norm belongs to the convolution before it, a block (residual, Inception, dense) is one group,
    and auxiliary classifiers train with the head. Networks of timm are grouped as their own
    `group_matcher` says.
    """
    matcher = getattr(module, "group_matcher", None)
    groups = _groups_by_timm(module, matcher) if callable(matcher) else _groups_by_order(module)
    last = list(_head_parameters(module))
    taken = {id(p) for p in last}
    rest = [[p for p in group if id(p) not in taken and p.requires_grad] for group in groups]
    return [group for group in (*rest, [p for p in last if p.requires_grad]) if group]


def _head_parameters(module: nn.Module) -> Iterator[nn.Parameter]:
    yield from head(module).parameters()
    for name, child in module.named_children():
        if name.startswith("aux"):
            yield from child.parameters()


def _groups_by_order(module: nn.Module) -> list[list[nn.Parameter]]:
    groups: list[list[nn.Parameter]] = []
    seen: set[int] = set()

    def add(parameters: Iterator[nn.Parameter], *, join: bool = False) -> None:
        fresh = [p for p in parameters if id(p) not in seen]
        seen.update(id(p) for p in fresh)
        if join and groups:
            groups[-1].extend(fresh)
        else:
            groups.append(fresh)

    add(module.parameters(recurse=False))  # position embeddings and the like act on the input
    for layer in _weighted_layers(module):
        add(layer.parameters(), join=isinstance(layer, NORMS))
    return groups


def _groups_by_timm(module: nn.Module, matcher: Callable[..., Any]) -> list[list[nn.Parameter]]:
    from timm.models import group_parameters  # timm takes seconds to import

    named = dict(module.named_parameters())
    grouped = group_parameters(module, matcher(coarse=False))
    return [[named[name] for name in grouped[i]] for i in sorted(grouped)]
