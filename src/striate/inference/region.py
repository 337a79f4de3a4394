"""Region: one box of what a network gives for a whole image, from the pixels that it needs, with the same numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.geometry import Box, Crop, Geometry, Weights, apply
from striate.geometry.box import volume

Read = Callable[[Box], Tensor]


def region_of(
    geometry: Geometry, module: nn.Module, read: Read, box: Box, *, limit: int | None = None
) -> Tensor:
    """A box of the network's first result (1, K, rows, columns) for an image of the traced size.

    geometry: of the whole image, traced without its memory. read: a box of the image as the module reads it, (1, C, rows,
    columns). limit: pixels that may be needed. Only what the box depends on is computed, by the trace's own rules: it equals
    the same box of `module(image)` to rounding. Raises UsageError where more pixels are needed than `limit`, such as where
    a mean over the whole image enters.

    >>> from striate.geometry import trace
    >>> network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()).eval()
    >>> image = torch.rand(1, 1, 64, 64)
    >>> geometry = trace(network, tuple(image.shape))
    >>> found = region_of(geometry, network, lambda b: image[..., b[0][0]:b[0][1], b[1][0]:b[1][1]], ((8, 12), (0, 4)))
    >>> torch.allclose(found, network(image)[..., 8:12, 0:4], atol=1e-6)
    True
    """
    target = next((i for i in geometry.outputs if i is not None), None)
    if target is None:
        raise UsageError(f"{geometry.kind} returns no tensor")
    needs = geometry.pull(target, box)
    image = geometry.inputs[0]
    pixels = volume(needs[image]) if image in needs else 0
    if limit is not None and pixels > limit:
        raise UsageError(
            f"a part of {volume(box):,} positions needs {pixels:,} pixels of the image, more than {limit:,}: the network "
            "sees too much of it for a part; run `striate tile` on the whole image"
        )
    weights = Weights(geometry, module)
    known: dict[int, Crop] = {}
    if image in needs:
        known[image] = Crop(read(needs[image]), needs[image])
    last = {i: r.index for r in geometry.records if r.output in needs for i in r.inputs}
    with torch.inference_mode():
        for record in geometry.records:
            if record.output not in needs:
                continue
            crops = []
            for i in record.inputs:
                if i not in known:
                    known[i] = Crop(weights[i], geometry.values[i].full)
                crops.append(known[i])
            known[record.output] = Crop(
                apply(geometry, record, crops, needs[record.output]), needs[record.output]
            )
            for i in record.inputs:  # what nothing reads any more is let go
                if last.get(i) == record.index and i in known:
                    del known[i]
    return known[target].tensor
