"""Positions of transformers in weights of another image size: resized to the network's own grid of patches."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from striate.models.vit import Encoder
from striate.nn import resized_positions

OURS, TIMMS = "pos_embedding", "pos_embed"


def fit_positions(module: nn.Module, given: dict[str, Tensor], where: str) -> list[str]:
    """Bring the learned positions of `given` to the grids of a network's own, in place; a sentence for each that changed.

    Those of a class token stay; a file without any (as timm's `no_embed_class` has it) gets zeros, which change nothing.
    What comes from no square grid, or has another width, is left as it is.
    """
    notes = []
    for name, want, grid, first in _positions_of(module):
        have = given.get(name)
        if have is None or have.dim() != 3 or have.shape == want.shape:
            continue
        if have.shape[0] != 1 or have.shape[2] != want.shape[2] or not have.is_floating_point():
            continue
        count = have.shape[1]
        side, own = isqrt(count - first) if count > first else 0, first
        if side < 1 or side * side != count - first:
            side, own = isqrt(count), 0
            if side * side != count:
                continue
        tokens, places = have[:, :own], have[:, own:]
        if (side, side) != grid:
            places = resized_positions(places, (side, side), grid)
            notes.append(
                f"{where}: the positions of {side} x {side} patches are resized to {grid[0]} x {grid[1]}"
            )
        if own < first:
            tokens = torch.zeros(1, first, have.shape[2], dtype=have.dtype)
            notes.append(f"{where} has no position of the class token: it is 0")
        given[name] = torch.cat([tokens, places], 1)
    return notes


def _positions_of(module: nn.Module) -> Iterator[tuple[str, Tensor, tuple[int, int], int]]:
    """Learned positions by name, as the network has them, its rows and columns of patches, and the tokens before them."""
    for path, part in module.named_modules():
        start = f"{path}." if path else ""
        if isinstance(part, Encoder) and isinstance(part.pos_embedding, nn.Parameter):
            yield f"{start}{OURS}", part.pos_embedding, part.grid, part.first
        embedding: Any = getattr(part, "patch_embed", None)  # timm's transformers
        positions = getattr(part, TIMMS, None)
        grid = getattr(embedding, "grid_size", None)
        if isinstance(positions, nn.Parameter) and grid is not None and positions.dim() == 3:
            yield f"{start}{TIMMS}", positions, tuple(grid), positions.shape[1] - grid[0] * grid[1]
