"""Synchronised: a forward pass of which each process holds some images, as if one process held them all.

Statistics of batch norm are those of all images, and random numbers are drawn for all of them, of which each process takes
those of its own: so its random state stays that of the others. No layer is replaced: whatever a network calls, of torch's
functions, is answered here. torch's own synchronised batch norm is a layer, and refuses processors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from striate.training.world import World

RANDOM: frozenset[Any] = frozenset({
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, F.rrelu, torch.dropout,
    torch.alpha_dropout, torch.feature_dropout, torch.rand_like, torch.randn_like,
})  # fmt: skip
"""Functions of a tensor whose first axis is that of the images, that draw a random number for each value."""

IN_PLACE: frozenset[Any] = frozenset({Tensor.bernoulli_, Tensor.normal_, Tensor.uniform_})
"""The same, which write into the tensor, such as what drops a residual branch."""


class Synchronised(TorchFunctionMode):
    """For the duration of a `with`: a network in training form sees `own` images of a micro-batch of `many`, those from
    `first` on. Where `own` is 0 it sees one more, which counts nowhere, so that it takes part in what all do together.
    """

    def __init__(self, world: World, *, first: int, own: int, many: int) -> None:
        super().__init__()
        self.world, self.first, self.own, self.many = world, first, own, many

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """See TorchFunctionMode."""
        kwargs = kwargs or {}
        if func is F.batch_norm:
            return self._normalised(*args, **kwargs)
        if func in RANDOM:
            return self._whole(func, args, kwargs)
        if func in IN_PLACE and args[0].dim() > 1:
            drawn = self._whole(func, (args[0].detach(), *args[1:]), kwargs)
            return args[0].copy_(drawn) if self.own else args[0]
        return func(*args, **kwargs)

    def _normalised(
        self, x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
        bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
    ) -> Tensor:  # fmt: skip
        if not training:
            return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
        return batch_norm(
            self.world,
            x,
            running_mean,
            running_var,
            weight,
            bias,
            momentum,
            eps,
            counts=bool(self.own),
        )

    def _whole(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """`func` of the images of all processes, of which those that lie elsewhere are zeros: the part of one's own."""
        x = args[0]
        held = max(self.own, 1)
        if x.dim() == 0 or x.shape[0] % held:
            return func(*args, **kwargs)  # not of images: the same everywhere
        each = x.shape[0] // held  # rows of an image
        last = x.is_contiguous(memory_format=torch.channels_last) if x.dim() == 4 else False
        form = torch.channels_last if last and not x.is_contiguous() else torch.contiguous_format
        page = torch.zeros(
            (self.many * each, *x.shape[1:]), dtype=x.dtype, device=x.device
        ).contiguous(memory_format=form)
        at = slice(self.first * each, (self.first + self.own) * each)
        if self.own:
            page[at] = x
        made = func(page, *args[1:], **kwargs)
        return made[at] if self.own else x


def batch_norm(
    world: World, x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None,
    bias: Tensor | None, momentum: float, eps: float, *, counts: bool = True,
) -> Tensor:  # fmt: skip
    """Batch norm of x (N, C, ...) in training, with the statistics of what all processes hold, however many images each.

    running_mean, running_var: (C,) or None, moved as torch moves them. counts: whether x is to count at all. Raises
    ValueError where all of them together hold one value a channel, as torch does.
    """
    y, mean, variance, count = _BatchNorm.apply(world, x, weight, bias, eps, counts)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            unbiased = variance * (count / (count - 1))
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    return y  # type: ignore[no-any-return]


class _BatchNorm(torch.autograd.Function):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, with the gradients of Ioffe and Szegedy (2015), section 3, whose two
    means are over what all processes hold. Those of weight and bias are of this process: they are summed with all others.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        world: World,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        counts: bool,
    ) -> tuple[Tensor, Tensor, Tensor, float]:
        axes = [0, *range(2, x.dim())]
        channels = x.shape[1]
        n = x.numel() // channels if counts else 0
        kind = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
        told = torch.zeros(2 * channels + 1, dtype=torch.float64, device=x.device)
        if n:
            variance, mean = torch.var_mean(x.to(kind), axes, correction=0)
            told[0], told[1 : 1 + channels], told[1 + channels :] = n, mean, variance * n
        # Chan, Golub, LeVeque, "Updating formulae" (1979): sums of squares about each process's own mean, so that nothing
        # cancels, put together in the same order everywhere.
        parts = world.stacked(told)
        many, means, squares = parts[:, :1], parts[:, 1 : 1 + channels], parts[:, 1 + channels :]
        count = float(many.sum())
        if count <= 1:
            raise ValueError(
                f"Expected more than 1 value per channel when training, got input size {tuple(x.shape)}"
            )
        mean = (many * means).sum(0) / count
        variance = (squares + many * (means - mean) ** 2).sum(0) / count
        mean, variance = mean.to(kind), variance.to(kind)
        y = F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.world, ctx.eps, ctx.count, ctx.counts, ctx.axes = world, eps, count, counts, axes
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance, count

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_: Any) -> Any:  # type: ignore[override]
        x, weight, mean, variance = ctx.saved_tensors
        shape = [1, -1, *[1] * (x.dim() - 2)]
        scale = (variance + ctx.eps).rsqrt()
        # torch's own kernel sums value after value in single precision where channels come last: 2e-4 off of 110,000.
        centred = x - mean.view(shape)
        own_bias = dy.to(centred.dtype).sum(ctx.axes)
        own_weight = (dy * centred).sum(ctx.axes) * scale
        if not ctx.counts:
            own_weight, own_bias = torch.zeros_like(own_weight), torch.zeros_like(own_bias)
        sums = ctx.world.total(torch.stack([own_bias, own_weight]).double())
        dx = None
        if ctx.needs_input_grad[1]:
            if ctx.counts:
                first, second = (sums / ctx.count).to(mean.dtype)
                gain = scale if weight is None else scale * weight.to(scale.dtype)
                slope = (gain * scale * second).view(shape)
                dx = ((dy - first.view(shape)) * gain.view(shape)).sub_(centred.mul_(slope)).to(x.dtype)  # fmt: skip
            else:
                dx = torch.zeros_like(x)
        _, _, of_weight, of_bias, *_ = ctx.needs_input_grad
        return (
            None,
            dx,
            own_weight if of_weight else None,
            own_bias if of_bias else None,
            None,
            None,
        )
