"""Resizing: nearest, linear and cubic interpolation, both corner modes, any scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import floor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.geometry.index_map import Pattern, Ranges, Relation
from striate.geometry.layout import BATCH, axis_of
from striate.geometry.plan import Plan, Result, Step
from striate.geometry.rules.site import Site, kind_of, link_along

Mode = str  # "nearest", "nearest-exact", "linear", "cubic"
CUBIC = -0.75  # the a of torch's bicubic kernel (Keys 1981)


@lru_cache(maxsize=256)
def taps(
    n_in: int, n_out: int, mode: Mode, corners: bool, scale: float | None, double: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Input positions (n_out, T) and weights (n_out, T) of each output position, with torch's own rounding.

    Positions are computed in the precision that torch's kernels use (float32 unless the tensor is float64), because
    at a large coordinate the rounding decides which pixel is read.
    """
    scale = _said(n_in, n_out, mode, scale)
    exact = double and not mode.startswith(
        "nearest"
    )  # torch finds the nearest in float32, whatever the tensor
    real: Any = np.float64 if exact else np.float32
    o: Any = np.arange(n_out, dtype=real)
    if corners:
        step = real((n_in - 1) / (n_out - 1)) if n_out > 1 else real(0)
        src = o * step
    else:
        step = real(1 / scale) if scale is not None and scale > 0 else real(n_in) / real(n_out)
        if mode == "nearest":
            src = o * step
        elif mode == "nearest-exact":
            src = (o + real(0.5)) * step
        else:
            src = (o + real(0.5)) * step - real(0.5)
    if mode.startswith("nearest"):
        index = np.minimum(np.floor(src).astype(np.int64), n_in - 1)[:, None]
        return index, np.ones_like(index, dtype=np.float64)
    if mode == "linear":
        src = np.maximum(src, real(0))
        low = np.minimum(np.floor(src).astype(np.int64), n_in - 1)
        t = np.clip((src - low.astype(real)).astype(np.float64), 0, 1)
        return (
            np.stack([low, np.minimum(low + 1, n_in - 1)], 1),
            np.stack([1 - t, t], 1),
        )
    low = np.floor(src).astype(np.int64)
    t = (src - low.astype(real)).astype(np.float64)
    near = lambda x: ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1  # noqa: E731
    far = lambda x: ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC  # noqa: E731
    weight = np.stack([far(t + 1), near(t), near(1 - t), far(2 - t)], 1)
    index = np.clip(low[:, None] + np.arange(-1, 3), 0, n_in - 1)
    return index, weight


@lru_cache(maxsize=256)
def relation(
    n_in: int, n_out: int, mode: Mode, corners: bool, scale: float | None, double: bool
) -> Relation:
    """Which input positions have a weight other than zero, as ranges.

    A weight below rounding counts as zero: whether an exact 0 comes out as 0 or 1e-16 depends on the processor.
    """
    scale = _said(n_in, n_out, mode, scale)
    index, weight = taps(n_in, n_out, mode, corners, scale, double)
    least = 8 * np.finfo(np.float64 if double else np.float32).eps
    sets = []
    for places, weights in zip(index.tolist(), weight.tolist(), strict=True):
        total: dict[
            int, float
        ] = {}  # taps over the border fall on the same position, and may cancel there
        for i, w in zip(places, weights, strict=True):
            total[i] = total.get(i, 0.0) + w
        sets.append(tuple(sorted(i for i, w in total.items() if abs(w) > least)))
    starts = np.minimum.accumulate([s[0] for s in reversed(sets)])[::-1]
    stops = np.maximum.accumulate([s[-1] for s in sets]) + 1
    holes = any(s != tuple(range(a, b)) for s, a, b in zip(sets, starts, stops, strict=True))
    return Ranges(
        n_in, n_out, tuple(starts.tolist()), tuple(stops.tolist()),
        _ideal(n_in, n_out, mode, corners, scale), tuple(sets) if holes else (),
    )  # fmt: skip


def _said(n_in: int, n_out: int, mode: Mode, scale: float | None) -> float | None:
    """The scale that counts: torch's nearest copies at the same size and doubles at twice the size, whatever is given."""
    return None if mode == "nearest" and n_out in (n_in, 2 * n_in) else scale


