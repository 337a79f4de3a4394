"""Label: a class for every pixel of one image, of any size."""

from __future__ import annotations

import torch
from torch import nn

from striate.answer import answer_of
from striate.borrow import forward
from striate.data import Preprocessing
from striate.inference.tiled import tiled

WHOLE = 2**21  # pixels; larger images are labelled tile by tile, with the same numbers
TILES = "1GB"


@torch.inference_mode()
def label(
    network: nn.Module,
    preprocessing: Preprocessing,
    image: torch.Tensor,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    flip: bool = False,
) -> torch.Tensor:
    """Logits (K, H, W) float32 on the CPU of an image (C, H, W) uint8 at its own size.

    dtype: what layers compute in; images of more than two million pixels are computed in float32. flip: the mean with the
    mirrored image's.
    """
    was_training = network.training
    network.eval()
    try:
        if image.shape[-2] * image.shape[-1] > WHOLE and device.type == "cpu":
            out = tiled(network, image[None], memory=TILES, preprocess=preprocessing.normalise)
            logits = out[0] if out.ndim == 4 else out
        else:
            x = preprocessing.normalise(image[None].to(device))
            x = x.contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                logits = answer_of(forward(network, x))[0].float()
                if flip:
                    logits = (
                        logits + answer_of(forward(network, x.flip(-1)))[0].flip(-1).float()
                    ) / 2
    finally:
        network.train(was_training)
    return logits.cpu()
