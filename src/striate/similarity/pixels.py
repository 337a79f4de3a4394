"""Distances by pixels, to set beside the network's: PSNR, SSIM and MS-SSIM, as torchmetrics computes them."""

from __future__ import annotations

import math

from torch import Tensor

SSIM_SIDE = 11  # pixels of its window
MS_SSIM_SIDE = 176  # pixels: five scales of an 11-pixel window need more than 160


def pixel_scores(a: Tensor, b: Tensor) -> dict[str, float | None]:
    """PSNR in dB (None for equal images), SSIM and MS-SSIM in [-1, 1] of two images (C, H, W) in [0, 1].

    None where an image is too small for the window: 11 pixels a side for SSIM (Wang et al. 2004), 176 for the five scales of
    MS-SSIM (Wang et al. 2003).
    """
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure,
        structural_similarity_index_measure,
    )

    x, y = a[None].float(), b[None].float()  # double takes 25 times as long and moves SSIM by 1e-7
    error = float((x.double() - y.double()).square().mean())
    side = min(a.shape[-2:])
    found: dict[str, float | None] = {"psnr": 10 * math.log10(1 / error) if error > 0 else None}
    found["ssim"] = None
    if side >= SSIM_SIDE:
        ssim = structural_similarity_index_measure(x, y, data_range=1.0)
        assert isinstance(ssim, Tensor)  # no image beside it was asked for
        found["ssim"] = float(ssim)
    found["ms-ssim"] = None
    if side >= MS_SSIM_SIDE:
        found["ms-ssim"] = float(
            multiscale_structural_similarity_index_measure(x, y, data_range=1.0)
        )
    return found
