"""Max-unpooling by recorded switches: where each maximum came from, its value goes back to.

Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks" (2014), section
2.1; lecture 004, section 4; lecture 002, "What a CNN can see".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import UsageError


@dataclass(frozen=True)
class Switch:
    """Where one max pooling found its maxima.

    indices: (N, C, H', W'), counted through each map in reading order. size: (H, W) of the maps.
    """

    indices: Tensor
    size: tuple[int, int]

    def unpool(self, y: Tensor) -> Tensor:
        """Each value of y (N, C, H', W') where its maximum stood, zeros elsewhere: (N, C, H, W).

        Where overlapping windows had the same maximum, its pixel gets the mean of their values.
        Raises UsageError for values of another shape than the pooling gave.
        """
        if y.shape != self.indices.shape:
            raise UsageError(
                f"max-unpooling puts back what the pooling gave, {tuple(self.indices.shape)}, got "
                f"{tuple(y.shape)}; record the switches of this very image"
            )
        zeros = y.new_zeros(*y.shape[:2], self.size[0] * self.size[1])
        at, values = self.indices.flatten(2), y.flatten(2)
        sums = zeros.scatter_add(2, at, values)
        windows = zeros.scatter_add(2, at, torch.ones_like(values))
        return (sums / windows.clamp(min=1)).unflatten(2, self.size)


@contextmanager
def record_switches(network: nn.Module) -> Iterator[Mapping[str, Switch]]:
    """While the context is open, note the switches of every `nn.MaxPool2d` that `network` runs
    through.

    Gives a mapping, name of the layer -> Switch, in the order in which they ran, which fills with
    the forward pass and may be read afterwards; a layer that runs again is `name:2`, then `name:3`.
    The network computes what it always does, and is left as it was.

        >>> network = nn.Sequential(nn.MaxPool2d(2))
        >>> with record_switches(network) as switches:
        ...     y = network(torch.tensor([[[[1.0, 2.0], [4.0, 3.0]]]]))
        >>> switches["0"].unpool(y).tolist()
        [[[[0.0, 0.0], [4.0, 0.0]]]]
    """
    switches: dict[str, Switch] = {}
    runs: Counter[str] = Counter()
    hooks = []
    for name, module in network.named_modules():
        if not isinstance(module, nn.MaxPool2d):
            continue

        def note(
            module: nn.MaxPool2d, args: tuple[Any, ...], output: Any, name: str = name
        ) -> None:
            (x,) = args
            _, indices = F.max_pool2d(
                x.detach(),
                module.kernel_size,
                module.stride,
                module.padding,
                module.dilation,
                module.ceil_mode,
                return_indices=True,
            )
            runs[name] += 1
            key = name if runs[name] == 1 else f"{name}:{runs[name]}"
            switches[key] = Switch(indices, (x.shape[-2], x.shape[-1]))

        hooks.append(module.register_forward_hook(note))
    try:
        yield switches
    finally:
        for hook in hooks:
            hook.remove()


class SwitchUnpool2d(nn.Module):
    """Max-unpooling by the switches of the pooling that it mirrors: (N, C, H', W') -> (N, C, H, W).

    It stands in the decoder of an EncoderDecoder, which hands it the switches.
    Raises UsageError in the forward pass where it gets no switches, or values of another shape than the pooling gave.
    """

    def forward(self, y: Tensor, switch: Switch | None = None) -> Tensor:
        if switch is None:
            raise UsageError(
                "SwitchUnpool2d needs the switches of a pooling; run it in an EncoderDecoder, or "
                "call switch.unpool(y) with a switch of record_switches"
            )
        return switch.unpool(y)


class EncoderDecoder(nn.Module):
    """An encoder and a decoder that undoes its poolings: (N, C, H, W) -> what the decoder gives.

    The decoder is a sequence; its first SwitchUnpool2d takes the switches of the encoder's last max
    pooling, its second those of the one before, and so on.
    Raises UsageError in the forward pass where the numbers of poolings and un-poolings differ.
    Source: Badrinarayanan, Kendall, Cipolla, "SegNet" (2017), section 3.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Sequential) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor:
        with record_switches(self.encoder) as switches:
            y = self.encoder(x)
        waiting = list(switches.values())
        unpools = sum(isinstance(layer, SwitchUnpool2d) for layer in self.decoder)
        if len(waiting) != unpools:
            raise UsageError(
                "EncoderDecoder: each max pooling that runs needs one SwitchUnpool2d, got "
                f"{len(waiting)} and {unpools}"
            )
        for layer in self.decoder:
            y = layer(y, waiting.pop()) if isinstance(layer, SwitchUnpool2d) else layer(y)
        return y
