"""Images and outputs of a network as attribution takes them, checked once at the edge."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.borrow import forward, refuse_numberless
from striate.errors import StriateError, UsageError
from striate.geometry import leaves_of, map_tensors, own_words
from striate.inference.kinds import refuse_no_numbers


def as_images(module: nn.Module, images: Tensor) -> Tensor:
    """(C, H, W) or (N, C, H, W) as (N, C, H, W) of the network's kind of number, on its device, without history.

    Raises UsageError for what is no such tensor, a batch of none, integers, and values that are not finite.
    """
    if not isinstance(module, nn.Module):
        raise UsageError(f"attribution takes a torch.nn.Module, got {type(module).__name__}")
    if not isinstance(images, Tensor):
        raise UsageError(f"images are a tensor (N, C, H, W), got {type(images).__name__}")
    if images.dim() == 3:
        images = images[None]
    if images.dim() != 4:
        raise UsageError(f"images are a tensor (N, C, H, W), got the shape {tuple(images.shape)}")
    if 0 in images.shape:
        raise UsageError(f"there is no image in a batch of shape {tuple(images.shape)}; give one")
    refuse_no_numbers(images)
    if not images.is_floating_point():
        raise UsageError(
            f"images hold floating-point numbers as the network reads them, got {images.dtype}; divide by 255 and "
            "normalise as in training"
        )
    refuse_numberless(module)
    weight = next((p for p in module.parameters() if p.is_floating_point()), images)
    with torch.inference_mode(
        False
    ):  # a tensor made in inference mode takes no gradient; its clone does
        images = images.clone() if images.is_inference() else images.detach()
        images = images.to(weight.device, weight.dtype)
    if not bool(torch.isfinite(images).all()):
        raise UsageError(
            "the image holds values that are not finite; look for a division by zero in its preprocessing"
        )
    return images


def without_history(output: Any) -> Any:
    """What a network gives, with its tensors cut off from autograd."""
    return map_tensors(output, Tensor.detach)


def are_finite(output: Any) -> bool:
    """Whether all numbers in the tensors of a network's output are finite."""
    tensors = (leaf for leaf in leaves_of(output) if isinstance(leaf, Tensor))
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def output_of(module: nn.Module, images: Tensor) -> Any:
    """What `module` gives for images.

    Raises StriateError where it refuses the images or gives values that are not finite, naming a broken parameter.
    """
    try:
        output = forward(module, images)
    except StriateError:
        raise
    except Exception as error:
        raise StriateError(own_words(error, "the network", tuple(images.shape))) from error
    for leaf in leaves_of(output):
        if isinstance(leaf, np.ndarray):
            raise UsageError(
                "the network returns NumPy arrays, through which no score can be followed; return tensors"
            )
    if not are_finite(output):
        broken = [n for n, p in module.state_dict().items() if not bool(torch.isfinite(p).all())]
        where = f"its {broken[0]} is not finite" if broken else "numbers overflow inside"
        raise StriateError(
            f"the network's output is not finite ({where}), so nothing can be explained; load sound weights"
        )
    return output