def _ideal(n_in: int, n_out: int, mode: Mode, corners: bool, scale: float | None) -> Pattern | None:
    """The same on an endless line, in exact fractions."""
    if corners:
        if n_out == 1:
            return None
        rate = Fraction(n_in - 1, n_out - 1)
    elif scale is not None and scale > 0:
        rate = 1 / Fraction(scale).limit_denominator(4096)
    else:
        rate = Fraction(n_in, n_out)
    half = Fraction(1, 2)
    lo, hi = [], []
    for o in range(rate.denominator):
        if corners or mode == "nearest":
            src = o * rate
        elif mode == "nearest-exact":
            src = (o + half) * rate
        else:
            src = (o + half) * rate - half
        low, whole = floor(src), src.denominator == 1
        if mode.startswith("nearest") or whole:
            lo.append(low)
            hi.append(low)
        elif mode == "linear":
            lo.append(low)
            hi.append(low + 1)
        else:
            lo.append(low - 1)
            hi.append(low + 2)
    return Pattern(rate.denominator, rate.numerator, tuple(lo), tuple(hi))


@dataclass(frozen=True, slots=True)
class Resize(Plan):
    """Interpolation, one axis after the other."""

    mode: Mode
    corners: bool
    along: tuple[int | None, ...]
    scales: tuple[float | None, ...]
    sizes: tuple[tuple[int, int], ...]

    def run(self, step: Step) -> Tensor:
        x = step.tensors[0]
        n = len(self.along)
        whole = all(
            k is None
            or (step.needs[0][k], step.box[k]) == ((0, self.sizes[j][0]), (0, self.sizes[j][1]))
            for j, k in enumerate(self.along)
        )
        if whole:
            return step.call(step.tensors)
        double = x.dtype == torch.float64
        for j, k in enumerate(self.along):
            n_in, n_out = self.sizes[j]
            index, weight = taps(n_in, n_out, self.mode, self.corners, self.scales[j], double)
            first = 0
            if k is not None:
                side, need = step.box[k], step.needs[0][k]
                assert side is not None
                assert need is not None
                index, weight, first = index[side[0] : side[1]], weight[side[0] : side[1]], need[0]
                # a tap of weight zero may lie outside the crop
                index = np.clip(index, need[0], need[1] - 1)
            x = _weighted(x, j - n, index - first, weight)
        return x


def _weighted(x: Tensor, dim: int, index: np.ndarray, weight: np.ndarray) -> Tensor:
    shape = [-1, *[1] * (-dim - 1)]
    total = None
    for t in range(index.shape[1]):
        part = x.index_select(dim, torch.from_numpy(index[:, t].copy()).to(x.device))
        if index.shape[1] == 1:
            return part
        part = part * torch.from_numpy(weight[:, t].copy()).to(x.device, x.dtype).view(shape)
        total = part if total is None else total + part
    assert total is not None
    return total


_MODES = {
    "upsample_nearest": "nearest",
    "_upsample_nearest_exact": "nearest-exact",
    "upsample_linear": "linear",
    "upsample_bilinear": "linear",
    "upsample_trilinear": "linear",
    "upsample_bicubic": "cubic",
}


def upsample(site: Site) -> Result | None:
    """upsample_nearest/linear/bilinear/trilinear/bicubic, 1-D to 3-D."""
    x = site.operands[0]
    n = len(x.shape) - 2
    mode = _MODES[site.op[:-2]]
    nearest = mode.startswith("nearest")
    corners = False if nearest else bool(site.arg(2))
    first = 2 if nearest else 3
    scales = tuple([site.arg(first + j) for j in range(n)])
    if site.arg(1) is None or isinstance(site.arg(2 if nearest else 3), tuple):
        factors = site.arg(2 if nearest else 3)
        scales = tuple(factors) if factors else (None,) * n
    double = site.dtype == torch.float64
    along: list[int | None] = []
    relations: dict[int, Relation] = {}
    layout, extents = list(x.layout[:2]), list(x.extents)
    if any(a < BATCH for a in x.layout[1]):
        return None
    for j in range(n):
        dim, n_in, n_out = x.layout[2 + j], x.shape[2 + j], site.shape[2 + j]
        if len(dim) > 1 or dim[0] == BATCH:
            return None
        if dim[0] > 0:
            along.append(None)
            layout.append((n_out,))
            continue
        k = axis_of(dim[0])
        along.append(k)
        layout.append(dim)
        extents[k] = n_out
        relations[k] = relation(n_in, n_out, mode, corners, scales[j], double)
    result = tuple(extents)
    links = (link_along(x, result, relations),)
    sizes = tuple([(x.shape[2 + j], site.shape[2 + j]) for j in range(n)])
    plan = Resize(
        links,
        kind_of(links, any(e is not None for e in result)),
        mode,
        corners,
        tuple(along),
        scales,
        sizes,
    )
    return Result(tuple(layout), result, plan)


RULES: dict[str, Callable[[Site], Result | None]] = {
    f"{name}{n}d": upsample
    for name, dims in {
        "upsample_nearest": "123",
        "_upsample_nearest_exact": "123",
        "upsample_linear": "1",
        "upsample_bilinear": "2",
        "upsample_trilinear": "3",
        "upsample_bicubic": "2",
    }.items()
    for n in dims
}
