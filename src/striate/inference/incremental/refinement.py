"""Refinement: an occlusion map computed coarsely first and finely only where it varies, with its error measured."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.inference.incremental.content import Content
from striate.inference.incremental.incremental import Incremental
from striate.inference.incremental.occlusion import Size, positions
from striate.inference.incremental.target import Target


@dataclass(frozen=True)
class Refined:
    """An occlusion map of which only a part was computed.

    drops: (rows, cols), as `occlusion` gives it; exact where `computed` is True, else interpolated.
    share: of positions that were computed. mean_error, largest_error: |interpolated - exact| over `checked` positions
    drawn at random from those that would otherwise have been interpolated (None if there were none left).
    """

    drops: Tensor
    computed: Tensor
    checked: int
    mean_error: float | None
    largest_error: float | None

    @property
    def share(self) -> float:
        """How many of all positions were computed, 0 to 1."""
        return float(self.computed.float().mean())

    @property
    def verdict(self) -> str:
        """What was done and how far it may be off, in one sentence."""
        done = f"{self.share:.0%} of {self.drops.numel()} positions computed"
        if self.mean_error is None:
            return f"{done}; the map is exact."
        span = float(self.drops.max() - self.drops.min())
        return (
            f"{done}, the others interpolated; off by {self.mean_error:.3g} on average and {self.largest_error:.3g} at "
            f"most over {self.checked} positions checked, in a map that spans {span:.3g}."
        )


def occlusion_refined(
    module: nn.Module | Incremental, image: Tensor | None, target: Target, *, patch: Size = 16, stride: Size = 8,
    baseline: Content = 0.0, levels: int = 2, tolerance: float = 0.1, checks: int = 32, seed: int = 0,
    batch: int | None = None, memory: int | None = None, dtype: torch.dtype | None = None, check: bool = True,
) -> Refined:  # fmt: skip
    """The map of `occlusion`, computed on a lattice 2^levels times coarser and refined where it varies.

    A cell of the lattice is refined if its corners differ by more than `tolerance` times the span of the whole map;
    the rest is interpolated bilinearly. Then `checks` interpolated positions, drawn with `seed`, are computed too and
    the error is reported. image: (1, C, H, W); None where `module` is an Incremental. The other arguments are those of
    `occlusion`.
    """
    if levels < 0 or tolerance < 0 or checks < 1:
        raise UsageError(
            f"levels and tolerance are 0 or more and checks 1 or more; got {levels}, {tolerance}, {checks}"
        )
    if isinstance(module, Incremental):
        session = module
    elif image is None:
        raise UsageError("occlusion_refined needs the image unless an Incremental is given")
    else:
        session = Incremental(module, image, dtype=dtype, check=check)
    rows, columns, boxes = positions(session.image, patch, stride)
    clean = session.score(target)
    drops = np.zeros((rows, columns))
    computed = np.zeros((rows, columns), bool)

    def compute(mask: np.ndarray) -> None:
        index = np.flatnonzero(mask & ~computed)
        if len(index):
            scores = session.scores(boxes[index], baseline, target, batch=batch, memory=memory)
            drops.reshape(-1)[index] = clean - scores.double().numpy()
            computed.reshape(-1)[index] = True

    lattice = [(_lattice(rows, 2**k), _lattice(columns, 2**k)) for k in range(levels, -1, -1)]
    first = np.zeros_like(computed)
    first[np.ix_(*lattice[0])] = True
    compute(first)
    for (r, c), (finer_r, finer_c) in pairwise(lattice):
        span = np.ptp(drops[np.ix_(r, c)])
        known = drops[np.ix_(r, c)]
        corners = np.stack([known[:-1, :-1], known[1:, :-1], known[:-1, 1:], known[1:, 1:]])
        if not corners.size:  # one row or column of positions: no cells
            corners = (
                np.stack([known[:-1], known[1:]])
                if len(c) == 1
                else np.stack([known[:, :-1], known[:, 1:]])
            )
        varies = np.ptp(corners, axis=0) > tolerance * span
        mask = np.zeros_like(computed)
        for i, j in zip(*np.nonzero(varies), strict=True):
            inside = np.zeros_like(computed)
            inside[_cell(r, i), _cell(c, j)] = True
            mask |= inside
        on = np.zeros_like(computed)
        on[np.ix_(finer_r, finer_c)] = True
        _interpolate(drops, computed, r, c, on)
        compute(mask & on)
    checked, errors = 0, np.zeros(0)
    left = np.flatnonzero(~computed)
    if len(left):
        draw = np.random.default_rng(seed).permutation(left)[:checks]
        guessed = drops.reshape(-1)[draw].copy()
        chosen = np.zeros_like(computed)
        chosen.reshape(-1)[draw] = True
        compute(chosen)
        errors, checked = np.abs(drops.reshape(-1)[draw] - guessed), len(draw)
    return Refined(
        torch.from_numpy(drops).float(), torch.from_numpy(computed), checked,
        float(errors.mean()) if checked else None, float(errors.max()) if checked else None,
    )  # fmt: skip


def _lattice(n: int, step: int) -> np.ndarray:
    """Every step-th position and the last one."""
    return np.unique([*range(0, n, step), n - 1])


def _cell(ends: np.ndarray, i: int) -> slice:
    return slice(int(ends[i]), int(ends[min(i + 1, len(ends) - 1)]) + 1)


def _interpolate(
    drops: np.ndarray, computed: np.ndarray, r: np.ndarray, c: np.ndarray, on: np.ndarray
) -> None:
    """Fill the positions `on` a finer lattice from those at rows `r` and columns `c`, bilinearly."""
    coarse = drops[np.ix_(r, c)]
    along = np.stack([np.interp(np.arange(drops.shape[1]), c, row) for row in coarse])
    full = np.stack([np.interp(np.arange(drops.shape[0]), r, column) for column in along.T], 1)
    fill = on & ~computed
    drops[fill] = full[fill]
