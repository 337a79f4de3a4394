"""The steerable pyramid in the Fourier domain (Simoncelli and Freeman 1995; lecture 003, "Steerable
Pyramid").

The image's spectrum is cut into a high-pass rest, rings one octave wide, each split into
orientations, and a low-pass rest. The squares of all masks add up to 1 at every frequency, so using
each mask twice, once to take the image apart and once to put it together, gives the image back.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, factorial, pi, sqrt

import torch
from torch import Tensor

from striate.errors import UsageError


@dataclass(frozen=True)
class SteerablePyramid:
    """high: (H, W), the finest rest; bands: one (K, h, w) an octave, finest first; low: the coarse
    rest."""

    high: Tensor
    bands: tuple[Tensor, ...]
    low: Tensor


def steerable_pyramid(image: Tensor, scales: int, orientations: int) -> SteerablePyramid:
    """Take an image (H, W) apart into `scales` octaves of `orientations` directions each.

    Band k responds to edges across which one steps at k * 180 / K degrees, from rightwards towards
    downwards. With an even number of orientations the filters are odd (edges), with an odd number
    even (lines). Raises UsageError unless H and W are multiples of 2^scales.
    """
    _check(image, scales, orientations)
    spectrum = torch.fft.fft2(image.double())
    r, _ = _polar(image.shape)
    high = _image(spectrum * _high(r / 2))
    spectrum = spectrum * _low(r / 2)
    bands = []
    for _ in range(scales):
        angles = [k * pi / orientations for k in range(orientations)]
        masks = [oriented_mask(spectrum.shape, orientations, angle) for angle in angles]
        bands.append(torch.stack([_image(spectrum * mask) for mask in masks]))
        r, _ = _polar(spectrum.shape)
        spectrum = _inner(spectrum * _low(r))
    return SteerablePyramid(high, tuple(bands), _image(spectrum))


def from_steerable(pyramid: SteerablePyramid) -> Tensor:
    """The image that a steerable pyramid came from, to rounding: the same masks again, conjugated, and the sum.

    -> (H, W), float64.
    """
    spectrum = torch.fft.fft2(pyramid.low)
    for band in reversed(pyramid.bands):
        K, *size = band.shape
        r, _ = _polar(size)
        spectrum = _outer(spectrum) * _low(r)
        for k in range(K):
            mask = oriented_mask(size, K, k * pi / K)
            spectrum = spectrum + torch.fft.fft2(band[k]) * mask.conj()
    r, _ = _polar(pyramid.high.shape)
    return _image(spectrum * _low(r / 2) + torch.fft.fft2(pyramid.high) * _high(r / 2))


def oriented_mask(size: tuple[int, ...] | list[int], orientations: int, angle: float) -> Tensor:
    """The spectrum of one oriented filter at any `angle` in radians, on a grid of `size`: (h, w),
    complex128.

    (-i)^(K-1) a cos^(K-1)(theta - angle) times a ring from pi/4 upwards: the (K-1)-th derivative of
    a round filter.
    """
    r, theta = _polar(size)
    n = orientations - 1
    a = 2**n * factorial(n) / sqrt(orientations * factorial(2 * n))
    return (-1j) ** n * a * torch.cos(theta - angle) ** n * _high(r)


def steering_weights(orientations: int, angle: float) -> Tensor:
    """How much of each basis filter makes the filter at `angle` (radians): (K,).

    b_k = 1/K sum over m = K-1, K-3, ..., 1-K of cos(m (angle - k pi / K)): the interpolation that
    is exact for cos^(K-1), which has only these frequencies (Freeman and Adelson 1991).
    """
    K = orientations
    weights = [sum(cos(m * (angle - k * pi / K)) for m in range(1 - K, K, 2)) / K for k in range(K)]
    return torch.tensor(weights, dtype=torch.float64)


def steer(bands: Tensor, angle: float) -> Tensor:
    """The response of the filter at `angle`, mixed from the K bands of one scale: (K, h, w) -> (h,
    w)."""
    weights = steering_weights(len(bands), angle)
    return (weights[:, None, None] * bands).sum(0)


def _check(image: Tensor, scales: int, orientations: int) -> None:
    if image.ndim != 2 or scales < 1 or orientations < 1:
        raise UsageError(
            f"steerable_pyramid needs an (H, W) image, 1 or more scales and orientations, got "
            f"{tuple(image.shape)}, {scales} and {orientations}"
        )
    block = 2**scales
    if any(n % block or n < 2 * block for n in image.shape):
        smallest = tuple(max(n // block, 2) * block for n in image.shape)
        raise UsageError(
            f"steerable_pyramid halves the image {scales} times, so its sides must be multiples of "
            f"{block}, at least {2 * block}; got {tuple(image.shape)}: crop or pad it to {smallest}"
        )


def _polar(size: tuple[int, ...] | list[int]) -> tuple[Tensor, Tensor]:
    """Radius (radians a pixel) and angle of every frequency of a grid."""
    y, x = (2 * pi * torch.fft.fftfreq(n, dtype=torch.float64) for n in size)
    return torch.sqrt(y[:, None].square() + x.square()), torch.atan2(
        y[:, None].expand(*size), x.expand(*size)
    )


def _low(r: Tensor) -> Tensor:
    """1 below pi/4, 0 above pi/2, a cosine in log frequency between."""
    octaves = torch.log2(4 * r.clamp(pi / 4, pi / 2) / pi)  # 0 to 1
    return torch.where(r < pi / 2, torch.cos(pi / 2 * octaves), torch.zeros_like(r))


def _high(r: Tensor) -> Tensor:
    """0 below pi/4, 1 above pi/2: with `_low`, the squares add up to 1."""
    octaves = torch.log2(4 * r.clamp(pi / 4, pi / 2) / pi)
    return torch.where(r < pi / 2, torch.sin(pi / 2 * octaves), torch.ones_like(r))


def _image(spectrum: Tensor) -> Tensor:
    return torch.fft.ifft2(spectrum).real


def _inner(spectrum: Tensor) -> Tensor:
    """The lower half of the frequencies on each axis: keeps every second pixel, with nothing above
    to fold over."""
    (h, w), (top, left) = (
        [n // 2 for n in spectrum.shape],
        [n // 2 - n // 4 for n in spectrum.shape],
    )
    centred = torch.fft.fftshift(spectrum)[top : top + h, left : left + w]
    return torch.fft.ifftshift(centred) / 4


def _outer(spectrum: Tensor) -> Tensor:
    """The spectrum on a grid of twice the size, zeros where there was nothing."""
    h, w = spectrum.shape
    canvas = spectrum.new_zeros(2 * h, 2 * w)
    canvas[h - h // 2 : h - h // 2 + h, w - w // 2 : w - w // 2 + w] = torch.fft.fftshift(spectrum)
    return torch.fft.ifftshift(canvas) * 4
