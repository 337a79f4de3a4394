"""Reverse correlation: a unit's receptive field from its responses to white noise (spike-triggered average)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from striate.units.fields import Span
from striate.units.layers import find_unit
from striate.units.probe import Probe
from striate.units.stimuli import GROUND

DEVIATION = 0.15  # of the noise; three of them stay within the pixels' range
SAMPLES = 4096
MOST_BLOCKS = 40  # along the longer side: what the samples suffice for
MARGIN = 0.25  # of the field shown around it, where nothing may be found
BATCH = 256


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """The spike-triggered average.

    average (C, h, w): response per unit of a pixel, over `region` of the image. field: geometry's box. block: side in
    pixels of one square of noise. inside: the largest magnitude in the field over the largest outside it, None where the
    field fills the region. significance: of the strongest pixel, in standard errors.
    """

    average: np.ndarray
    region: tuple[Span, Span]
    field: tuple[Span, Span]
    block: int
    samples: int
    inside: float | None
    significance: float


def reverse_correlate(
    probe: Probe, unit: int, *, samples: int = SAMPLES, seed: int = 0
) -> ReceptiveField:
    """Show Gaussian white noise and average it, weighted with the unit's drive (Chichilnisky 2001, equation 5).

    For a unit whose drive is linear in the pixels this is its kernel. Noise comes in squares of several pixels where the
    field is large. Raises UsageError for a unit that does not exist.
    """
    find_unit(probe.layer, unit)
    image = probe.network.size
    sides = [b - a for a, b in probe.field]
    spare = [max(1, math.ceil(MARGIN * s)) for s in sides]
    region = tuple(
        (max(0, a - m), min(n, b + m))
        for (a, b), m, n in zip(probe.field, spare, image, strict=True)
    )
    (top, bottom), (left, right) = region
    height, width = bottom - top, right - left
    block = max(1, math.ceil(max(height, width) / MOST_BLOCKS))
    small = (math.ceil(height / block), math.ceil(width / block))
    channels = probe.network.channels
    generator = torch.Generator().manual_seed(seed)
    (box_top, box_bottom), (box_left, box_right) = probe.box
    total = torch.zeros((channels, *small), dtype=torch.float64)
    noise_sum = torch.zeros_like(total)
    weight_sum = squares = 0.0
    for first in range(0, samples, BATCH):
        n = min(BATCH, samples - first)
        noise = DEVIATION * torch.randn((n, channels, *small), generator=generator)
        fine = noise.repeat_interleave(block, 2).repeat_interleave(block, 3)
        patch = torch.full((n, channels, *probe.shape), GROUND)
        t, b = max(top, box_top), min(bottom, box_bottom)
        le, r = max(left, box_left), min(right, box_right)
        patch[:, :, t - box_top : b - box_top, le - box_left : r - box_left] += fine[
            :, :, t - top : b - top, le - left : r - left
        ]
        response = probe.respond(patch, drive=True)[:, unit].double()
        total += torch.einsum("n,nchw->chw", response, noise.double())
        noise_sum += noise.double().sum(0)
        weight_sum += float(response.sum())
        squares += float(response.square().sum())
    mean = weight_sum / samples
    average = (total - mean * noise_sum) / samples / DEVIATION**2
    spread = math.sqrt(max(squares / samples - mean**2, 0.0))
    error = spread / DEVIATION / math.sqrt(samples)
    full = average.repeat_interleave(block, 1).repeat_interleave(block, 2)[:, :height, :width]
    shown = full.numpy() / block**2
    mask = np.zeros((height, width), dtype=bool)
    (ft, fb), (fl, fr) = probe.field
    mask[ft - top : fb - top, fl - left : fr - left] = True
    strength = np.abs(shown).max(0)
    outside = strength[~mask].max() if (~mask).any() else 0.0
    return ReceptiveField(
        average=shown,
        region=((top, bottom), (left, right)),
        field=probe.field,
        block=block,
        samples=samples,
        inside=float(strength[mask].max() / outside) if outside > 0 else None,
        significance=float(average.abs().max()) / error if error > 0 else 0.0,
    )
