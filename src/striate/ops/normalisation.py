"""Batch norm, layer norm and dropout, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from striate.errors import UsageError
from striate.ops.convolution_backward import Gradients


class Normalised(NamedTuple):
    """The normalised values, and the mean and variance that were taken off (biased: divided by the count).

    y (N, C, *size); mean, var: one number a channel (C,) of batch norm, an image (N,) of layer norm.
    """

    y: Tensor
    mean: Tensor
    var: Tensor


def batch_norm(x: Tensor, scale: Tensor, shift: Tensor, *, eps: float = 1e-5) -> Normalised:
    """BN(x) = scale (x - mean) / sigma + shift, sigma^2 = var + eps, in training (lecture 001, "Batch
    Normalization").

    x (N, C) or (N, C, *size); scale and shift (C,). Mean and variance are those of this batch, one
    pair a channel, taken over the images and all places in them. (Lecture 001 says that scale and
    shift have the shape of x: they have one value a channel. Its result has variance var / (var +
    eps), a little less than the 1 it states.) Raises UsageError for a single value a channel, whose
    variance says nothing.
    """
    if x.numel() == x.shape[1]:
        raise UsageError(
            f"batch_norm needs more than one value a channel in training, got x {tuple(x.shape)}; "
            f"use a larger batch or batch_norm_inference"
        )
    mean, var = _moments(x)
    return Normalised(batch_norm_inference(x, mean, var, scale, shift, eps=eps), mean, var)


def batch_norm_inference(
    x: Tensor, mean: Tensor, var: Tensor, scale: Tensor, shift: Tensor, *, eps: float = 1e-5
) -> Tensor:
    """Batch norm with fixed statistics: an affine map a channel, the same for every batch (lecture 001).

    x (N, C, *size), mean, var, scale, shift (C,) -> (N, C, *size).
    """
    each = [-1, *[1] * (x.ndim - 2)]
    sigma = torch.sqrt(var + eps)
    return (x - mean.reshape(each)) / sigma.reshape(each) * scale.reshape(each) + shift.reshape(
        each
    )


def batch_norm_backward(dy: Tensor, x: Tensor, scale: Tensor, *, eps: float = 1e-5) -> Gradients:
    """The gradients of `batch_norm`, in training: for x, scale (as `weight`) and shift (as `bias`).

    dy, x (N, C, *size), scale (C,) -> x as x, weight and bias (C,). Mean and variance depend on x, so what is common to
    a channel's gradients and what is proportional to the normalised x drop out: dx = scale / sigma (dy - mean(dy) - x^
    mean(dy x^)).
    """
    each = [-1, *[1] * (x.ndim - 2)]
    mean, var = _moments(x)
    sigma = torch.sqrt(var + eps).reshape(each)
    x_hat = (x - mean.reshape(each)) / sigma
    common, tilt = _channel_mean(dy).reshape(each), _channel_mean(dy * x_hat).reshape(each)
    dx = scale.reshape(each) / sigma * (dy - common - x_hat * tilt)
    count = x.numel() // x.shape[1]
    return Gradients(dx, tilt.flatten() * count, common.flatten() * count)


def dataset_moments(batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel over all batches together: lecture 001's "across the entire dataset".

    batches (N, C, *size) -> mean (C,), biased variance (C,). Raises UsageError without a batch.
    """
    count, total, squares = 0, None, None
    for x in batches:
        values = x.movedim(1, -1).flatten(0, -2)
        count += len(values)
        total = values.sum(0) if total is None else total + values.sum(0)
        squares = values.square().sum(0) if squares is None else squares + values.square().sum(0)
    if total is None or squares is None:
        raise UsageError("dataset_moments needs at least one batch, got none")
    mean = total / count
    return mean, squares / count - mean.square()


