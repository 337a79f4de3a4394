"""What a detector gives for one image of any size, or for several of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from striate.borrow import borrowed, forward
from striate.data import Preprocessing
from striate.geometry import map_tensors
from striate.inference.tiled import tiled
from striate.tasks.detect.forms.table import answer_in, form_of

SMALL = 64  # pixels; a side of an image that shows which form a network's output has
WHOLE = 2**21  # pixels; larger images go through tile by tile, with the same numbers
TILES = "1GB"


@torch.inference_mode()
def outputs_of(
    network: nn.Module,
    preprocessing: Preprocessing,
    images: Sequence[Tensor],
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> list[Any]:
    """What a network gives for each of some images (C, H, W) uint8 of one size, as for one (1, ...), float32 on the CPU.

    dtype: what layers compute in; images of more than two million pixels are computed in float32.
    """
    was_training = network.training
    network.eval()
    try:
        if is_tiled(network, images[0].shape, device):
            return [
                answer_in(
                    tiled(network, image[None], memory=TILES, preprocess=preprocessing.normalise)
                )
                for image in images
            ]
        x = preprocessing.normalise(torch.stack(list(images)).to(device))
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            output = map_tensors(answer_in(forward(network, x)), lambda t: t.float().cpu())
        return [map_tensors(output, lambda t, i=i: t[i : i + 1]) for i in range(len(images))]  # type: ignore[misc]
    finally:
        network.train(was_training)


def is_tiled(network: nn.Module, shape: Sequence[int], device: torch.device) -> bool:
    """Whether an image (..., C, H, W) goes through a network tile by tile: it is large, and tiles can give the same."""
    if shape[-2] * shape[-1] <= WHOLE or device.type != "cpu":
        return False
    return not form_of(output_of(network, (1, shape[-3], SMALL, SMALL))).whole


def output_of(network: nn.Module, shape: tuple[int, ...]) -> Any:
    """What a network gives for images (N, C, H, W) of zeros: which form it has, and of which sizes."""
    first = next(network.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    with borrowed(network) as lent, torch.no_grad():
        return answer_in(forward(lent, torch.zeros(shape, device=device)))
