"""Gradients of a score by the pixels: plain, times the image, integrated, and averaged over noise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from striate.attribution.images import as_images, output_of, without_history
from striate.attribution.targets import Score, Target, scorer
from striate.borrow import borrowed
from striate.errors import UsageError
from striate.inference.apart import Together

PIXELS = 8 * 3 * 224 * 224  # numbers of one batch: what a network of photographs takes at a time
Baseline = float | Tensor


def gradient(module: nn.Module, images: Tensor, target: Target) -> Tensor:
    """The derivative of the target's score by every pixel (Simonyan et al. 2013; lecture 002): (N, C, H, W)."""
    x = as_images(module, images)
    with borrowed(module):
        return derivative(
            module, x, lambda output: scorer(target, without_history(output), len(x))(output)
        )


def gradient_x_input(module: nn.Module, images: Tensor, target: Target) -> Tensor:
    """The derivative times the pixel, what a linear network would owe to it (Shrikumar et al. 2016): (N, C, H, W)."""
    x = as_images(module, images)
    return gradient(module, x, target) * x


def integrated_gradients(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    baseline: Baseline = 0.0,
    steps: int = 50,
    batch: int | None = None,
) -> Tensor:
    """The gradient averaged along the straight line from a baseline, times the way (Sundararajan et al. 2017).

    images -> (N, C, H, W); an image's entries sum to the score minus the baseline's, up to the quadrature with `steps`
    Gauss-Legendre nodes. baseline: a number, or a tensor that broadcasts to an image, such as colours (C, 1, 1).
    batch: images at a time. Raises UsageError for fewer steps than 1 or a baseline that does not fit.
    """
    if steps < 1:
        raise UsageError(f"steps must be at least 1, got {steps}")
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    x = as_images(module, images)
    start = as_baseline(baseline, x)
    alphas = torch.from_numpy((1 + nodes) / 2).to(x)
    shares = torch.from_numpy(weights / 2).to(x)

    def path(i: int, a: int, b: int) -> Tensor:
        return start + alphas[a:b].view(-1, 1, 1, 1) * (x[i : i + 1] - start)

    mean = _averaged(module, x, target, path, shares, batch)
    return mean * (x - start)


def smoothgrad(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    samples: int = 16,
    noise: float = 0.15,
    seed: int = 0,
    batch: int | None = None,
) -> Tensor:
    """The gradient averaged over noisy copies of each image (Smilkov et al. 2017): (N, C, H, W).

    noise: standard deviation, as a share of the image's range (largest minus smallest value). seed: of the noise; the
    global random state is not used. Raises UsageError for fewer samples than 1 or negative noise.
    """
    if samples < 1 or not noise >= 0:
        raise UsageError(
            f"samples must be at least 1 and noise at least 0, got samples={samples}, noise={noise}"
        )
    x = as_images(module, images)
    drawn = noise_of(x, samples, noise, seed)
    shares = torch.full((samples,), 1 / samples, dtype=x.dtype, device=x.device)
    return _averaged(module, x, target, lambda i, a, b: x[i] + drawn[i, a:b], shares, batch)


def noise_of(images: Tensor, samples: int, noise: float, seed: int) -> Tensor:
    """The noise that `smoothgrad` adds: (N, samples, C, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn((len(images), samples, *images.shape[1:]), generator=generator)
    spread = images.flatten(1).amax(1) - images.flatten(1).amin(1)
    return drawn.to(images) * (noise * spread).view(-1, 1, 1, 1, 1)


def as_baseline(baseline: Baseline, images: Tensor) -> Tensor:
    """A baseline as a tensor (1, C, H, W) or one that broadcasts to it. Raises UsageError."""
    start = torch.as_tensor(baseline, dtype=images.dtype, device=images.device)
    if start.dim() == 1:
        start = start.view(-1, 1, 1)
    if start.dim() == 3:
        start = start[None]
    try:
        torch.broadcast_shapes(start.shape, (1, *images.shape[1:]))
    except RuntimeError as error:
        raise UsageError(
            f"a baseline is a number, one number a channel, or an image {tuple(images.shape[1:])}; got "
            f"{tuple(start.shape)}"
        ) from error
    return start


def derivative(module: nn.Module, x: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """The derivative of the score of each image of x by its pixels; inside `borrowed`."""
    x = x.detach().requires_grad_()
    total = score(output_of(module, x)).sum()
    return derivative_of(total, x)


def derivative_of(total: Tensor, x: Tensor, *, keep: bool = False) -> Tensor:
    """The derivative of one number by x. Raises UsageError where none gets through, or one that is not finite."""
    if total.requires_grad:
        try:
            (gradient,) = torch.autograd.grad(total, x, retain_graph=keep, allow_unused=True)
        except (
            RuntimeError
        ) as error:  # a function without a derivative, a checkpoint that forbids it
            text = " ".join(str(error).split())[:200]
            raise UsageError(
                f"no gradient can be taken through the network: {text}; explain it by occlusion"
            ) from error
        if gradient is not None:
            if not bool(torch.isfinite(gradient).all()):
                raise UsageError(
                    "the derivative of the target by the image is not finite, though the target is: the network divides by "
                    "zero or takes the root of 0 where its result does not show it, as 1 / x before a clamp does; explain "
                    "it by occlusion"
                )
            return gradient.detach()
    raise UsageError(
        "no gradient gets from the target to the image: the network cuts it, by detach(), no_grad(), rounding or an "
        "argmax; explain it by occlusion"
    )


def _averaged(
    module: nn.Module,
    x: Tensor,
    target: Target,
    points: Callable[[int, int, int], Tensor],
    shares: Tensor,
    batch: int | None,
) -> Tensor:
    """The derivative at points(i, a, b), images a to b - 1 around image i, weighted by `shares`."""
    many = batch or max(PIXELS // x[0].numel(), 1)
    count = len(shares)
    many = -(-count // -(-count // many))  # batches of one size
    total = torch.zeros_like(x)
    with borrowed(module):
        for i in range(len(x)):
            with torch.no_grad():
                score = _score(target, i, output_of(module, x[i : i + 1]))
            run = Together(partial(derivative, module, score=score))
            for a in range(0, count, many):
                b = min(a + many, count)
                each = run(points(i, a, b))
                total[i] += torch.einsum("n,n...->...", shares[a:b], each)
    return total


def _score(target: Target, i: int, clean: Tensor) -> Score:
    """The score of image i's class, for any number of copies of it."""
    if isinstance(target, Tensor) and target.dim() == 1:
        target = int(target[i])
    return scorer(target, clean, 1)
