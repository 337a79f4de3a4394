"""Does an image fit through a network? Asked before any training, without moving a weight."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from striate.errors import UsageError

LARGEST = 1024  # pixels; the search for a size that fits goes no further
# torch's words where a window is larger than what is left of the image
_SHRUNK = re.compile("utput size is too small|can't be greater than actual input size")


@dataclass(frozen=True)
class Misfit:
    """Where an image got stuck: the layer's name and description, the size that came in, and why."""

    name: str
    layer: str
    size: tuple[int, ...]
    reason: str

    @property
    def shrunk(self) -> bool:
        """True where nothing was left of the image, false where the layer refused it otherwise."""
        return _SHRUNK.search(self.reason) is not None


@contextmanager
def _entered(network: nn.Module) -> Iterator[list[tuple[str, str, tuple[int, ...]]]]:
    """The innermost modules that ran, in order: name, description, size that came in."""
    entered: list[tuple[str, str, tuple[int, ...]]] = []
    hooks = []
    for name, module in network.named_modules():
        if any(True for _ in module.children()):
            continue

        def enter(module: nn.Module, args: tuple[Any, ...], name: str = name) -> None:
            if args and isinstance(args[0], Tensor):
                entered.append((name, str(module), tuple(args[0].shape[2:])))

        hooks.append(module.register_forward_pre_hook(enter))
    try:
        yield entered
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while: batch norm in training refuses a batch of one."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _kept(network: nn.Module) -> Iterator[None]:
    """Parameters and buffers as they were: torch's `functional_call` leaves its own in a layer that has two names."""
    stores: list[dict[str, Any]] = [
        s for m in network.modules() for s in (m._parameters, m._buffers)
    ]
    held = [(store, dict(store)) for store in stores]
    try:
        yield
    finally:
        for own, before in held:
            own.update(before)


def misfit(network: nn.Module, in_channels: int, size: tuple[int, int]) -> Misfit | None:
    """The layer at which an image of `size` (height, width) gets stuck, or None where it fits.

    Runs shapes alone, on the meta device; the network is left as it was. A network with an
    operation that has no shape rule cannot be asked, and gives None.
    """
    state = {
        name: tensor.detach().to("meta")
        for name, tensor in (*network.named_parameters(), *network.named_buffers())
    }
    image = torch.empty(1, in_channels, *size, device="meta")
    with _entered(network) as entered, _evaluating(network), _kept(network), torch.no_grad():
        try:
            functional_call(network, state, (image,))
        except NotImplementedError:
            return None
        except (RuntimeError, AssertionError) as error:
            reason = (str(error) or "the layer refuses it").partition("\n")[0]
            return Misfit(*(entered[-1] if entered else ("", "", size)), reason)
    return None


def check_fits(name: str, network: nn.Module, in_channels: int, size: tuple[int, int]) -> None:
    """Raises UsageError that says where an image of `size` gets stuck, and which size fits."""
    reason = misfit(network, in_channels, size)
    if reason is None:
        return
    image = f"an image of {size[0]} x {size[1]} pixels"
    came = " x ".join(map(str, reason.size))
    least = smallest_side(network, in_channels, min(size))
    if reason.shrunk:
        advice = f"images of at least {least} x {least} pixels" if least else "larger images"
        raise UsageError(
            f"{name} shrinks {image} below one pixel at {reason.name} ({reason.layer}), where "
            f"{came} come in; give {advice}"
        )
    advice = f"images of {least} x {least} pixels fit" if least else "use another size"
    where = f" at {reason.name}" if reason.name else ""
    raise UsageError(f"{name} does not take {image}{where}: {reason.reason}; {advice}")


def smallest_side(network: nn.Module, in_channels: int, above: int) -> int | None:
    """The side of the smallest square image that fits, where `above` does not; None over 1024."""
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
