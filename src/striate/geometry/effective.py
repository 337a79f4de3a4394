"""The effective receptive field: how much each pixel that can be seen counts (Luo et al. 2016, arXiv:1701.04128)."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import GeometryError, UsageError
from striate.findings import Finding, Table
from striate.geometry.apply import Crop, Weights, apply
from striate.geometry.drawing import draw_effective
from striate.geometry.exact_field import ancestors, receptive_field
from striate.geometry.geometry import Geometry
from striate.geometry.trace import trace

# Luo et al., section 2: what lies beyond two standard deviations counts as nothing.
TWO_DEVIATIONS = 1 - 0.9545


def effective_receptive_field(
    module: nn.Module,
    input_shape: Sequence[int],
    layer: str,
    *,
    position: tuple[int, int] | None = None,
    samples: int = 20,
    seed: int = 0,
) -> Finding:
    """Gradient magnitude of one position of a layer with respect to random inputs, beside what it can see at all.

    input_shape: (1, C, H, W). layer: a name of `striate summary`. position: (row, column) of the layer's map, its middle if
    not given. samples: random inputs that the gradient is the mean over, drawn by `seed`. The module runs in its
    own mode and on its own device; its gradients and mode are left as they are. The Finding's data hold, for each axis,
    the theoretical size and the effective one: the square root of the number of pixels whose mean gradient is at least
    4.55 % of the strongest (two deviations of a Gaussian, as Luo et al. count).

    Raises UsageError for an unknown layer or position, GeometryError if the layer keeps no positions.
    """
    if samples < 1:
        raise UsageError(f"samples counts random inputs from 1, got {samples}")
    shape = (1, *tuple(input_shape)[1:])
    geometry = trace(module, shape)
    record = geometry.record(layer)
    value = geometry.values[record.output]
    if geometry.axes != 2 or any(n is None for n in value.extents):
        raise GeometryError(
            f"{record.name} keeps no positions on two axes, so it has no receptive field to measure; choose a layer before "
            "pooling ends them"
        )
    seen = receptive_field(geometry, record.name, position)
    rows, cols = (n for n in value.extents if n is not None)
    at = (rows // 2, cols // 2) if position is None else position
    strength = gradient_strength(geometry, module, record.output, at, samples, seed)
    top = strength.max()
    if not np.isfinite(top) or top == 0:
        what = "zero" if top == 0 else "not finite"
        raise GeometryError(
            f"the gradient of {record.name} at {at} is {what}; check the weights, or train first"
        )
    count = int((strength >= TWO_DEVIATIONS * top).sum())
    side = sqrt(count)
    box = tuple((s[0], s[1]) for s in seen.box if s is not None)
    theoretical = sqrt(seen.count)
    table = Table(
        columns=("", "rows", "columns", "pixels"),
        rows=(
            (
                "theoretical, clipped at the border",
                box[0][1] - box[0][0],
                box[1][1] - box[1][0],
                seen.count,
            ),
            ("effective", side, side, count),
        ),
        formats=("", ".0f", ".0f", ","),
    )
    return Finding(
        name="effective-receptive-field",
        title=f"Effective receptive field of {record.name}",
        verdict=(
            f"{record.name} can see {seen.count:,} pixels, but only {count:,} of them ({count / seen.count:.1%}) count: "
            f"about {side:.0f}×{side:.0f} instead of {theoretical:.0f}×{theoretical:.0f}."
        ),
        tables=(table,),
        figures=(draw_effective(seen.mask, strength, (box[0], box[1]), record.name),),
        data={
            "layer": record.name,
            "position": list(at),
            "theoretical_box": [list(s) for s in box],
            "theoretical_pixels": seen.count,
            "effective_pixels": count,
            "effective_side": side,
            "samples": samples,
            "outside": float(strength[~seen.mask].max()) if (~seen.mask).any() else 0.0,
        },
        seed=seed,
    )


def gradient_strength(
    geometry: Geometry, module: nn.Module, value: int, at: tuple[int, int], samples: int, seed: int
) -> np.ndarray:
    """Mean magnitude over random inputs and channels of the gradient of one position, (H, W), float64.

    The output's gradient is 1 at that position in every channel, 0 elsewhere (Luo et al., section 2).
    """
    weights = Weights(geometry, module)
    generator = torch.Generator().manual_seed(seed)
    source = geometry.values[geometry.inputs[0]]
    total = torch.zeros(geometry.image, dtype=torch.float64)
    layout = geometry.values[value].layout
    with torch.enable_grad():
        for _ in range(samples):
            x = torch.randn(source.shape, generator=generator, dtype=torch.float32)
            x = x.to(weights.device, source.dtype).requires_grad_(True)
            y = forward_to(geometry, weights, x, value)
            for k, place in enumerate(at):
                y = y.select(layout.index((-2 - k,)) - k, place)
            (gradient,) = torch.autograd.grad(y.sum(), x)
            total += gradient[0].abs().sum(0).double().cpu()
    return (total / samples).numpy()


def forward_to(geometry: Geometry, weights: Weights, x: Tensor, value: int) -> Tensor:
    """One value of the network for an input, with its gradient."""
    done: dict[int, Tensor] = {geometry.inputs[0]: x}
    for record in ancestors(geometry, value):
        crops = []
        for i in record.inputs:
            if i not in done:
                done[i] = weights[i].detach()
            crops.append(Crop(done[i], geometry.values[i].full))
        full = geometry.values[record.output].full
        done[record.output] = apply(geometry, record, crops, full, batch=x.shape[0])
    return done[value]
