"""Probe: an electrode at one position of a layer; it computes what that position needs and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from striate.errors import UsageError
from striate.geometry import Box, Crop
from striate.units.fields import Span, field_box
from striate.units.layers import UnitLayer
from striate.units.network import Network, evaluating

MEMORY = 2**26  # bytes of all values at once


class Probe:
    """One position of a layer, for all its units.

    position: (row, column), the middle of the map if not given. box: the pixels that it needs, rows before columns; more
    than its receptive field where statistics over all positions enter. centre: of its field, (row, column) in pixels of
    the image.
    """

    def __init__(
        self, network: Network, layer: UnitLayer, position: Sequence[int] | None = None
    ) -> None:
        self.network, self.layer = network, layer
        self.position = layer.middle if position is None else tuple(position)
        if len(self.position) != len(layer.grid) or not all(
            0 <= p < n for p, n in zip(self.position, layer.grid, strict=True)
        ):
            raise UsageError(
                f"{layer.name} has {' x '.join(map(str, layer.grid)) or 'no'} positions, got {self.position}"
            )
        geometry = network.geometry
        value = network.value(layer.response)
        at = iter(self.position)
        place: Box = tuple(None if n is None else (p := next(at), p + 1) for n in value.extents)
        self.boxes = geometry.pull(layer.response, place)
        source = geometry.inputs[0]
        rows, cols = self.boxes[source]
        assert rows is not None
        assert cols is not None
        self.box: tuple[Span, Span] = (rows, cols)
        (top, bottom), (left, right) = field_box(layer, self.position, network.size)
        self.field: tuple[Span, Span] = ((top, bottom), (left, right))
        self.centre = ((top + bottom - 1) / 2, (left + right - 1) / 2)
        self.source = source
        cost = 0
        for i, box in self.boxes.items():
            area = network.value(i).bytes
            for side, n in zip(box, network.value(i).extents, strict=True):
                if side is not None and n:
                    area = area * (side[1] - side[0]) // n
            cost = max(cost, area)
        self.at_once = max(1, min(512, MEMORY // max(8 * cost, 1)))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of a patch."""
        return self.box[0][1] - self.box[0][0], self.box[1][1] - self.box[1][0]

    def values(
        self,
        patches: Tensor,
        targets: Sequence[int],
        *,
        leak: float = 0.0,
    ) -> list[Tensor]:
        """Values (N, U) at the position for pixel patches (N, C, rows, columns) in [0, 1], with their gradient."""
        crop = Crop(self.network.from_pixels(patches), self.box)
        n = len(patches)
        values = self.network.run(
            targets, {self.source: crop}, batch=n, boxes=self.boxes, leak=leak
        )
        ones = [1] * len(self.layer.grid)
        return [self.network.maps(i, values[i], n, ones).reshape(n, -1) for i in targets]

    def respond(self, patches: Tensor, *, drive: bool = False) -> Tensor:
        """Responses (N, U) of all units to pixel patches (N, C, rows, columns) in [0, 1]; drive: before the activation."""
        target = self.layer.drive if drive and self.same_grid else self.layer.response
        with evaluating(self.network.module), torch.inference_mode():
            return torch.cat(
                [self.values(part, [target])[0].cpu() for part in patches.split(self.at_once)]
            )

    @property
    def same_grid(self) -> bool:
        """Whether the drive has the response's positions, so that one of them stands for it."""
        box = self.boxes.get(self.layer.drive, ())
        return all(side is None or side[1] - side[0] == 1 for side in box)

    def grid(self) -> tuple[Tensor, Tensor]:
        """Rows (h, 1) and columns (1, w) of the patch's pixels, 0 in the centre of the field."""
        rows = torch.arange(*self.box[0], dtype=torch.float32) - self.centre[0]
        cols = torch.arange(*self.box[1], dtype=torch.float32) - self.centre[1]
        return rows.unsqueeze(1), cols.unsqueeze(0)

    def grey(self, patterns: Tensor) -> Tensor:
        """Patterns (N, h, w) in [0, 1] on all channels of an image."""
        return patterns.unsqueeze(1).expand(-1, self.network.channels, -1, -1)
