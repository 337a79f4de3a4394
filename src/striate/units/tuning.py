"""Tuning: what gratings and bars drive a unit, measured as in the striate cortex (Hubel and Wiesel 1959, 1962).

A response counts as what lies above the response to plain grey; below it, as a cell that is silent: 0. The sinusoid that
drifts through one cycle gives a mean F0 and a first harmonic F1. F1 / F0 > 1 is a simple cell, which follows the phase,
less a complex one, which ignores it (Skottun et al. 1991). How well a grating drives a unit is the larger of both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from striate.units.layers import find_unit
from striate.units.probe import Probe
from striate.units.stimuli import GROUND, bars, every, gratings

COARSE = 12  # orientations at which a whole layer is measured
FINE = 36  # and one unit
PHASES = 12
FREQUENCIES = 6
AT_ONCE = 288
STILL = 1e-6  # of the largest response in the layer: less counts as none
SIMPLE = 1.0  # Skottun et al. (1991): F1 / F0 above it


@dataclass(frozen=True, eq=False)
class LayerTuning:
    """What gratings do to all units of a layer; U units, O orientations, F frequencies.

    orientations (O,) degrees, frequencies (F,) cycles a pixel. mean, first (U, O, F): F0 and F1 over a drift of one cycle.
    """

    orientations: Tensor
    frequencies: Tensor
    mean: Tensor
    first: Tensor

    @property
    def strength(self) -> Tensor:
        """(U, O, F) the larger of F0 and F1."""
        return torch.maximum(self.mean, self.first)

    def best(self) -> tuple[Tensor, Tensor]:
        """Indices (U,) of each unit's orientation and frequency with the largest strength."""
        flat = self.strength.flatten(1).argmax(1)
        return flat // len(self.frequencies), flat % len(self.frequencies)

    @property
    def driven(self) -> Tensor:
        """(U,) whether any grating drives the unit at all."""
        most = self.strength.flatten(1).amax(1)
        return most > STILL * most.max().clamp(min=1e-12)

    @property
    def preferred_orientation(self) -> Tensor:
        """(U,) degrees in [0, 180), nan for a unit that no grating drives."""
        value = self.orientations[self.best()[0]]
        return torch.where(self.driven, value, torch.nan)

    @property
    def preferred_frequency(self) -> Tensor:
        """(U,) cycles a pixel, nan for a unit that no grating drives."""
        value = self.frequencies[self.best()[1]]
        return torch.where(self.driven, value, torch.nan)

    @property
    def circular_variance(self) -> Tensor:
        """(U,) at the preferred frequency: 0 one orientation only, 1 none preferred (Ringach et al. 2002)."""
        at = self.best()[1].view(-1, 1, 1).expand(-1, len(self.orientations), 1)
        curves = self.strength.gather(2, at).squeeze(2)
        return torch.where(self.driven, circular_variance(self.orientations, curves), torch.nan)

    @property
    def modulation(self) -> Tensor:
        """(U,) F1 / F0 of the best grating."""
        at = self.best()
        unit = torch.arange(len(self.mean))
        ratio = self.first[unit, at[0], at[1]] / self.mean[unit, at[0], at[1]].clamp(min=1e-12)
        return torch.where(self.driven, ratio, torch.nan)


@dataclass(frozen=True, eq=False)
class Curve:
    """A tuning curve: responses at the values of one property of the stimulus."""

    name: str
    unit: str
    at: np.ndarray
    response: np.ndarray

    @property
    def best(self) -> float:
        """The value with the largest response."""
        return float(self.at[int(self.response.argmax())])


@dataclass(frozen=True, eq=False)
class UnitTuning:
    """One unit's tuning; `driven` is False where no grating drives it above its response to grey, then the rest is nan.

    orientation in degrees of the stripes, frequency in cycles a pixel. bandwidth: half-width at half-height of the
    orientation curve in degrees, None where it never falls to half. octaves: full width at half-height of the frequency
    curve, None where it has no end within the frequencies shown. circular_variance, modulation (F1 / F0), kind "simple",
    "complex" or "silent". curves by name: orientation, frequency, phase, size. bar_orientation in degrees.
    bar_map (O, P): responses to bright or dark bars, whichever is stronger, at bar_orientations (O,) in degrees and
    bar_offsets (P,) in pixels.
    """

    driven: bool
    orientation: float
    frequency: float
    bandwidth: float | None
    octaves: float | None
    circular_variance: float
    modulation: float
    kind: str
    curves: dict[str, Curve]
    bar_orientation: float
    bar_bright: bool
    bar_width: float
    bar_orientations: np.ndarray
    bar_offsets: np.ndarray
    bar_map: np.ndarray


