"""Constant: the numbers of a tensor that a forward pass made outside torch, kept without a tensor."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

MOST = 1 << 30  # bytes of one constant that a geometry keeps


@dataclass(frozen=True, slots=True)
class Constant:
    """Numbers in row-major order, as the bytes that they take; two are equal where all their bits are."""

    bits: bytes = field(repr=False)

    @classmethod
    def of(cls, tensor: Tensor) -> Constant | None:
        """The numbers of a dense tensor, None where they are too many to keep or not plain numbers."""
        if tensor.layout is not torch.strided or tensor.is_quantized:
            return None
        if tensor.numel() * tensor.element_size() > MOST:
            return None
        flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
        return cls(flat.view(torch.uint8).numpy().tobytes())

    def tensor(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """The numbers again, as a tensor of `shape`."""
        if not self.bits:
            return torch.empty(shape, dtype=dtype, device=device)
        flat = torch.frombuffer(bytearray(self.bits), dtype=dtype)
        return flat.reshape(shape).to(device)
