"""The kernels that AlexNet learned small, as the pages show them, and kernels laid out as tiles."""

from __future__ import annotations

from importlib.resources import as_file, files

import torch
from safetensors.torch import load_file
from torch import Tensor


def first_units() -> Tensor:
    """The 96 kernels (96, 3, 11, 11) of `striate experiment alexnet`, seed 0; the first 48 are the first group's.

    `python -m striate.lectures.experiments.alexnet FOLDER` learns them again. They are kept in half precision.
    """
    with as_file(files("striate.lectures") / "first_units.safetensors") as path:
        return load_file(path)["kernels"].float()


def laid_out(kernels: Tensor, columns: int = 16, gap: int = 2) -> Tensor:
    """Kernels (U, 3, h, w) in rows of `columns` at most, on white: (H, W, 3) in [0, 1].

    Each is scaled to its largest weight, and grey is 0.
    """
    largest = kernels.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
    tiles = (0.5 + 0.5 * kernels / largest).movedim(1, -1)
    columns = min(columns, len(tiles))
    high, wide = (n + gap for n in kernels.shape[2:])
    page = torch.ones(-(-len(tiles) // columns) * high - gap, columns * wide - gap, 3)
    for i, tile in enumerate(tiles):
        top, left = i // columns * high, i % columns * wide
        page[top : top + high - gap, left : left + wide - gap] = tile
    return page
