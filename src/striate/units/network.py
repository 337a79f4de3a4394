"""Network: a traced module whose every value can be asked for, whole or at one position, with or without a gradient."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import DataError, UsageError
from striate.geometry import Box, Crop, Geometry, Record, Value, Weights, apply, trace
from striate.geometry.plan import cut
from striate.units.layers import RECTIFIERS, UnitLayer, channels_first, find_layer, unit_layers

Change = Callable[[Tensor], Tensor]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in evaluation form for the duration of a `with`; each part has its own mode again afterwards."""
    modes = [(part, part.training) for part in module.modules() if hasattr(part, "training")]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


class Network:
    """A module as its units see images.

    module: from (N, C, H, W) to anything. shape: (1, C, H, W) of one image. mean, std: a number a channel that turn
    pixels in [0, 1] into the module's input; none where it takes pixels as they are.

    The module is not changed. Raises UsageError where weights are not finite, GeometryError where it cannot be traced.
    """

    def __init__(
        self,
        module: nn.Module,
        shape: Sequence[int],
        *,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        _finite_weights(module)
        with evaluating(module):
            self.geometry: Geometry = trace(module, (1, *shape[1:]))
        if self.geometry.axes != 2 or len(self.geometry.inputs) != 1:
            raise UsageError(
                f"units are looked for in networks of one image (N, C, H, W), got an input of {tuple(shape)}"
            )
        self.module = module
        self.weights = Weights(self.geometry, module)
        channels = self.geometry.input_shape[1]
        for what, numbers in (("mean", mean), ("std", std)):
            if len(numbers) not in (0, channels):
                raise UsageError(f"{what} is {channels} numbers, one a channel, got {len(numbers)}")
        self.mean = torch.tensor(tuple(mean) or (0.0,) * channels).view(1, -1, 1, 1)
        self.std = torch.tensor(tuple(std) or (1.0,) * channels).view(1, -1, 1, 1)
        self.dtype = self.geometry.values[self.geometry.inputs[0]].dtype
        self.device = self.weights.device
        self._plans: dict[Any, list[tuple[Record, tuple[int, ...]]]] = {}

    @property
    def channels(self) -> int:
        """Of an image."""
        return self.geometry.input_shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of an image, in pixels."""
        height, width = self.geometry.image
        return height, width

    @cached_property
    def layers(self) -> tuple[UnitLayer, ...]:
        """The layers of units, in the order they run. Raises UsageError where there are none."""
        layers = unit_layers(self.geometry)
        if not layers:
            raise UsageError(f"{self.geometry.kind} has no layer with units")
        return layers

    def layer(self, name: str) -> UnitLayer:
        """The layer of a name. Raises UsageError with the names that exist, nearest first."""
        return find_layer(self.geometry, self.layers, name)

    @cached_property
    def head(self) -> UnitLayer:
        """The layer that gives the classes: the last one with kernels."""
        with_kernels = [x for x in self.layers if x.weighted is not None]
        if not with_kernels:
            raise UsageError(f"{self.geometry.kind} has no layer with kernels")
        return with_kernels[-1]

    @cached_property
    def output(self) -> int:
        """Index of the value that the network returns first. Raises UsageError where it returns no tensor."""
        index = next((i for i in self.geometry.outputs if i is not None), None)
        if index is None:
            raise UsageError(f"{self.geometry.kind} returns no tensor")
        return index

    def from_pixels(self, pixels: Tensor) -> Tensor:
        """Float pixels (N, C, *, *) in [0, 1] as the module takes them."""
        shifted = pixels.to(self.device, torch.float32) - self.mean.to(self.device)
        return (shifted / self.std.to(self.device)).to(self.dtype)

    def images(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W), uint8 or float pixels in [0, 1], as float pixels.

        Raises DataError for a batch of none, another size or number of channels, and values that are not finite.
        """
        want = f"(N, {self.channels}, {self.size[0]}, {self.size[1]})"
        if images.dim() != 4 or tuple(images.shape[1:]) != (self.channels, *self.size):
            raise DataError(
                f"the network takes images {want}, got {tuple(images.shape)}; prepare them as in training"
            )
        if not len(images):
            raise DataError(f"there are no images in the batch; give at least one, {want}")
        if images.dtype == torch.uint8:
            return images.float() / 255
        if not images.is_floating_point():
            raise DataError(f"images are uint8 or float pixels, got {images.dtype}")
        # The sum, a third of the work, is finite only if all are.
        if not bool(torch.isfinite(images.sum())) and not bool(torch.isfinite(images).all()):
            raise DataError("the images hold values that are not finite; look at the files")
        return images

    def value(self, index: int) -> Value:
        """What is known of a value."""
        return self.geometry.values[index]

    def maps(
        self, index: int, tensor: Tensor, batch: int, extents: Sequence[int] | None = None
    ) -> Tensor:
        """A value, or a crop of it of `extents` positions, as (N, C, *positions)."""
        value = self.value(index)
        own = [n for n in value.extents if n is not None] if extents is None else extents
        return channels_first(value, tensor, batch, own)

    def run(
        self,
        targets: Collection[int],
        given: Mapping[int, Crop],
        *,
        batch: int,
        boxes: Mapping[int, Box] | None = None,
        changes: Mapping[int, Change] | None = None,
        seen: Callable[[int, Tensor], None] | None = None,
        leak: float = 0.0,
    ) -> dict[int, Tensor]:
        """Compute values from given ones, record by record, freeing what nothing needs any more.

        boxes: of each value that is needed, where not all of it is (`Geometry.pull`). changes: what is done to a value
        before anything reads it. seen: called with each wanted value as it is made; it is then not kept. leak: part of
        the gradient that goes through a rectifier even where it is off; the values stay as they are.
        """
        boxes, changes = boxes or {}, changes or {}
        held: dict[int, Crop] = dict(given)
        for i in given:
            if i in changes:
                held[i] = Crop(changes[i](held[i].tensor), held[i].box)
        result: dict[int, Tensor] = {i: held[i].tensor for i in targets if i in held}
        for record, last in self._plan(tuple(sorted(targets)), tuple(sorted(given))):
            crops = []
            for i in record.inputs:
                if i not in held:
                    held[i] = Crop(self.weights[i].detach(), self.value(i).full)
                crops.append(held[i])
            out = record.output
            box = boxes.get(out, self.value(out).full)
            tensor = apply(self.geometry, record, crops, box, batch=batch)
            if leak and record.op in RECTIFIERS:
                # Adds 0 to the value and `leak` to the gradient.
                drive = cut(
                    crops[0].tensor, self.value(record.inputs[0]).layout, crops[0].box, box, batch
                )
                tensor = tensor + leak * (drive - drive.detach())
            if out in changes:
                tensor = changes[out](tensor)
            held[out] = Crop(tensor, box)
            if out in targets:
                if seen is not None:
                    seen(out, tensor)
                else:
                    result[out] = tensor
            for i in last:
                held.pop(i, None)
        return result

    def forward(self, pixels: Tensor, targets: Collection[int], **how: Any) -> dict[int, Tensor]:
        """Values for whole images, float pixels (N, C, H, W) in [0, 1]; `how` as in `run`."""
        source = self.geometry.inputs[0]
        crop = Crop(self.from_pixels(pixels), self.value(source).full)
        return self.run(targets, {source: crop}, batch=len(pixels), **how)

    def _plan(
        self, targets: tuple[int, ...], given: tuple[int, ...]
    ) -> list[tuple[Record, tuple[int, ...]]]:
        """The records to run, each with the values that nothing needs after it."""
        key = (targets, given)
        if key in self._plans:
            return self._plans[key]
        needed = set(targets) - set(given)
        records: list[Record] = []
        for record in reversed(self.geometry.records):
            if record.output in needed:
                records.append(record)
                needed |= set(record.inputs) - set(given)
        records.reverse()
        final: dict[int, int] = {}
        for at, record in enumerate(records):
            for i in (*record.inputs, record.output):
                final[i] = at
        keep = {i for i in final if self.value(i).source not in ("record", "input")}
        plan = [
            (r, tuple(i for i, last in final.items() if last == at and i not in keep))
            for at, r in enumerate(records)
        ]
        self._plans[key] = plan
        return plan


def _finite_weights(module: nn.Module) -> None:
    tensors = [*module.named_parameters(), *module.named_buffers()]
    for name, tensor in tensors:
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise UsageError(
                f"{name} holds {bad:,} weights that are not finite, so that no unit has a meaning; train again or "
                "load other weights"
            )
