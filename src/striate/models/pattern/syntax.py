"""What a layer pattern says, as a tree of frozen records, before it meets an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Conv:
    """`conv32k5s2p1g2d1x2`: a convolution. None: as many channels as the place asks for."""

    position: int
    channels: int | None = None
    kernel: int = 3
    stride: int = 1
    padding: int | Literal["same", "valid"] = "same"
    groups: int = 1
    dilation: int = 1
    growth: float | None = None


@dataclass(frozen=True, kw_only=True)
class Pool:
    """`pool3s2p1`, `avgpool2`: the largest or the mean value of a window. Stride None: the
    kernel.
    """

    position: int
    kind: Literal["max", "avg"] = "max"
    kernel: int = 2
    stride: int | None = None
    padding: int = 0


@dataclass(frozen=True, kw_only=True)
class GlobalPool:
    """`gap`, `gmp`: one value a map, its mean or its largest."""

    position: int
    kind: Literal["avg", "max"] = "avg"


@dataclass(frozen=True, kw_only=True)
class FullyConnected:
    """`fc128`: a fully connected layer. None: as many units as the place asks for."""

    position: int
    units: int | None = None
    growth: float | None = None


@dataclass(frozen=True, kw_only=True)
class Norm:
    """`bn` or `ln`."""

    position: int
    kind: Literal["batch", "layer"] = "batch"


@dataclass(frozen=True, kw_only=True)
class Dropout:
    """`dropout0.5`."""

    position: int
    probability: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Activation:
    """`relu`, `tanh`, `sigmoid`, `gelu`, `silu` or `leakyrelu0.01`."""

    position: int
    kind: str
    slope: float = 0.01


@dataclass(frozen=True, kw_only=True)
class Flatten:
    """`flatten`, which is implied before the first fully connected layer."""

    position: int


Layer = Conv | Pool | GlobalPool | FullyConnected | Norm | Dropout | Activation | Flatten


@dataclass(frozen=True, kw_only=True)
class Group:
    """`[ ... ]*count`: what stands between the brackets, `count` times in a row; None: no star, so
    once.
    """

    position: int
    items: tuple[Layer | Group, ...]
    count: int | None = None
