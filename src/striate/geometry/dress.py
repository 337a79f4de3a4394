"""Dress: stand-ins that show a module its own device, for networks that ask for it.

Tensors on meta are the fast way to trace. Autocast does not see them, and a forward pass that compares devices or keeps
what it makes in a cache of its own is misled by them. Such a network is traced again with torch's fake tensors, which
have no data either, but a device. What is asked of torch by device is set so that both ways give the same operations.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

LARGE = 1 << 22  # numbers of a tensor made from nothing that are not worth making for real


class Dress:
    """Makes stand-ins for tensors, on their own device."""

    def __init__(self) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)

    def stand_in(self, x: Tensor) -> Tensor:
        """A tensor without data, with the shape, strides, kind of number and device of `x`."""
        return self.empty(x, x.device)

    def empty(self, x: Tensor, device: torch.device) -> Tensor:
        """The same on another device."""
        with self.mode:
            if x.layout is not torch.strided:
                return torch.empty(x.shape, dtype=x.dtype, device=device)
            return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=device)

    def made(self, func: Any, args: Any, kwargs: Any) -> Any:
        """What a call makes from nothing: real numbers if they are few."""
        with self.mode:
            out = func(*args, **kwargs)
        if isinstance(out, Tensor) and out.numel() > LARGE:
            return out
        return func(*args, **kwargs)


def is_blank(tensor: Tensor) -> bool:
    """Whether a tensor has no data."""
    return tensor.is_meta or isinstance(tensor, FakeTensor)


def in_autocast() -> bool:
    """Whether a call is made inside autocast; torch hides that from whoever watches calls, but not how deep it is."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting() > 0


@contextmanager
def one_kernel_each() -> Iterator[None]:
    """Without the kernels that torch chooses by device: fused attention, fused recurrent layers."""
    cuda = torch.backends.cuda
    kinds = (
        (cuda.flash_sdp_enabled, cuda.enable_flash_sdp),
        (cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp),
        (cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp),
        (cuda.math_sdp_enabled, cuda.enable_math_sdp),
        (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
        (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
        (torch._C._get_cudnn_enabled, torch._C._set_cudnn_enabled),
    )
    before = [(ask(), put) for ask, put in kinds]
    log = logging.getLogger(
        "torch._subclasses.fake_tensor"
    )  # writes down what fails, which we report ourselves
    silent = log.disabled
    try:
        for _, put in kinds:
            put(put is cuda.enable_math_sdp)
        log.disabled = True
        yield
    finally:
        for value, put in before:
            put(value)
        log.disabled = silent
        torch.clear_autocast_cache()
