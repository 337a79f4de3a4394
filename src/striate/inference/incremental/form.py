"""Form: one order of dimensions for every value, so that crops of all of them are cut and pasted alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from striate.geometry import Value
from striate.geometry.layout import BATCH, axis_of


class Form:
    """How a value's tensor is seen as (images, *axes of the image, *the rest): for NCHW that is NHWC.

    axes: the axes of the image that the value has. rest: how many entries each position holds.
    """

    def __init__(self, value: Value) -> None:
        atoms = [a for dim in value.layout for a in dim]
        self.dims = [len(dim) for dim in value.layout]
        self.atoms = atoms
        self.batched = BATCH in atoms
        self.axes = tuple(k for k, n in enumerate(value.extents) if n is not None)
        places = {axis_of(a): p for p, a in enumerate(atoms) if a < BATCH}
        plain = [p for p, a in enumerate(atoms) if a >= 0]
        batch = [p for p, a in enumerate(atoms) if a == BATCH]
        self.order = [*batch, *(places[k] for k in self.axes), *plain]
        self.back = [self.order.index(p) for p in range(len(atoms))]
        self.plain = [atoms[p] for p in plain]
        self.simple = all(n == 1 for n in self.dims)
        self.rest = 1
        for n in self.plain:
            self.rest *= n

    def canonical(self, tensor: Tensor, batch: int, sizes: Sequence[int]) -> Tensor:
        """The tensor as (images, *axes, *rest); `sizes` are the extents that it holds along `axes`."""
        if not self.simple:
            along = dict(zip(self.axes, sizes, strict=True))
            tensor = tensor.reshape(
                [a if a >= 0 else batch if a == BATCH else along[axis_of(a)] for a in self.atoms]
            )
        return tensor.permute(self.order)

    def images(self, tensor: Tensor, batch: int, a: int, b: int) -> Tensor:
        """Images a to b - 1 of the `batch` that the tensor holds."""
        if (a, b) == (0, batch):
            return tensor
        dim, before, after = self._batch(tensor, batch)
        if before == 1:
            return tensor.narrow(dim, a * after, (b - a) * after)
        parts = tensor.unflatten(dim, (before, batch, after)).narrow(dim + 1, a, b - a)
        return parts.flatten(dim, dim + 2)

    def join(self, tensors: Sequence[Tensor], batches: Sequence[int]) -> Tensor:
        """One tensor of all images of several."""
        if len(tensors) == 1:
            return tensors[0]
        dim, before, after = self._batch(tensors[0], batches[0])
        if before == 1:
            return torch.cat(list(tensors), dim)
        parts = [
            t.unflatten(dim, (before, n, after)) for t, n in zip(tensors, batches, strict=True)
        ]
        return torch.cat(parts, dim + 1).flatten(dim, dim + 2)

    def _batch(self, tensor: Tensor, batch: int) -> tuple[int, int, int]:
        """The dimension that holds the images, and how many entries of it stand before and after them."""
        at = self.atoms.index(BATCH)
        first = dim = 0
        while first + self.dims[dim] <= at:
            first += self.dims[dim]
            dim += 1
        if at == first:
            return dim, 1, tensor.shape[dim] // batch
        before = 1
        for atom in self.atoms[first:at]:
            assert atom > 0, "positions stand before the images in one dimension"
            before *= atom
        return dim, before, tensor.shape[dim] // batch // before

    def restore(self, canonical: Tensor) -> Tensor:
        """The tensor in the value's own order of dimensions."""
        tensor = canonical.permute(self.back)
        if self.simple:
            return tensor
        shape, at = [], 0
        for n in self.dims:
            size = 1
            for m in tensor.shape[at : at + n]:
                size *= m
            shape.append(size)
            at += n
        return tensor.reshape(shape)
