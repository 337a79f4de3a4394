"""Receptive fields by following every connection, and by the lecture's steps."""

from __future__ import annotations

from collections.abc import Sequence

from striate.errors import UsageError

Step = tuple[int, int]  # kernel and stride of one layer along one axis


def seen_pixels(layers: Sequence[Step], output: int = 0) -> list[int]:
    """The input pixels that one output depends on, by following every connection back.

    layers: (kernel, stride) from the input to the output, along one axis, without padding.
    """
    pixels = {output}
    for kernel, stride in reversed(layers):
        pixels = {p * stride + j for p in pixels for j in range(kernel)}
    return sorted(pixels)


def receptive_field_steps(layers: Sequence[Step]) -> list[int]:
    """The size of the receptive field, from 1 at the output, layer by layer back to the input.

    Each layer: RF = (RF - 1) stride + kernel. For pooling by 2 that is RF * 2, and for an odd
    filter at stride 1 RF + floor(k / 2) * 2: the steps of lecture 003, "Receptive fields", which give
    1, 2, 4, 8 for pool, 3x1 filter, pool. (For an even filter the lecture's floor(k / 2) * 2 is one
    too many: a filter of 4 adds 3.) Raises UsageError for a kernel or stride below 1.
    """
    sizes = [1]
    for kernel, stride in reversed(layers):
        if kernel < 1 or stride < 1:
            raise UsageError(f"a layer's kernel and stride are at least 1, got {kernel}, {stride}")
        sizes.append((sizes[-1] - 1) * stride + kernel)
    return sizes
