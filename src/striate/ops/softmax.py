"""Softmax with a temperature, and the cross-entropy of its probabilities."""

from __future__ import annotations

import torch
from torch import Tensor


def softmax(z: Tensor, tau: float = 1.0) -> Tensor:
    """y_i = exp(tau z_i) / sum_k exp(tau z_k) over the last axis: z (..., K) -> (..., K).

    tau is an inverse temperature: 0 makes all classes equal, large values pick the largest z. Lecture
    003 prints exp(-tau z), which gives the largest logit the smallest probability when tau > 0;
    since its network is trained through it, the weights before it merely take the other sign.
    softmax(z, -tau) is the printed formula.
    """
    z = tau * z
    e = torch.exp(z - z.amax(-1, keepdim=True))  # the same quotient, and nothing overflows
    return e / e.sum(-1, keepdim=True)


def softmax_backward(dy: Tensor, z: Tensor, tau: float = 1.0) -> Tensor:
    """dL/dz_j = tau y_j (dy_j - sum_i dy_i y_i).

    dy, z (N, K) -> (N, K).
    """
    y = softmax(z, tau)
    return tau * y * (dy - (dy * y).sum(-1, keepdim=True))


def cross_entropy(z: Tensor, labels: Tensor) -> Tensor:
    """The mean over the batch of -log softmax(z)[label]: logits z (N, K), labels (N,) -> one number
    (lecture 002)."""
    log_sum = torch.log(torch.exp(z - z.amax(1, keepdim=True)).sum(1)) + z.amax(1)
    return (log_sum - z.gather(1, labels[:, None])[:, 0]).sum() / len(z)


def cross_entropy_backward(z: Tensor, labels: Tensor) -> Tensor:
    """dL/dz = (softmax(z) - one-hot(label)) / N: (N, K)."""
    one_hot = torch.zeros_like(z).scatter(1, labels[:, None], 1.0)
    return (softmax(z) - one_hot) / len(z)
