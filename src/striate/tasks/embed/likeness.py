"""How similar images are to a given one, as a number of the network's output that can be explained and attacked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.answer import answer_of


def similarity_to(embedding: Tensor) -> Callable[[Any], Tensor]:
    """Of embeddings (N, d) the cosine with a given one (1, d), or each with its own of (N, d): (N,)."""
    # Not a tensor: one that is made in inference mode could not be used where gradients are taken.
    direction = F.normalize(embedding.detach().double(), dim=1).cpu().numpy()

    def similarity(output: Any) -> Tensor:
        given = answer_of(output)
        to = torch.from_numpy(direction).to(given.device)
        # In double precision: near 1 a cosine in single precision has few digits, and its gradient none.
        return (F.normalize(given.double(), dim=1) * to).sum(1).to(given.dtype)

    return similarity
