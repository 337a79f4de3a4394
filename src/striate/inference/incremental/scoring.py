"""Scoring: the target's number of each image, from what a network returns for many images or for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from striate.geometry.layout import BATCH, plain
from striate.inference.apart import Images, apart
from striate.inference.incremental.network import Network
from striate.inference.incremental.target import Target, score_of, score_of_one


def rebuilt(network: Network, values: Mapping[int, Tensor]) -> Any:
    """The network's output as it returns it."""
    leaves = [
        None if i is None else values[i] if i in values else network.constants[i]
        for i in network.geometry.outputs
    ]
    return network.geometry.unflatten(leaves)


class Scoring:
    """Reads the target from the values that a network returns.

    outputs: those of the clean image. alone: whether the network runs for one image at a time.
    """

    def __init__(
        self, network: Network, outputs: Mapping[int, Tensor], target: Target, *, alone: bool
    ) -> None:
        self.network = network
        clean = rebuilt(network, outputs)
        self.score = score_of_one(target, clean) if alone else score_of(target, clean)
        self.together = not alone and (not callable(target) or self._apart(outputs))

    def __call__(self, values: Mapping[int, Tensor], count: int) -> Tensor:
        """The scores (N,) of `count` images, from the network's outputs for them."""
        if self.together or count == 1:
            return self._read(values)
        return torch.cat([self._read({v: t[i : i + 1] for v, t in values.items()}) for i in range(count)])  # fmt: skip

    def _read(self, values: Mapping[int, Tensor]) -> Tensor:
        return self.score(rebuilt(self.network, values))

    def _apart(self, outputs: Mapping[int, Tensor]) -> bool:
        """Whether the target reads the numbers of many images as it does that of each alone."""

        def run(tensors: Sequence[Tensor], count: int) -> Tensor:
            return self._read(dict(zip(outputs, tensors, strict=True)))

        tensors = list(outputs.values())
        places = [Images(((BATCH,), *plain(t.shape[1:]))) for t in tensors]
        return apart(run, places, Images(((BATCH,),)), tensors)
