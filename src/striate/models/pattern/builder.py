"""Layers in order -> a network for images of a given size."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import cast

from torch import nn

from striate.errors import PatternError
from striate.models.initialise import Nonlinearity, start_layer
from striate.models.pattern.parser import parse
from striate.models.pattern.syntax import (
    Activation,
    Conv,
    Dropout,
    Flatten,
    FullyConnected,
    GlobalPool,
    Layer,
    Norm,
    Pool,
)
from striate.models.pattern.unrolling import unroll

MOST_WEIGHTS = 2**31  # of one layer: 8 GiB in float32

ACTIVATIONS: dict[str, Callable[[float], nn.Module]] = {
    "relu": lambda slope: nn.ReLU(),
    "tanh": lambda slope: nn.Tanh(),
    "sigmoid": lambda slope: nn.Sigmoid(),
    "gelu": lambda slope: nn.GELU(),
    "silu": lambda slope: nn.SiLU(),
    "leakyrelu": nn.LeakyReLU,
}
# GELU and SiLU cut off the negative half as ReLU does, only with a rounder corner.
GAINS: dict[str, Nonlinearity] = {
    "relu": "relu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "gelu": "relu",
    "silu": "relu",
    "leakyrelu": "leaky_relu",
}


def build(
    pattern: str,
    *,
    in_channels: int = 3,
    num_classes: int = 10,
    size: tuple[int, int] = (32, 32),
) -> nn.Sequential:
    """The network that `pattern` describes, (N, in_channels, *size) -> (N, num_classes).

    Its modules are named by kind and number: conv1, relu1, pool1, ..., fc1.
    Raises PatternError at the character that cannot be read, and at the layer that does not fit the
    image.
    """
    layers = unroll(pattern, parse(pattern), num_classes)
    site = _Site(pattern, in_channels, size)
    for layer in layers:
        site.add(layer)
    site.finish(layers, num_classes)
    return nn.Sequential(site.modules)


class _Site:
    """The network so far and what leaves it: `channels` maps of `size`, or `channels` values where
    size is None.
    """

    def __init__(self, pattern: str, in_channels: int, size: tuple[int, int]) -> None:
        self.pattern = pattern
        self.image = size
        self.channels = in_channels
        self.size: tuple[int, int] | None = size
        self.modules: OrderedDict[str, nn.Module] = OrderedDict()
        self.counts: Counter[str] = Counter()
        self.waiting: nn.Module | None = (
            None  # a layer whose start depends on the activation to come
        )

    def fail(self, message: str, layer: Layer) -> PatternError:
        return PatternError(message, self.pattern, layer.position)

    def put(self, kind: str, module: nn.Module) -> None:
        self.counts[kind] += 1
        self.modules[f"{kind}{self.counts[kind]}"] = module

    def add(self, layer: Layer) -> None:
        _ADD[type(layer)](self, layer)

    def start(self, nonlinearity: Nonlinearity) -> None:
        if self.waiting is not None:
            start_layer(self.waiting, nonlinearity)
        self.waiting = None

    def map_size(self, layer: Layer, kind: str) -> tuple[int, int]:
        if self.size is None:
            raise self.fail(
                f"{kind} needs maps of pixels, but {self.channels} single values come in; put it "
                "before the first fc, gap, gmp or flatten",
                layer,
            )
        return self.size

    def shrink(self, layer: Conv | Pool, kind: str, reach: int, stride: int, padding: int) -> None:
        """The size after windows `reach` pixels wide."""
        height, width = self.map_size(layer, kind)
        if min(height, width) + 2 * padding < reach:
            name = f"{kind}{self.counts[kind] + 1}"
            raise self.fail(
                f"the image shrinks below one pixel at {name}: {height} x {width} pixels come in "
                f"and its window is {reach} x {reach} (the image is {self.image[0]} x "
                f"{self.image[1]}); pool less, pad more or give larger images",
                layer,
            )
        self.size = (
            (height + 2 * padding - reach) // stride + 1,
            (width + 2 * padding - reach) // stride + 1,
        )

    def check_weights(self, layer: Layer, count: int) -> None:
        if count > MOST_WEIGHTS:
            raise self.fail(
                f"this layer alone would have {count:,} weights, at most {MOST_WEIGHTS:,} are "
                "built; use fewer channels, or pool more before it",
                layer,
            )

    def conv(self, layer: Conv) -> None:
        out = cast(int, layer.channels)
        for what, channels in (("input", self.channels), ("output", out)):
            if channels % layer.groups:
                raise self.fail(
                    f"groups must divide the channels, got {layer.groups} groups of {channels} "
                    f"{what} channels",
                    layer,
                )
        reach = layer.dilation * (layer.kernel - 1) + 1
        padding = reach // 2 if layer.padding == "same" else 0
        if isinstance(layer.padding, int):
            padding = layer.padding
        if layer.padding == "same" and reach % 2 == 0:  # one zero more behind than before
            self.put("pad", nn.ZeroPad2d((padding - 1, padding, padding - 1, padding)))
            height, width = self.map_size(layer, "conv")
            self.size = (height + reach - 1, width + reach - 1)
            padding = 0
        self.shrink(layer, "conv", reach, layer.stride, padding)
        self.check_weights(layer, out * self.channels // layer.groups * layer.kernel**2)
        self.start("linear")
        module = nn.Conv2d(
            self.channels,
            out,
            layer.kernel,
            layer.stride,
            padding,
            layer.dilation,
            layer.groups,
        )
        self.put("conv", module)
        self.waiting = module
        self.channels = out

    def pool(self, layer: Pool) -> None:
        kind = "pool" if layer.kind == "max" else "avgpool"
        stride = layer.kernel if layer.stride is None else layer.stride
        self.shrink(layer, kind, layer.kernel, stride, layer.padding)
        make = nn.MaxPool2d if layer.kind == "max" else nn.AvgPool2d
        self.put(kind, make(layer.kernel, stride, layer.padding))

    def global_pool(self, layer: GlobalPool) -> None:
        kind = "gap" if layer.kind == "avg" else "gmp"
        self.map_size(layer, kind)
        make = nn.AdaptiveAvgPool2d if layer.kind == "avg" else nn.AdaptiveMaxPool2d
        self.modules[kind] = make(1)
        self.size = (1, 1)
        self.flatten()

    def flatten(self, layer: Flatten | None = None) -> None:
        if self.size is not None:
            self.modules["flatten"] = nn.Flatten()
            self.channels *= self.size[0] * self.size[1]
            self.size = None

    def fc(self, layer: FullyConnected) -> None:
        self.flatten()
        units = cast(int, layer.units)
        self.check_weights(layer, units * self.channels)
        self.start("linear")
        module = nn.Linear(self.channels, units)
        self.put("fc", module)
        self.waiting = module
        self.channels = units

    def norm(self, layer: Norm) -> None:
        if layer.kind == "batch":
            make = nn.BatchNorm1d if self.size is None else nn.BatchNorm2d
            self.put("bn", make(self.channels))
        elif self.size is None:
            self.put("ln", nn.LayerNorm(self.channels))
        else:  # one group of all channels: mean and deviation of the whole image, at any size of it
            self.put("ln", nn.GroupNorm(1, self.channels))

    def dropout(self, layer: Dropout) -> None:
        self.put("dropout", nn.Dropout(layer.probability))

    def activation(self, layer: Activation) -> None:
        self.start(GAINS[layer.kind])
        self.put(layer.kind, ACTIVATIONS[layer.kind](layer.slope))

    def finish(self, layers: list[Layer], num_classes: int) -> None:
        last = next((x for x in reversed(layers) if not isinstance(x, Flatten)), layers[-1])
        if isinstance(last, (Activation, Norm, Dropout)):
            raise self.fail(
                "the last layer's values are the classes' scores and leave the network as they "
                "are; end the pattern with fc or gap",
                last,
            )
        if self.size is not None:
            raise self.fail(
                f"the pattern ends in {self.channels} maps of {self.size[0]} x {self.size[1]} "
                f"pixels, not in one score for each of {num_classes} classes; add -fc, or -gap "
                "after a conv without a number",
                last,
            )
        if self.channels != num_classes:
            raise self.fail(
                f"the pattern ends in {self.channels} values, but there are {num_classes} "
                "classes; end it with fc without a number, or -gap after a conv without a number",
                last,
            )
        self.start("linear")


_ADD: dict[type, Callable[..., None]] = {
    Conv: _Site.conv,
    Pool: _Site.pool,
    GlobalPool: _Site.global_pool,
    FullyConnected: _Site.fc,
    Norm: _Site.norm,
    Dropout: _Site.dropout,
    Activation: _Site.activation,
    Flatten: _Site.flatten,
}
