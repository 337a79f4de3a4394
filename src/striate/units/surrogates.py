"""Surrogates: random units, with the maps of real ones but for where in the image they respond."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from striate.units.layers import UnitLayer


class Surrogates:
    """Some units of a layer with the phases of their maps' Fourier components drawn at random (Theiler et al. 1992).

    Mean, spectrum, and so the size of what responds stay as they are in each image; places do not.
    """

    def __init__(self, layer: UnitLayer, count: int, *, seed: int) -> None:
        self.seed = seed
        drawn = np.random.default_rng(seed).permutation(layer.units)[:count]
        self.units = torch.from_numpy(np.sort(drawn))
        self.count = len(drawn)

    def behind(self, maps: Tensor, first: int) -> Tensor:
        """Maps (n, U, h, w) of the images `first`, ... with those of the R random units behind: (n, U + R, h, w)."""
        own = maps.index_select(1, self.units)
        noise = []
        for number in range(first, first + len(maps)):  # the same in both passes
            generator = torch.Generator().manual_seed((self.seed << 32) + number)
            noise.append(torch.randn(own.shape[1:], generator=generator))
        random = torch.fft.rfft2(torch.stack(noise))
        # The transform of real noise has the symmetry that makes the inverse real.
        phase = random / random.abs().clamp(min=1e-12)
        whole = torch.fft.rfft2(own)
        turned = whole * phase
        turned[..., 0, 0] = whole[..., 0, 0]
        return torch.cat([maps, torch.fft.irfft2(turned, s=own.shape[-2:])], 1)
