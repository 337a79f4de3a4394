"""Separation: scores that tell out-of-distribution images from the network's own, and how well they do."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.borrow import forward

BATCH = 256


def auroc(own: Tensor, others: Tensor) -> float:
    """Area under the ROC curve of a score that is meant to be higher for own (N,) than for others (M,); ties count half.

    The probability that an own image scores above another one (Hanley and McNeil 1982).
    """
    both = torch.cat([own, others]).double()
    # Ranks with ties shared: the Mann-Whitney statistic, in O(n log n) where comparing all pairs takes n * m.
    _, place, counts = both.unique(return_inverse=True, return_counts=True)
    rank = (counts.cumsum(0) - (counts - 1) / 2.0)[place]
    n, m = len(own), len(others)
    return float((rank[:n].sum() - n * (n + 1) / 2) / (n * m))


def maximum_softmax(logits: Tensor) -> Tensor:
    """Logarithm of the largest softmax probability (N,) of logits (N, K) (Hendrycks and Gimpel 2017).

    In logarithms and float64, since the probability itself saturates at 1.
    """
    return logits.double().log_softmax(1).amax(1)


def energy(logits: Tensor) -> Tensor:
    """Negative free energy (N,), the log-sum-exp of logits (N, K) (Liu et al. 2020)."""
    return logits.double().logsumexp(1)


def nearest(reference: Tensor, features: Tensor, *, k: int = 10, leave_out: bool = False) -> Tensor:
    """Minus the distance (N,) of features (N, D) to the k-th nearest of `reference` (M, D) (Sun et al. 2022).

    Features are scaled to length 1 first, so that directions alone count. leave_out: `features` are `reference` itself,
    and an image is not its own neighbour.
    """
    a = nn.functional.normalize(features, dim=1)
    b = nn.functional.normalize(reference, dim=1)
    k = min(k + leave_out, len(b))
    return torch.cat(
        [-torch.cdist(p, b).topk(k, largest=False).values[:, -1] for p in a.split(512)]
    )


def features_of(model: nn.Module, images: Tensor) -> Tensor:
    """What the last linear or convolution layer of `model` is given, (N, D) float32; a map's mean over positions."""
    layers = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    kept: list[Tensor] = []

    def hook(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        x = given[0].float()
        kept.append((x.mean((2, 3)) if x.dim() == 4 else x.flatten(1)).clone())

    if not layers:
        return images.flatten(1)
    handle = layers[-1].register_forward_pre_hook(hook)
    try:
        with torch.inference_mode():
            for part in images.split(BATCH):
                forward(model, part)
    finally:
        handle.remove()
    return torch.cat(kept)


def frechet(a: Tensor, b: Tensor) -> float:
    """Squared Frechet distance of two clouds (N, D), (M, D) as if normal with independent features (Dowson, Landau 1982).

    In units of a's mean variance times D, so that the numbers of two networks can be compared.
    """
    va, vb = a.double().var(0, unbiased=False), b.double().var(0, unbiased=False)
    distance = (a.double().mean(0) - b.double().mean(0)) ** 2 + (va.sqrt() - vb.sqrt()) ** 2
    return float(distance.sum() / va.sum().clamp_min(1e-12))