def running_average(old: Tensor, new: Tensor, momentum: float = 0.1) -> Tensor:
    """old + momentum (new - old): what frameworks keep in place of the whole dataset's statistics.

    old, new of the same shape, such as (C,) -> that shape.
    """
    return old + momentum * (new - old)


def normalised_layer(
    a: Tensor,
    activation: Callable[[Tensor], Tensor],
    scale: Tensor,
    shift: Tensor,
    *,
    norm: str = "before",
    eps: float = 1e-5,
) -> Tensor:
    """phi(BN(a)) with norm="before" the activation, BN(phi(a)) with "after"; a = W x + b (lecture 001).

    a (N, C, *size), scale and shift (C,) -> (N, C, *size). Raises UsageError for another word.
    """
    if norm == "before":
        return activation(batch_norm(a, scale, shift, eps=eps).y)
    if norm == "after":
        return batch_norm(activation(a), scale, shift, eps=eps).y
    raise UsageError(f"norm must be 'before' or 'after' the activation, got {norm!r}")


def layer_norm(x: Tensor, scale: Tensor, shift: Tensor, *, eps: float = 1e-5) -> Normalised:
    """The same for one observation at a time: its mean and variance are two scalars (lecture 001).

    x (N, *features); scale and shift (*features) -> y (N, *features), mean and var (N,). The size
    of the batch has no influence, so training and inference are one form.
    """
    flat = x.flatten(1)
    mean = flat.sum(1) / flat.shape[1]
    var = (flat - mean[:, None]).square().sum(1) / flat.shape[1]
    each = [-1, *[1] * (x.ndim - 1)]
    x_hat = (x - mean.reshape(each)) / torch.sqrt(var + eps).reshape(each)
    return Normalised(x_hat * scale + shift, mean, var)


def layer_norm_backward(dy: Tensor, x: Tensor, scale: Tensor, *, eps: float = 1e-5) -> Gradients:
    """The gradients of `layer_norm`: for x, scale (as `weight`) and shift (as `bias`).

    dy, x (N, *features), scale (*features) -> x as x, weight and bias (*features).
    """
    ones, zeros = torch.ones_like(scale), torch.zeros_like(scale)
    x_hat, _, var = layer_norm(x, ones, zeros, eps=eps)
    each, count = [-1, *[1] * (x.ndim - 1)], x[0].numel()
    d_hat = dy * scale
    common = (d_hat.flatten(1).sum(1) / count).reshape(each)
    tilt = ((d_hat * x_hat).flatten(1).sum(1) / count).reshape(each)
    dx = (d_hat - common - x_hat * tilt) / torch.sqrt(var + eps).reshape(each)
    return Gradients(dx, (dy * x_hat).sum(0), dy.sum(0))


def dropout(x: Tensor, keep: Tensor, p: float) -> Tensor:
    """Set to 0 what `keep` does not keep and divide the rest by 1 - p, so that the mean stays (lecture
    000, layers).

    keep: a mask of 0 and 1 that broadcasts to x, 0 with probability p: (N, C, 1, 1) drops whole
    channels. Its gradient is the same function of dy. In inference nothing is dropped: the
    identity. Raises UsageError unless 0 <= p < 1.
    """
    if not 0 <= p < 1:
        raise UsageError(
            f"dropout: p must be at least 0 and less than 1, got {p}; 1 would leave nothing"
        )
    return x * keep / (1 - p)


def dropout_mask(shape: tuple[int, ...], p: float, generator: torch.Generator) -> Tensor:
    """A mask of 0, with probability p, and 1, float64, from `generator`.

    Of `shape`, such as (N, C, 1, 1).
    """
    return (torch.rand(shape, generator=generator, dtype=torch.float64) >= p).double()


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    mean = _channel_mean(x)
    return mean, _channel_mean((x - mean.reshape(-1, *[1] * (x.ndim - 2))).square())


def _channel_mean(x: Tensor) -> Tensor:
    values = x.movedim(1, -1).flatten(0, -2)
    return values.sum(0) / len(values)
