"""Why a wave breaks the line network: what of an image's spectrum its kernels' spectra let through."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from striate.lectures.experiments.lines.network import KERNEL, LineNetwork

FINE = 128  # frequencies along each axis of a drawn spectrum


def gains(kernels: Tensor, size: int = FINE) -> Tensor:
    """Squared magnitude of kernels' spectra (K, size, size), frequency 0 in the middle, from -1/2 to 1/2 cycle a pixel."""
    return torch.fft.fftshift(torch.fft.fft2(kernels, s=(size, size)).abs() ** 2, dim=(-2, -1))


def energies(kernels: Tensor, images: Tensor) -> Tensor:
    """Energy (N, K) that kernels (K, k, k) let through of images (N, 1, H, W): by Parseval, from the two spectra alone.

    Equal to the sum of squares of the full correlation, borders included (zeros around the image).
    """
    size = [n + kernels.shape[-1] - 1 for n in images.shape[-2:]]
    through = torch.fft.fft2(kernels, s=size).abs() ** 2
    energies = torch.empty(len(images), len(kernels))
    for part in torch.arange(len(images)).split(200):
        spectrum = torch.fft.fft2(images[part, 0], s=size).abs() ** 2
        energies[part] = torch.einsum("nhw,khw->nk", spectrum, through) / (size[0] * size[1])
    return energies


@dataclass(frozen=True)
class Reader:
    """Reads the answer off the spectra of kernels (2, KH, KW): no ReLU, no bias, no weights W.

    vertical: the kernel that votes for vertical more than the other does. border: the ratio of what both let through, in
    natural logarithms, from which on an image counts as vertical, midway between the plain lines of both classes.
    """

    kernels: Tensor
    vertical: int
    border: float

    @classmethod
    def of(cls, network: LineNetwork, images: Tensor, labels: Tensor) -> Reader:
        """From a network and plain lines (N, 1, H, W) with labels, 0 vertical."""
        reader = cls(network.kernels, int(network.votes.argmax()), 0.0)
        ratio = reader.ratio(images)
        border = (ratio[labels == 0].mean() + ratio[labels == 1].mean()) / 2
        return cls(reader.kernels, reader.vertical, float(border))

    def ratio(self, images: Tensor) -> Tensor:
        """(N,) logarithm of what the vertical kernel lets through over what the other does."""
        through = energies(self.kernels, images).clamp(min=1e-12).log()
        return through[:, self.vertical] - through[:, 1 - self.vertical]

    def answers(self, images: Tensor) -> Tensor:
        """(N,) 0 vertical, 1 horizontal."""
        return (self.ratio(images) <= self.border).long()


assert FINE > KERNEL
