"""Apart: whether an operation treats the images of a batch one by one, found by running it.

A network is traced for one image, and means what it computes for one image. A batch of one hides where the images stand:
attention that takes its batch for the sequence, windows folded into the batch, a sum over dimension 0 all look harmless. So
what runs on many images at once has first been seen to give each image what it gives that image alone; all else runs
for one image at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite

import torch
from torch import Tensor, nn

from striate.errors import StriateError, UsageError
from striate.geometry import Crop, Geometry, Record, Value, apply
from striate.geometry.layout import BATCH, Layout, sizes
from striate.geometry.rules.convolution import Convolve, ConvolveTransposed
from striate.geometry.rules.dimension import Expand, Permute, Take, View
from striate.geometry.rules.normalisation import BatchNorm, GroupNorm
from striate.geometry.rules.padding import Pad, Untracked
from striate.geometry.rules.pointwise import Concatenate, Pointwise
from striate.geometry.rules.pooling import AdaptivePool, AvgPool, MaxPool
from striate.geometry.rules.product import Product
from striate.geometry.rules.reduction import Along, Reduce

# Rules that follow the images wherever they stand, or have no result with images: no need to try with one input alone.
FOLLOWING = (View, Permute, Expand, Take, Pad, Untracked, Along, Reduce)
# Rules that keep to dimension 0 where all that varies with the image has its images there.
LEADING = (
    Convolve, ConvolveTransposed, MaxPool, AvgPool, AdaptivePool, BatchNorm, GroupNorm, Concatenate, Pointwise,
)  # fmt: skip
FIXED = (Convolve, ConvolveTransposed, BatchNorm, GroupNorm)  # whose constants are weights
# How far two ways of rounding may be apart, relative to the largest value: mixed images differ by far more.
CLOSE = {torch.float64: 1e-10, torch.complex128: 1e-10, torch.float32: 1e-4, torch.complex64: 1e-4}
COARSE = 0.05  # of 16 bits and fewer, and of float32 on a device that rounds it (TF32)


def plainly(record: Record, values: Sequence[Value], out: Value) -> bool:
    """Whether the record keeps images apart by its rule alone. values: of its inputs; out: what it makes."""
    plan = record.plan
    varying = [v for v in values if v.varies]
    if len(varying) == 1 and images_of(out).known:
        if isinstance(plan, FOLLOWING) or (isinstance(plan, Pointwise) and len(values) == 1):
            return True
        if isinstance(plan, Product) and record.op in ("mm", "addmm") and varying[0] is values[-2]:
            return True
    if not isinstance(plan, LEADING) or not all(leads(v.layout) for v in (*varying, out)):
        return False
    if isinstance(plan, BatchNorm) and plan.training and not plan.each:
        return False
    # A constant that fills dimension 0 for one image would have to grow with the batch; numbers one an image with fewer
    # dimensions than the result are broadcast along another one than its first.
    return isinstance(plan, FIXED) or all(
        len(v.shape) == len(out.shape)
        if v.varies
        else len(v.shape) < len(out.shape) or v.shape[0] == 1
        for v in values
    )


def leads(layout: Layout) -> bool:
    """Whether dimension 0 holds the images and nothing else."""
    return layout[:1] == ((BATCH,),) and all(BATCH not in dim for dim in layout[1:])


class Images:
    """Where a whole value's images stand: takes them out of a tensor and joins them.

    extents: of the value's axes, which may stand before the images, as in (T * N, C) where attention has them second.
    """

    def __init__(self, layout: Layout, extents: Sequence[int | None] = ()) -> None:
        held = [(d, dim) for d, dim in enumerate(layout) if BATCH in dim]
        self.dim, dim = held[0] if held else (0, ())
        self.known = len(held) == 1
        self.before = 1
        for size in sizes(dim[: dim.index(BATCH)], extents, 1) if held else ():
            self.before *= size

    def join(self, tensors: Sequence[Tensor]) -> Tensor:
        """One tensor of several, each of one image."""
        parts = [t.unflatten(self.dim, (self.before, 1, -1)) for t in tensors]
        return torch.cat(parts, self.dim + 1).flatten(self.dim, self.dim + 2)

    def take(self, tensor: Tensor, count: int, i: int) -> Tensor:
        """Image i of a tensor of `count`."""
        parts = tensor.unflatten(self.dim, (self.before, count, -1)).narrow(self.dim + 1, i, 1)
        return parts.flatten(self.dim, self.dim + 2)


def images_of(value: Value) -> Images:
    """Where the images of a whole value stand."""
    return Images(value.layout, value.extents)


def apart(
    run: Callable[[Sequence[Tensor], int], Tensor], inputs: Sequence[Images], output: Images, tensors: Sequence[Tensor]
) -> bool:  # fmt: skip
    """Whether `run`, given three images at once, gives each of them what it gives it alone.

    run: from its inputs and the number of images to its result. inputs, output: where the images of these stand; tensors:
    the inputs of one image, of any shape, whose numbers another image is made from.
    """
    if not all(p.known for p in (*inputs, output)):
        return False
    generator = torch.Generator(device="cpu").manual_seed(0)
    one, other = list(tensors), [_another(t, generator) for t in tensors]
    three = (other, one, other)
    try:
        together = run([p.join([o[i] for o in three]) for i, p in enumerate(inputs)], 3)
        alone = [run(other, 1), run(one, 1)]
        return all(alike(output.take(together, 3, i), alone[i % 2]) for i in range(3))
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError):
        return False  # whatever it is: it does not run on three images


def records_apart(geometry: Geometry, record: Record, known: Mapping[int, Tensor]) -> bool:
    """`apart` for one record. known: every value of one image, any shape, by its index."""
    values, out = geometry.values, geometry.values[record.output]
    varying = [i for i in record.inputs if values[i].varies]

    def run(tensors: Sequence[Tensor], count: int) -> Tensor:
        given = iter(tensors)
        crops = [
            Crop(next(given) if values[i].varies else known[i], values[i].full)
            for i in record.inputs
        ]
        return apply(geometry, record, crops, out.full, batch=count)

    return apart(
        run, [images_of(values[i]) for i in varying], images_of(out), [known[i] for i in varying]
    )


def refuse_batch_statistics(geometry: Geometry, module: nn.Module) -> None:
    """Raise UsageError where a batch norm in training form would make each image's answer depend on the others."""
    for record in geometry.records:
        if not record.live or not geometry.values[record.output].varies:
            continue
        if record.op != "native_batch_norm" or not record.args[5]:
            continue
        path = geometry.visits[record.visit].path
        owner = module.get_submodule(path) if path else module
        if isinstance(owner, nn.modules.batchnorm._BatchNorm) and owner.training:
            raise UsageError(
                f"{record.name} takes statistics over the batch, so its answer for an image depends on the others; call "
                "module.eval() first"
            )


