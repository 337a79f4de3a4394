"""Finishing: what a caller makes of the network's map, crop by crop, before it is kept or written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.errors import UsageError
from striate.geometry import Box, Value

Finish = Callable[
    [Tensor], Any
]  # (1, K, rows, columns) -> tensor or array (C, rows, columns) or (rows, columns)
PROBE = (3, 5, 7)  # positions along each axis of the crop that shows what comes out


class Finishing:
    """`finish` with its result checked: (1, K, *size) -> (1, C, *size). `value` is what the whole result is like."""

    def __init__(self, finish: Finish, value: Value, device: torch.device) -> None:
        self.finish = finish
        axes = sum(n is not None for n in value.extents)
        probe = torch.zeros(1, value.shape[1], *PROBE[:axes], dtype=value.dtype, device=device)
        finished = self(probe)
        channels = finished.shape[1]
        self.value = replace(
            value,
            shape=(1, channels, *value.shape[2:]),
            layout=(value.layout[0], (channels,), *value.layout[2:]),
            dtype=finished.dtype,
        )

    def __call__(self, tensor: Tensor) -> Tensor:
        """The finished crop."""
        finished = self.finish(tensor)
        if isinstance(finished, np.ndarray):
            finished = torch.from_numpy(np.ascontiguousarray(finished))
        sides = tensor.shape[2:]
        if isinstance(finished, Tensor):
            wide = finished[(None,) * max(2 + len(sides) - finished.dim(), 0)]
            if wide.shape[:1] == (1,) and wide.shape[2:] == sides:
                return wide
        got = (
            str(tuple(finished.shape)) if isinstance(finished, Tensor) else type(finished).__name__
        )
        raise UsageError(
            f"finish= takes a crop {tuple(tensor.shape)} and gives (C, rows, columns) or (rows, columns) of the same "
            f"positions, a tensor or an array; got {got}"
        )

    def sink(self, then: Callable[[Box, Tensor], None]) -> Callable[[Box, Tensor], None]:
        """A sink that hands on finished crops."""
        return lambda box, tensor: then(box, self(tensor))
