"""A network of a person's own: a module, or a function that makes one, under a name that stands where a spec stands."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import nn

from striate.borrow import refuse_lazy
from striate.errors import UsageError
from striate.wording import name_of

PREFIX = "python:"
# Names under which networks elsewhere take the number of channels and of classes.
CHANNELS = ("in_channels", "in_chans", "channels")
CLASSES = ("num_classes", "n_classes", "classes", "num_outputs", "out_channels")

_GIVEN: WeakValueDictionary[str, OwnModel] = WeakValueDictionary()


class OwnModel:
    """A module or a factory, named `python:module:name` in recipes and runs.

    model: an nn.Module, of which each training and run gets a copy with its present weights, so that the module itself
    stays as it is; or a function or class `factory(in_channels=, num_classes=)`, called with those of the two that it takes
    (also as timm and others call them), which makes a new network each time. spec: of a run that is opened again.

    The name leads to the network as long as this object lives, and nothing of it is stored but the name and the weights.
    """

    def __init__(
        self, model: nn.Module | Callable[..., nn.Module], *, spec: str | None = None
    ) -> None:
        if not isinstance(model, nn.Module) and not callable(model):
            raise UsageError(
                f"a model is a spec such as 'resnet18', a torch.nn.Module, or a function that makes one; got {model!r}"
            )
        self.model = model
        self.spec = spec or PREFIX + name_of(model)
        self.register()

    def register(self) -> None:
        """Make the name lead here, also where another network of the same name was given since."""
        _GIVEN[self.spec] = self

    def build(self, in_channels: int, num_classes: int) -> nn.Module:
        """A network of its own for whoever asks, on the CPU, float32. Raises UsageError."""
        with torch.device("cpu"):  # also where others are built without memory
            network = make_network(self.model, in_channels=in_channels, num_classes=num_classes)
        kinds = {p.dtype for p in network.parameters() if p.is_floating_point()}
        return network.cpu() if kinds <= {torch.float32} else network.cpu().float()


def make_network(
    model: nn.Module | Callable[..., nn.Module], *, in_channels: int | None = None, num_classes: int | None = None
) -> nn.Module:  # fmt: skip
    """A network of its own: a copy of a module, or what a factory makes of those of the two numbers that it takes.

    The arguments that a functools.partial holds stay as they are. Raises UsageError where no network comes of it.
    """
    network = (
        _copy(model) if isinstance(model, nn.Module) else _made(model, in_channels, num_classes)
    )
    refuse_lazy(network)
    return network


def _copy(model: nn.Module) -> nn.Module:
    refuse_lazy(model)
    try:
        network = copy.deepcopy(model)
    except Exception as error:  # locks, generators, tensors with a graph
        kind = type(model).__name__
        raise UsageError(
            f"{kind} cannot be copied ({error}), and a copy is what is worked on, so that yours stays as it is; give a "
            f"function that makes it: lambda: {kind}(...)"
        ) from error
    for parameter in network.parameters():
        parameter.grad = None
    return network


def _made(model: Any, in_channels: int | None, num_classes: int | None) -> nn.Module:
    if not callable(model):
        raise UsageError(
            f"a network is a torch.nn.Module or a function that makes one, got {type(model).__name__}"
        )
    known = _known(model, {CHANNELS: in_channels, CLASSES: num_classes})
    name = name_of(model.func if isinstance(model, partial) else model)
    try:
        network = model(**known)
    except Exception as error:  # whatever somebody else's function raises
        held = {**model.keywords, **known} if isinstance(model, partial) else known
        asked = ", ".join(f"{key}={value!r:.40}" for key, value in held.items())
        raise UsageError(
            f"{name}({asked}) raised {type(error).__name__}: {error}; give a function factory(in_channels=, num_classes=), "
            "or one without arguments, that makes the network"
        ) from error
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"{name} gives {type(network).__name__}, not a torch.nn.Module; return the network"
        )
    return network


def _known(model: Any, wanted: dict[tuple[str, ...], int | None]) -> dict[str, int]:
    """The arguments of `wanted` that the factory takes, by its own names, without those that a partial has set."""
    try:
        parameters = inspect.signature(model).parameters
    except (TypeError, ValueError):
        return {}
    held = model.keywords if isinstance(model, partial) else {}
    found: dict[str, int] = {}
    for names, value in wanted.items():
        if value is None or any(name in held for name in names):
            continue
        taken = next((name for name in names if name in parameters), None)
        passes_on = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        if taken is None and passes_on and names is CLASSES:
            # torchvision's functions hand **kwargs to a class that knows the number of classes alone.
            taken = CLASSES[0]
        if taken is not None:
            found[taken] = value
    return found


def is_own(spec: str | None) -> bool:
    """Whether a recipe's model was given in Python."""
    return spec is not None and spec.startswith(PREFIX)


def find_own(spec: str) -> OwnModel:
    """The network that was given under this name. Raises UsageError where none is known in this process."""
    known = _GIVEN.get(spec)
    if known is None:
        raise UsageError(
            f"the network {spec.removeprefix(PREFIX)} was given in Python, and no code is stored with a run; give it again: "
            "model=... in striate.load or striate.train, the module or the function that makes it"
        )
    return known
