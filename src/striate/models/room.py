"""Room: the memory that a network takes before any of it is made: its weights, and its activations on one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.memory import available_memory


@dataclass(frozen=True)
class Room:
    """Bytes. weights: of all parameters and buffers. activations: the most that one layer's input and output take together,
    of one image of `size` (height, width) pixels, which is the least that a forward pass holds at once."""

    weights: int
    activations: int
    size: tuple[int, int]


def room_of(planned: nn.Module, in_channels: int, size: tuple[int, int]) -> Room:
    """What a network on the meta device would take. Where shapes cannot be run through it, the activations are 0."""
    tensors = (*planned.parameters(), *planned.buffers())
    weights = sum(t.numel() * t.element_size() for t in tensors)
    most = 0

    def ran(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        nonlocal most
        held = [t for t in (*args, output) if isinstance(t, Tensor)]
        most = max(most, sum(t.numel() * t.element_size() for t in held))

    leaves = [m for m in planned.modules() if not any(True for _ in m.children())]
    hooks = [m.register_forward_hook(ran) for m in leaves]
    try:
        with torch.no_grad():
            planned.eval()(torch.empty(1, in_channels, *size, device="meta"))
    except (RuntimeError, AssertionError, NotImplementedError, UsageError):
        pass  # it does not take this size, which `check_fits` says better, or has no rule for shapes
    finally:
        for hook in hooks:
            hook.remove()
    return Room(weights, most, size)


def refuse_larger(room: Room, spec: str) -> None:
    """Raise UsageError where a network's weights and activations, in bytes, are more than is free, before any is made."""
    have = available_memory()
    if room.weights + room.activations <= have:
        return
    high, wide = room.size
    remedy = "give it fewer channels or units, or pool more before the first fc"
    if room.activations > room.weights:
        remedy = "give it smaller images (--size) or fewer channels, or pool earlier"
    raise UsageError(
        f"{spec} has {room.weights // 4:,} parameters, which take {room.weights / 1e9:,.1f} GB, and its activations on one "
        f"image of {high} x {wide} pixels take {room.activations / 1e9:,.1f} GB; {have / 1e9:,.1f} GB are free (training "
        f"takes several times as much); {remedy}"
    )
