"""The map of one image of any size, or of several of one size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from striate.answer import answer_of
from striate.borrow import forward
from striate.data import Preprocessing
from striate.inference.tiled import tiled

WHOLE = 2**21  # pixels; larger images go through tile by tile, with the same numbers
TILES = "1GB"


@torch.inference_mode()
def maps_of(
    network: nn.Module,
    preprocessing: Preprocessing,
    images: Sequence[Tensor],
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    """Maps (K + 4, h, w) float32 on the CPU of images (C, H, W) uint8 of one size, each at its own.

    dtype: what layers compute in; images of more than two million pixels are computed in float32.
    """
    was_training = network.training
    network.eval()
    try:
        if images[0].shape[-2] * images[0].shape[-1] > WHOLE and device.type == "cpu":
            large = [
                tiled(network, image[None], memory=TILES, preprocess=preprocessing.normalise)
                for image in images
            ]
            return [m[0] if m.ndim == 4 else m for m in large]
        x = preprocessing.normalise(torch.stack(list(images)).to(device))
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            return list(answer_of(forward(network, x)).float().cpu())
    finally:
        network.train(was_training)
