"""Does an image fit through a network? Asked before any training, without moving a weight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from striate.errors import UsageError

LARGEST = 1024  # pixels; the search for a size that fits goes no further


@dataclass(frozen=True)
class Misfit:
    """The layer at which nothing was left: its name, its description, the height and width that
    came in.
    """

    name: str
    layer: str
    size: tuple[int, ...]


@contextmanager
def _last_called(network: nn.Module) -> Iterator[list[Misfit]]:
    """A list whose last entry is the innermost module that was entered last; hooks are gone
    afterwards.
    """
    entered: list[Misfit] = []
    hooks = []
    for name, module in network.named_modules():
        if any(True for _ in module.children()):
            continue

        def enter(module: nn.Module, args: tuple[Any, ...], name: str = name) -> None:
            if args and isinstance(args[0], Tensor):
                entered.append(Misfit(name, str(module), tuple(args[0].shape[2:])))

        hooks.append(module.register_forward_pre_hook(enter))
    try:
        yield entered
    finally:
        for hook in hooks:
            hook.remove()


def misfit(network: nn.Module, in_channels: int, size: tuple[int, int]) -> Misfit | None:
    """The layer that shrinks an image of `size` (height, width) below one pixel, or None where the
    image fits.

    Runs shapes alone, on the meta device; the network is left as it was.
    """
    training = {m: m.training for m in network.modules()}
    state = {
        name: tensor.detach().to("meta")
        for name, tensor in (*network.named_parameters(), *network.named_buffers())
    }
    with _last_called(network) as entered, torch.no_grad():
        network.eval()  # batch norm in training refuses a batch of one
        try:
            functional_call(network, state, (torch.empty(1, in_channels, *size, device="meta"),))
        except RuntimeError:
            if not entered:
                raise
            return entered[-1]
        finally:
            for module, mode in training.items():
                module.training = mode
    return None


def check_fits(name: str, network: nn.Module, in_channels: int, size: tuple[int, int]) -> None:
    """Raises UsageError that names the layer at which an image of `size` shrinks to nothing, and a
    size that fits.
    """
    found = misfit(network, in_channels, size)
    if found is None:
        return
    least = smallest_side(network, in_channels, min(size))
    advice = f"give images of at least {least} x {least} pixels" if least else "give larger images"
    came = " x ".join(map(str, found.size))
    raise UsageError(
        f"{name} shrinks an image of {size[0]} x {size[1]} pixels below one pixel at {found.name} "
        f"({found.layer}), where {came} come in; {advice}"
    )


def smallest_side(network: nn.Module, in_channels: int, above: int) -> int | None:
    """The side of the smallest square image that fits, given that `above` does not; None beyond
    1024 pixels.
    """
    low, high = above, max(2 * above, 8)
    while misfit(network, in_channels, (high, high)) is not None:
        low, high = high, 2 * high
        if high > LARGEST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if misfit(network, in_channels, (middle, middle)) is None:
            high = middle
        else:
            low = middle
    return high
