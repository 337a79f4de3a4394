"""A network of a person's own: a module, or a function that makes one, under a name that stands where a spec stands."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
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
            copied = isinstance(self.model, nn.Module)
            network = self._copy() if copied else self._made(in_channels, num_classes)
        refuse_lazy(network)
        kinds = {p.dtype for p in network.parameters() if p.is_floating_point()}
        return network.cpu() if kinds <= {torch.float32} else network.cpu().float()

    def _copy(self) -> nn.Module:
        assert isinstance(self.model, nn.Module)
        refuse_lazy(self.model)
        try:
            network = copy.deepcopy(self.model)
        except Exception as error:  # locks, generators, tensors with a graph
            kind = type(self.model).__name__
            raise UsageError(
                f"{kind} cannot be copied ({error}), and a training works on a copy, so that yours stays as it is; give a "
                f"function that makes it: model=lambda: {kind}(...)"
            ) from error
        for parameter in network.parameters():
            parameter.grad = None
        return network

    def _made(self, in_channels: int, num_classes: int) -> nn.Module:
        assert not isinstance(self.model, nn.Module)
        known = self._known({CHANNELS: in_channels, CLASSES: num_classes})
        try:
            network = self.model(**known)
        except Exception as error:  # whatever somebody else's function raises
            asked = ", ".join(f"{name}={value}" for name, value in known.items())
            raise UsageError(
                f"{self.spec.removeprefix(PREFIX)}({asked}) raised {type(error).__name__}: {error}; give a function "
                "factory(in_channels=, num_classes=), or one without arguments, that makes the network"
            ) from error
        if not isinstance(network, nn.Module):
            raise UsageError(
                f"{self.spec.removeprefix(PREFIX)} gives {type(network).__name__}, not a torch.nn.Module; return the network"
            )
        return network

    def _known(self, wanted: dict[tuple[str, ...], int]) -> dict[str, int]:
        """The arguments of `wanted` that the factory takes, by its own names."""
        try:
            parameters = inspect.signature(self.model).parameters
        except (TypeError, ValueError):
            return {}
        found = {
            next(name for name in names if name in parameters): value
            for names, value in wanted.items()
            if any(name in parameters for name in names)
        }
        passes_on = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        if passes_on and not any(name in found for name in CLASSES):
            # torchvision's functions hand **kwargs to a class that knows the number of classes alone.
            found[CLASSES[0]] = wanted[CLASSES]
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
