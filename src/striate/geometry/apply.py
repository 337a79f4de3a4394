"""apply: compute one box of one record, or replay a whole network from its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.borrow import refuse_lazy
from striate.errors import GeometryError, UsageError
from striate.geometry.box import Box, contains
from striate.geometry.geometry import Geometry
from striate.geometry.layout import BATCH
from striate.geometry.plan import Step, compute, target
from striate.geometry.record import Record, Value


@dataclass(frozen=True, slots=True)
class Crop:
    """A tensor that holds `box` of some value, for any number of images: (N, C, rows, cols) for an image's map."""

    tensor: Tensor
    box: Box


def apply(
    geometry: Geometry, record: Record, crops: Sequence[Crop], box: Box, *, batch: int | None = None
) -> Tensor:
    """Compute `box` of a record's output from crops of its inputs.

    crops: one an input, in the record's order, each covering at least what its link pulls from `box`; parameters and
    values without axes are passed whole (`Weights` finds them). True padding enters only at true
    borders. Crops and result of a map: (N, C, rows, cols).
    batch: images at once; taken from the crops if not given. Raises GeometryError if a crop is too small.
    """
    values = [geometry.values[i] for i in record.inputs]
    out = geometry.values[record.output]
    device = crops[0].tensor.device if crops else torch.device("cpu")
    if batch is None:
        batch = _batch(geometry, values, crops)
    if batch != geometry.batch and (
        getattr(record.plan, "mixes_batch", False) or _joins(values, out)
    ):
        raise GeometryError(
            f"{record.name} ({record.op}) mixes the images of a batch, so it runs only on {geometry.batch} at a time, "
            f"got {batch}; trace the module with a batch of {batch}"
        )
    for link, crop in zip(record.links, crops, strict=True):
        need = link.pull(box)
        if not contains(crop.box, need):
            raise GeometryError(
                f"{record.name} needs {need} of its input for {box}, but the crop holds {crop.box}; "
                "pass what Link.pull gives"
            )
    tensors, boxes = tuple([c.tensor for c in crops]), tuple([c.box for c in crops])
    try:
        return compute(Step(record, tensors, boxes, tuple(values), out, box, batch, device))
    except RuntimeError as error:
        if batch == geometry.batch or isinstance(error, torch.OutOfMemoryError):
            raise
        # the module took the number of images from the shape, and a size that it made of it stands in a call
        raise GeometryError(
            f"{record.name} ({record.op}) was traced with sizes that hold {geometry.batch} images, got {batch}; "
            f"trace the module with a batch of {batch}"
        ) from error


def _refuse_hidden(geometry: Geometry) -> None:
    """Raise GeometryError where a result holds the images behind something else: one image could stand anywhere."""
    for leaf in geometry.outputs:
        layout = () if leaf is None else geometry.values[leaf].layout
        if any(BATCH in dim and dim[0] != BATCH for dim in layout):
            raise GeometryError(
                f"a batch of {geometry.batch} does not show which dimension of the result holds the images; trace the "
                "module with the number of images that it is run on"
            )


def _joins(inputs: Sequence[Value], output: Value) -> bool:
    """Whether the dimension that holds the images ends here: what comes out is one thing for all of them."""
    return not _holds_batch(output) and any(map(_holds_batch, inputs))


def _holds_batch(value: Value) -> bool:
    return any(BATCH in dim for dim in value.layout)


def _batch(geometry: Geometry, values: Sequence[Value], crops: Sequence[Crop]) -> int:
    """The number of images, from the first crop whose value holds the batch."""
    for value, crop in zip(values, crops, strict=True):
        for place, dim in enumerate(value.layout):
            if BATCH in dim:
                rest = 1
                for atom in dim:
                    if atom > 0:
                        rest *= atom
                    elif atom < BATCH:
                        side = crop.box[-2 - atom]
                        assert side is not None
                        rest *= side[1] - side[0]
                if rest:
                    return crop.tensor.shape[place] // rest
    return geometry.batch


class Weights:
    """Finds the tensors of a module that a geometry's values name."""

    def __init__(self, geometry: Geometry, module: nn.Module) -> None:
        refuse_lazy(module)
        self.geometry = geometry
        self.named: dict[str, Tensor] = {
            **dict(module.named_buffers(remove_duplicate=False)),
            **dict(module.named_parameters(remove_duplicate=False)),
        }
        self.module = module
        self.device = next((t.device for t in self.named.values()), torch.device("cpu"))

    def __getitem__(self, index: int) -> Tensor:
        """The tensor of a value whose source is a parameter, a buffer or a constant."""
        value = self.geometry.values[index]
        tensor = self.named.get(value.name)
        if tensor is None and value.data is not None:
            tensor = value.data.tensor(value.shape, value.dtype, self.device)
        if tensor is None and value.source == "constant":
            owner: Any = self.module
            for part in value.name.split("."):
                owner = getattr(owner, part, None)
            tensor = owner if isinstance(owner, Tensor) else None
        if tensor is None and value.name.startswith("constant ") and value.source == "constant":
            size = "x".join(map(str, value.shape))
            raise GeometryError(
                f"the network computes with {size} numbers that a trace cannot know: it keeps them in a cache outside the "
                "module, or they are too many to write down; make them in forward from x.shape with torch operations on "
                "x.device, or hold them in a buffer"
            )
        if tensor is None or tuple(tensor.shape) != value.shape:
            raise GeometryError(
                f"the module has no tensor {value.name!r} of shape {value.shape}; "
                "trace the module that is run"
            )
        return tensor


def replay(
    geometry: Geometry,
    module: nn.Module,
    *inputs: Tensor,
    keep: bool = False,
    until: int | None = None,
) -> Any | Mapping[int, Tensor]:
    """Run a whole network record by record; equal to `module(*inputs)` in evaluation mode.

    keep: return every value by its index instead of the outputs. until: the last record that is run, with `keep`.
    """
    if len(inputs) != len(geometry.inputs):
        raise UsageError(f"the network takes {len(geometry.inputs)} inputs, got {len(inputs)}")
    weights = Weights(geometry, module)
    done: dict[int, Tensor] = dict(zip(geometry.inputs, inputs, strict=True))
    batch = inputs[0].shape[0]
    if batch != geometry.batch:
        _refuse_hidden(geometry)
    for record in geometry.records[: None if until is None else until + 1]:
        if not record.live:
            continue
        crops = []
        for i in record.inputs:
            if i not in done:
                done[i] = weights[i].detach()
            crops.append(Crop(done[i], geometry.values[i].full))
        done[record.output] = apply(
            geometry, record, crops, geometry.values[record.output].full, batch=batch
        )
    if keep:
        return done
    for leaf in geometry.outputs:
        if leaf is not None and leaf not in done:
            done[leaf] = weights[leaf].detach()
    return geometry.unflatten([None if i is None else done[i] for i in geometry.outputs])


__all__ = ["Crop", "Weights", "apply", "replay", "target"]