def _another(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Other numbers of the same kind and range: backwards, and each by a factor near 1."""
    backwards = tensor.flatten().flip(0).reshape(tensor.shape)
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return backwards
    factor = torch.empty(tensor.shape).uniform_(0.5, 1.5, generator=generator).to(tensor.device)
    return (torch.where(backwards == 0, 0.01, backwards) * factor).to(tensor.dtype)


def alike(a: Tensor, b: Tensor) -> bool:
    """Whether two results, of any shape, have the same shape, dtype and, but for rounding, numbers."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not (a.is_floating_point() or a.is_complex()):
        return torch.equal(a, b)
    exact = CLOSE.get(a.dtype, COARSE)
    if a.device.type != "cpu" and a.dtype == torch.float32:
        exact = COARSE
    if not a.numel():
        return True
    furthest, largest = float((a - b).abs().max()), float(b.abs().max())
    if isfinite(furthest) and isfinite(largest):
        return furthest <= exact * largest
    finite = torch.isfinite(a)  # infinities and NaN stand in the same places
    same = torch.equal(torch.nan_to_num(a)[~finite], torch.nan_to_num(b)[~finite])
    return same and bool(torch.isfinite(b[finite]).all()) and alike(a[finite], b[finite])


class Together:
    """Runs `run` on many images at once once it is seen to give each what it gives that image alone, else one by one.

    run: images (N, ...) to a result (N, ...). It may raise for a batch, never for one image.
    """

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        self.run = run
        self.apart: bool | None = None  # not known before the first batch

    def __call__(self, images: Tensor) -> Tensor:
        """The result of each image, (N, ...)."""
        if len(images) > 1 and self.apart is None:
            first = self._tried(images)
            if first is not None:
                return first
        if len(images) == 1 or self.apart:
            return self.run(images)
        return torch.cat([self.run(images[i : i + 1]) for i in range(len(images))])

    def _tried(self, images: Tensor) -> Tensor | None:
        # Two neighbours: what pairs images off treats every other one alike.
        count = len(images)
        alone = [self.run(images[i : i + 1]) for i in (count - 2, count - 1)]
        try:
            outputs = self.run(images)
            self.apart = len(outputs) == count and alike(outputs[-2:], torch.cat(alone))
        except (RuntimeError, ValueError, IndexError, TypeError, AssertionError, StriateError):
            self.apart = False
        return outputs if self.apart else None
