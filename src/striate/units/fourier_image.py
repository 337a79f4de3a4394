"""Painting: an image as numbers that an optimiser can move, in the Fourier domain with decorrelated colours.

Olah, Mordvintsev and Schubert 2017 (distill.pub/2017/feature-visualization): each frequency is scaled by its inverse, so
that a step changes all scales alike, and colour axes are those along which natural pixels do not correlate.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Square root of the covariance of natural pixels' colours, as published with Olah et al. (2017); red, green, blue.
COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
START = 0.05  # standard deviation of the first spectrum


class Painting:
    """`count` images (C, height, width) in [0, 1] that grow out of a spectrum.

    colours: (C, C), from decorrelated to image colours; the published one for three channels if not given.
    """

    def __init__(
        self,
        count: int,
        channels: int,
        height: int,
        width: int,
        *,
        seed: int = 0,
        colours: Tensor | None = None,
        device: torch.device | None = None,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        rows = torch.fft.fftfreq(height).unsqueeze(1)
        cols = torch.fft.rfftfreq(width).unsqueeze(0)
        frequency = torch.sqrt(rows**2 + cols**2)
        self.scale = (1 / frequency.clamp(min=1 / max(height, width))).to(device)
        self.scale = self.scale * math.sqrt(height * width) / self.scale.norm() * 2
        shape = (count, channels, *frequency.shape, 2)
        self.spectrum = (START * torch.randn(shape, generator=generator)).to(device)
        self.spectrum.requires_grad_(True)
        self.size = (height, width)
        mixing = torch.tensor(COLOURS) if channels == 3 else torch.eye(channels)
        mixing = mixing if colours is None else colours.float()
        self.mixing = (mixing / mixing.norm(dim=0).max()).to(device)

    def pixels(self) -> Tensor:
        """The images (count, C, height, width) in [0, 1], with their gradient."""
        waves = torch.view_as_complex(self.spectrum) * self.scale
        flat = torch.fft.irfft2(waves, s=self.size, norm="ortho")
        return torch.sigmoid(2 * torch.einsum("nchw,dc->ndhw", flat, self.mixing))


def colours_of(images: Tensor) -> Tensor:
    """Square root (C, C) of the covariance of the colours of images (N, C, H, W) in [0, 1]."""
    flat = images.float().transpose(0, 1).flatten(1).double()
    centred = flat - flat.mean(1, keepdim=True)
    covariance = centred @ centred.T / flat.shape[1]
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp(min=1e-6).sqrt()
    return root.float()
