"""A loss and an augmentation of a person's own, as the loop and the batches take them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.training.batch import Batch, Loss, LossFunction
from striate.wording import name_of


@dataclass(frozen=True)
class OwnLoss:
    """A loss of a person's own as one that adds up.

    function: (output, targets) -> the mean over the images, (), or a value an image, (N,). Where its second parameter is
    called `batch` it gets the whole `Batch` and may give a `Loss`. Only values an image, or a `Loss`, add up exactly where
    the images do not count alike, such as with ignored pixels or class weights. task: whose other numbers are shown.
    related: whether it gets a whole batch at once, as the task's loss does, see `LossFunction`.

    A network that gives one tensor has it cast to float32; several, in a tuple or a dict, reach the function as they are.
    """

    function: Callable[[Any, Any], Any]
    task: LossFunction
    whole: bool
    related: bool = False

    @classmethod
    def of(cls, function: Any, task: LossFunction) -> OwnLoss:
        """Raises UsageError for what cannot be called with two arguments."""
        if not callable(function) or inspect.isclass(function):
            hint = f"make one of it: {function.__name__}()" if inspect.isclass(function) else (
                "give a function (output, targets) -> the mean loss, or a loss an image"
            )  # fmt: skip
            raise UsageError(f"loss={function!r} cannot be called with a batch; {hint}")
        named = _parameters(function)
        if named is not None and len(named) < 2:
            raise UsageError(
                f"the loss {name_of(function)} takes {len(named)} arguments; it is called with the network's output and "
                "the targets"
            )
        whole = named is not None and named[1] == "batch"
        return cls(function, task, whole, related=getattr(task, "related", False))

    def __call__(self, output: Any, batch: Batch) -> Loss:
        if isinstance(output, Tensor):
            output = output.float()
            if isinstance(self.function, nn.Module):  # such as one that holds weights of classes
                self.function.to(output.device)
        try:
            value = self.function(output, batch if self.whole else batch.targets)
        except Exception as error:
            raise UsageError(
                f"the loss {name_of(self.function)} raised {type(error).__name__} for an output {_form(output)} and "
                f"targets {_form(batch.targets)}: {error}"
            ) from error
        n = len(batch)
        if not isinstance(value, Loss):
            if not isinstance(value, Tensor) or value.shape not in ((), (n,)):
                raise UsageError(
                    f"the loss {name_of(self.function)} gives {_form(value)} for {n} images; give their mean, a tensor (), "
                    f"or a value an image, ({n},)"
                )
            value = Loss(value.sum() if value.ndim else value * n, n)
        if value.parts:
            return value
        with torch.no_grad():
            detached = output.detach() if isinstance(output, Tensor) else output
            return Loss(value.sum, value.weight, self.task(detached, batch).parts)


@dataclass(frozen=True)
class OwnAugmentation:
    """An augmentation of a person's own.

    function: (images (N, C, H, W) uint8, generator) -> images of the same shape and type; or a transform of one image
    (C, H, W), such as those of torchvision.transforms.v2, which then draws from torch's own random numbers, seeded anew
    for each batch. generator: a torch.Generator on the CPU, which depends on the seed and the step alone.
    """

    function: Callable[..., Tensor]
    one: bool

    @classmethod
    def of(cls, function: Any) -> OwnAugmentation:
        """Raises UsageError for what cannot be called."""
        if not callable(function) or inspect.isclass(function):
            hint = f"make one of it: {function.__name__}()" if inspect.isclass(function) else (
                "give a function (images uint8 (N, C, H, W), generator) -> images"
            )  # fmt: skip
            raise UsageError(f"augment={function!r} cannot be called with images; {hint}")
        named = _parameters(function)
        return cls(function, named is None or len(named) < 2)

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Images (N, C, H, W) uint8 in, new ones of the same shape and type out. Raises UsageError."""
        try:
            y = self._each(x, generator) if self.one else self.function(x, generator)
        except Exception as error:
            raise UsageError(
                f"the augmentation {name_of(self.function)} raised {type(error).__name__} for images {_form(x)}: {error}"
            ) from error
        if not isinstance(y, Tensor) or y.dtype != torch.uint8 or y.shape != x.shape:
            given = x[0] if self.one else x
            raise UsageError(
                f"the augmentation {name_of(self.function)} gives {_form(y)} for images {_form(given)}; give uint8 of "
                "the same shape (floats by .round().clamp(0, 255).to(torch.uint8))"
            )
        return y

    def _each(self, x: Tensor, generator: torch.Generator) -> Any:
        seed = int(torch.randint(2**31, (), generator=generator))
        with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
            torch.manual_seed(seed)
            images = [self.function(image) for image in x]
        alike = all(isinstance(y, Tensor) and y.shape == x.shape[1:] for y in images)
        return torch.stack(images) if alike else images[0]


def _form(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return type(value).__name__


def _parameters(function: Any) -> list[str] | None:
    """The names of the positional parameters; None where they are not known (written in C, or *args)."""
    try:
        called = function.forward if isinstance(function, nn.Module) else function
        parameters = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
