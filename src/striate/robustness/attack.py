"""Attacks: FGSM, PGD in L-inf and L2, in pixel space."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.borrow import forward

Norm = Literal["linf", "l2"]
BATCH = 256


def fgsm(model: nn.Module, images: Tensor, labels: Tensor, strength: float) -> Tensor:
    """One step of `strength` along the sign of the loss's gradient, clipped to [0, 1] (Goodfellow et al. 2015, eq. 1).

    images (N, C, H, W) in [0, 1], labels (N,); returns images.
    """
    return stepped(images, uphill(model, images, labels), strength)


def uphill(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The sign of the loss's gradient by each pixel, (N, C, H, W): the direction of FGSM, the same for every strength."""
    parts = zip(images.split(BATCH), labels.split(BATCH), strict=True)
    return torch.cat([_gradient(model, x, y).sign() for x, y in parts])


def stepped(images: Tensor, direction: Tensor, strength: float) -> Tensor:
    """Images in [0, 1] after one step of `strength` along a direction."""
    return (images + strength * direction).clamp(0, 1)


def pgd(
    model: nn.Module, images: Tensor, labels: Tensor, strength: float, *, norm: Norm = "linf", steps: int = 10,
    step: float | None = None, generator: torch.Generator | None = None,
) -> Tensor:  # fmt: skip
    """Projected gradient ascent of the loss within a ball of `strength` around each image (Madry et al. 2018).

    strength: grey levels of [0, 1] for "linf", Euclidean length over all pixels for "l2". step: 2.5 * strength / steps if
    not given. generator: of the random start; from the image itself if None. An image that is wrong already at the
    start, or at any step, keeps the point of largest loss found so far.
    """
    step = 2.5 * strength / steps if step is None else step
    attacked = []
    for x, y in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        delta = _start(x, strength, norm, generator)
        best, most = x.clone(), torch.full((len(x),), float("-inf"))
        for i in range(steps + 1):
            at = (x + delta).requires_grad_(True)
            with torch.enable_grad():
                loss = F.cross_entropy(forward(model, at), y, reduction="none")
                if i < steps:
                    (g,) = torch.autograd.grad(loss.sum(), at)
            value = loss.detach()
            # The point of largest loss of all steps is kept, so that more steps never give a weaker attack.
            better = value > most
            most = torch.where(better, value, most)
            best[better] = at.detach()[better]
            if i < steps:
                delta = _moved(x, delta, g, step, strength, norm)
        attacked.append(best)
    return torch.cat(attacked)


def withstands(
    model: nn.Module, images: Tensor, labels: Tensor, strength: float, *, norm: Norm = "linf", steps: int = 10,
    step: float | None = None, generator: torch.Generator | None = None,
) -> Tensor:  # fmt: skip
    """Which images keep their own class at every point that PGD goes through, (N,) bool. Arguments as in `pgd`.

    An image that has lost its class is followed no further, so that a network that gives way at once costs a tenth of `pgd`.
    """
    step = 2.5 * strength / steps if step is None else step
    held = []
    for x, y in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        delta = _start(x, strength, norm, generator)
        left = torch.arange(len(x), device=x.device)
        for i in range(steps + 1):
            at = (x[left] + delta).requires_grad_(True)
            with torch.enable_grad():
                logits = forward(model, at)
                right = logits.argmax(1) == y[left]
                if i < steps and bool(right.any()):
                    loss = F.cross_entropy(logits, y[left], reduction="sum")
                    (g,) = torch.autograd.grad(loss, at)
            left = left[right]
            if i == steps or not len(left):
                break
            delta = _moved(x[left], delta[right], g[right], step, strength, norm)
        held.append(torch.zeros(len(x), dtype=torch.bool).index_fill_(0, left.cpu(), True))
    return torch.cat(held)


def _start(x: Tensor, strength: float, norm: Norm, generator: torch.Generator | None) -> Tensor:
    """Where an attack on x begins, as a change of it: at random in the ball, or nowhere."""
    if generator is None:
        return torch.zeros_like(x)
    delta = torch.rand(x.shape, generator=generator) * 2 - 1
    delta = delta * strength if norm == "linf" else _ball(delta * strength, strength, norm)
    return (x + delta).clamp(0, 1) - x


def _moved(x: Tensor, delta: Tensor, g: Tensor, step: float, strength: float, norm: Norm) -> Tensor:  # fmt: skip
    """The change of x after one step up its gradient, back in the ball and in [0, 1]."""
    if norm == "linf":
        delta = delta + step * g.sign()
    else:
        length = g.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
        delta = delta + step * g / length
    return (x + _ball(delta, strength, norm)).clamp(0, 1) - x


def noise(
    images: Tensor, strength: float, *, generator: torch.Generator, norm: Norm = "linf"
) -> Tensor:
    """Images with a random perturbation on the edge of the same ball: what strength alone does without a gradient."""
    delta = torch.randn(images.shape, generator=generator)
    if norm == "linf":
        delta = delta.sign() * strength
    else:
        delta = delta * (strength / delta.flatten(1).norm(dim=1).clamp_min(1e-12)).view(-1, 1, 1, 1)
    return (images + delta).clamp(0, 1)


def _gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    at = x.clone().requires_grad_(True)
    with torch.enable_grad():
        loss = F.cross_entropy(forward(model, at), y, reduction="sum")
        return torch.autograd.grad(loss, at)[0]


def _ball(delta: Tensor, strength: float, norm: Norm) -> Tensor:
    if norm == "linf":
        return delta.clamp(-strength, strength)
    length = delta.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
    return delta * (strength / length).clamp_max(1)
