"""Where a network's head is, and its layers in order, to train some of them faster."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
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

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
HEAD_STD = 0.01  # of a head's first weights in fine-tuning, at most
# and of its logits over features of size 1: with 0.01 on 1280 features a first batch of unequal classes
# starts up to 33 % from ln(classes), measured on photographs; with 0.1 / sqrt(1280) at most 8 %
LOGIT_STD = 0.1


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
    `group_matcher` says, and a network with a method `layer_groups` as that says.
    """
    around = getattr(module, "layer_groups", None)  # of a network around another
    if callable(around):
        return cast(list[list[nn.Parameter]], around())
    matcher = getattr(module, "group_matcher", None)
    groups = _groups_by_timm(module, matcher) if callable(matcher) else _groups_by_order(module)
    last = list(_head_parameters(module))
    taken = {id(p) for p in last}
    rest = [[p for p in group if id(p) not in taken and p.requires_grad] for group in groups]
    return [group for group in (*rest, [p for p in last if p.requires_grad]) if group]


def freeze(module: nn.Module, share: float) -> int:
    """Take the first layers out of training: that share of the groups before the head, rounded; returns how many parameters.

    share: between 0 and 1, where all but the head keep their weights. Groups as `layer_groups` has them.
    """
    body = layer_groups(module)[:-1]
    taken = [p for group in body[: round(share * len(body))] for p in group]
    for parameter in taken:
        parameter.requires_grad_(False)
    return sum(p.numel() for p in taken)


def class_layers(module: nn.Module) -> list[nn.Module]:
    """The layers whose outputs are the classes: of the head, of each distilled head, of auxiliary heads.

    A head of several layers (MetaFormer's MLP, a norm before the linear layer) keeps all but these
    when the classes change. Raises UsageError where no part of the network has parameters.
    """
    classifiers: list[nn.Module] = []
    for part in (head(module), *_auxiliary(module)):
        # crossvit and efficientvim have a list of heads, each of its own width
        for one in part if isinstance(part, nn.ModuleList) else (part,):
            layers = [m for m in one.modules() if isinstance(m, WEIGHTED)]
            if layers:
                classes = layers[-1].weight.shape[0]
                classifiers += [m for m in layers if m.weight.shape[0] == classes]
    return classifiers


def start_head(module: nn.Module, only: Collection[str] | None = None) -> None:
    """Draw the layers of `class_layers` anew, small: deviation 0.01 (less above 100 inputs), bias 0.

    Trained features are large, so that the deviation of a layer in the middle, 1/sqrt(fan_in) or
    1/sqrt(classes), would begin a fine-tuning confident and wrong; from here its loss is
    ln(classes). Deviation 0.01 is that of Krizhevsky et al., "ImageNet classification" (2012).
    only: names of parameters; other layers stay as they are.
    """
    names = {id(p): name for name, p in module.named_parameters()}
    for layer in class_layers(module):
        assert isinstance(layer, WEIGHTED)
        if only is not None and names[id(layer.weight)] not in only:
            continue
        if layer.weight.is_meta:
            continue
        fan_in = layer.weight[0].numel()
        nn.init.normal_(layer.weight, std=min(HEAD_STD, LOGIT_STD / math.sqrt(fan_in)))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _auxiliary(module: nn.Module) -> list[nn.Module]:
    """Classifiers beside the way: GoogLeNet's aux1, Inception v3's AuxLogits, VOLO's aux_head."""
    parts = [c for name, c in module.named_children() if name.lower().startswith("aux")]
    return [part for part in parts if any(True for _ in part.parameters())]


def _head_parameters(module: nn.Module) -> Iterator[nn.Parameter]:
    yield from head(module).parameters()
    for part in _auxiliary(module):
        yield from part.parameters()


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