def circular_variance(orientations: Tensor, curves: Tensor) -> Tensor:
    """1 - |sum of r exp(2 i angle)| / sum of r, for curves (..., O) at angles (O,) in degrees (Ringach et al. 2002)."""
    angle = 2 * torch.deg2rad(orientations)
    x, y = (curves * torch.cos(angle)).sum(-1), (curves * torch.sin(angle)).sum(-1)
    return 1 - torch.sqrt(x**2 + y**2) / curves.sum(-1).clamp(min=1e-12)


def harmonics(responses: Tensor) -> tuple[Tensor, Tensor]:
    """F0 and F1 of responses (..., P) at P phases through one cycle; F1 is the amplitude of the first harmonic."""
    phases = responses.shape[-1]
    angle = 2 * math.pi * torch.arange(phases) / phases
    x, y = (responses * torch.cos(angle)).mean(-1), (responses * torch.sin(angle)).mean(-1)
    return responses.mean(-1), 2 * torch.sqrt(x**2 + y**2)


def half_width(at: np.ndarray, response: np.ndarray, period: float | None = None) -> float | None:
    """Half-width at half-height of a curve around its peak, interpolated; None where it does not fall to half on a side.

    period: of `at`, for angles. Without it a side that reaches the curve's end is left out; both left out give None.
    """
    n, peak = len(at), int(response.argmax())
    half = response[peak] / 2
    if half <= 0:
        return None
    step = period / n if period else 0.0
    sides = []
    for sign in (1, -1):
        for k in range(1, n // 2 + 1 if period else n):
            j, i = peak + sign * k, peak + sign * (k - 1)
            if not period and not 0 <= j < n:
                break
            low, high = response[j % n], response[i % n]
            if low <= half:
                part = float((high - half) / (high - low)) if high > low else 0.0
                gap = step if period else abs(float(at[j] - at[i]))
                before = (k - 1) * step if period else abs(float(at[i] - at[peak]))
                sides.append(before + part * gap)
                break
        else:
            if period:
                return None
    return float(np.mean(sides)) if sides else None


def orientations(count: int) -> Tensor:
    """`count` angles from 0 up to 180 degrees."""
    return torch.arange(count) * 180.0 / count


def frequencies(probe: Probe, count: int) -> Tensor:
    """`count` frequencies in octave-like steps, from one cycle across the field to the finest that pixels can show."""
    side = max(b - a for a, b in probe.field)
    lowest = min(1 / max(side, 3), 0.25)
    return torch.exp(torch.linspace(math.log(lowest), math.log(0.5), count))


def above_grey(probe: Probe, patterns: Iterator[Tensor] | Sequence[Tensor]) -> Tensor:
    """Responses (N, U) above the response to plain grey, 0 below it, to patterns (n, h, w) as they come."""
    blank = probe.respond(probe.grey(torch.full((1, *probe.shape), GROUND)))
    responses = [probe.respond(probe.grey(p)) for p in patterns]
    return (torch.cat(responses) - blank).clamp(min=0)


def _drifting(probe: Probe, angles: Tensor, waves: Tensor, phases: int) -> tuple[Tensor, Tensor]:
    """F0 and F1 (U, len(angles), len(waves)) of gratings that drift through one cycle."""
    rows, cols = probe.grid()
    turn = torch.arange(phases) * 360.0 / phases
    o, f, p = every(angles, waves, turn)
    parts = zip(o.split(AT_ONCE), f.split(AT_ONCE), p.split(AT_ONCE), strict=True)
    shown = (gratings(rows, cols, a, b, c) for a, b, c in parts)
    responses = above_grey(probe, shown).T.reshape(-1, len(angles), len(waves), phases)
    return harmonics(responses)


def tune_layer(
    probe: Probe, *, orientation_count: int = COARSE, frequency_count: int = FREQUENCIES
) -> LayerTuning:
    """Show drifting gratings of every orientation and frequency to all units of a layer at once."""
    angles, waves = orientations(orientation_count), frequencies(probe, frequency_count)
    mean, first = _drifting(probe, angles, waves, 8)
    return LayerTuning(angles, waves, mean, first)


def tune_unit(
    probe: Probe, unit: int, *, layer: LayerTuning | None = None, fine: int = FINE
) -> UnitTuning:
    """Measure one unit: first coarsely, then each property around its best grating, then with bars.

    layer: what `tune_layer` found, if it is known. Raises UsageError for a unit that does not exist.
    """
    find_unit(probe.layer, unit)
    coarse = layer or tune_layer(probe)
    rows, cols = probe.grid()
    orientation = float(coarse.orientations[coarse.best()[0][unit]])
    wave = float(coarse.frequencies[coarse.best()[1][unit]])
    driven = bool(coarse.driven[unit])

    lowest = max(float(coarse.frequencies[0]), wave / 4)  # slower ones are mere brightness
    waves = torch.exp(torch.linspace(math.log(lowest), math.log(min(0.5, wave * 4)), 17))
    mean, first = (h[unit, 0] for h in _drifting(probe, torch.tensor([orientation]), waves, PHASES))
    by_frequency = Curve(
        "spatial frequency", "cycles/pixel", waves.numpy(), torch.maximum(mean, first).numpy()
    )
    wave = by_frequency.best
    angles = orientations(fine)
    mean, first = (h[unit, :, 0] for h in _drifting(probe, angles, torch.tensor([wave]), PHASES))
    strength = torch.maximum(mean, first)
    by_orientation = Curve("orientation", "degrees", angles.numpy(), strength.numpy())
    best = int(strength.argmax())
    orientation = float(angles[best])
    ratio = float(first[best] / mean[best].clamp(min=1e-12)) if driven else math.nan

    turns = torch.arange(24) * 15.0
    o, f, p = every([orientation], [wave], turns)
    static = above_grey(probe, [gratings(rows, cols, o, f, p)])[:, unit]
    by_phase = Curve("phase", "degrees", turns.numpy(), static.numpy())
    side = max(b - a for a, b in probe.field)
    widths = torch.linspace(1, side * 1.42, min(16, max(3, side)))
    o, f, p = every([orientation], [wave], torch.full((len(widths),), by_phase.best))
    sized = above_grey(probe, [gratings(rows, cols, o, f, p, diameter=widths)])[:, unit]
    by_size = Curve("diameter", "pixels", widths.numpy(), sized.numpy())

    width = max(1.0, 0.5 / wave)
    bar_angles = orientations(COARSE)
    offsets = torch.linspace(-side / 2, side / 2, min(25, side + 1))
    o, d = every(bar_angles, offsets)
    shown = {
        bright: above_grey(
            probe,
            (
                bars(rows, cols, a, b, width, bright=bright)
                for a, b in zip(o.split(AT_ONCE), d.split(AT_ONCE), strict=True)
            ),
        )[:, unit].reshape(len(bar_angles), len(offsets))
        for bright in (True, False)
    }
    bright = bool(shown[True].max() >= shown[False].max())
    bar_map = shown[bright].numpy()
    silent = math.nan
    return UnitTuning(
        driven=driven,
        orientation=orientation if driven else silent,
        frequency=wave if driven else silent,
        bandwidth=half_width(angles.numpy(), strength.numpy(), 180.0) if driven else None,
        octaves=_octaves(by_frequency) if driven else None,
        circular_variance=float(circular_variance(angles, strength)) if driven else silent,
        modulation=ratio,
        kind="silent" if not driven else "simple" if ratio > SIMPLE else "complex",
        curves={
            "orientation": by_orientation,
            "frequency": by_frequency,
            "phase": by_phase,
            "size": by_size,
        },
        bar_orientation=float(bar_angles[int(bar_map.max(1).argmax())])
        if bar_map.any()
        else silent,
        bar_bright=bright,
        bar_width=width,
        bar_orientations=bar_angles.numpy(),
        bar_offsets=offsets.numpy(),
        bar_map=bar_map,
    )


def _octaves(curve: Curve) -> float | None:
    """Full width at half-height in octaves, where the curve falls to half on both sides."""
    peak = int(curve.response.argmax())
    left, right = curve.response[: peak + 1], curve.response[peak:]
    half = curve.response[peak] / 2
    if left.min() > half or right.min() > half:
        return None
    width = half_width(np.log2(curve.at), curve.response)
    return None if width is None else 2 * width
