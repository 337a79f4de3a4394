"""Shapes: results on meta tensors of the operations that networks run most, at a fraction of torch's own cost.

torch finds the shape of a batch norm in 0.5 to 0.8 ms, because its meta kernel is a decomposition in Python; a ResNet-152
runs 155 of them. Each function here returns the empty result of one call, or None where it is not the plain case (other
strides than contiguous, mixed kinds of numbers, shapes that do not fit): then torch's kernel decides, and says what is
wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

META = torch.device("meta")
Made = Tensor | tuple[Tensor, ...] | None
aten = torch.ops.aten


def _new(x: Tensor, shape: Sequence[int]) -> Tensor:
    return torch.empty(tuple(shape), dtype=x.dtype, device=META)


def stand_in(x: Tensor) -> Tensor:
    """A meta tensor with the shape, strides and dtype of any tensor.

    torch's own `empty_like` on meta is a decomposition in Python of 10 to 30 µs; `empty` takes 1.
    """
    return _new(x, x.shape) if x.is_contiguous() else torch.empty_like(x, device=META)


def _convolution(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    x, weight, bias, stride, padding, dilation, transposed, extra, groups = args
    n = x.dim()
    if kwargs or n < 3 or weight.dim() != n or x.dtype != weight.dtype or not x.is_contiguous():
        return None
    size, kernel = x.shape, weight.shape
    taken, made = kernel[:2] if transposed else (kernel[1] * groups, kernel[0])
    made = made * groups if transposed else made
    if size[1] != taken or kernel[0] % groups or not x.numel() or not weight.numel():
        return None
    if bias is not None and (bias.dim() != 1 or bias.shape[0] != made or bias.dtype != x.dtype):
        return None
    if (
        not len(stride) == len(padding) == len(dilation) == n - 2
        or min(stride) < 1
        or min(dilation) < 1
    ):
        return None
    shape = [size[0], made]
    for k in range(n - 2):
        reach = dilation[k] * (kernel[k + 2] - 1) + 1
        if transposed:
            length = (size[k + 2] - 1) * stride[k] - 2 * padding[k] + reach + extra[k]
        else:
            length = (size[k + 2] + 2 * padding[k] - reach) // stride[k] + 1
        if length < 1 or padding[k] < 0:
            return None
        shape.append(length)
    return _new(x, shape)


def _batch_norm(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    x = args[0]
    if x.dim() < 2 or any(t is not None and t.shape[0] != x.shape[1] for t in args[1:5]):
        return None
    return stand_in(x), _new(x, x.shape[1:2]), _new(x, x.shape[1:2])


def _layer_norm(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    x, shape = args[0], tuple(args[1])
    k = len(shape)
    if tuple(x.shape[x.dim() - k :]) != shape or x.dtype not in (torch.float32, torch.float64):
        return None
    if any(t is not None and tuple(t.shape) != shape for t in args[2:4]):
        return None
    rest = (*x.shape[: x.dim() - k], *(1,) * k)
    # Contiguous whatever the input is, as the kernels for data give it (the meta kernel keeps the strides).
    return _new(x, x.shape), _new(x, rest), _new(x, rest)


def _group_norm(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    x, n, c, groups = args[0], args[3], args[4], args[6]
    if (
        not x.is_contiguous()
        or tuple(x.shape[:2]) != (n, c)
        or c % groups
        or x.dtype not in (torch.float32, torch.float64)
    ):
        return None
    if any(t is not None and tuple(t.shape) != (c,) for t in args[1:3]):
        return None
    return stand_in(x), _new(x, (n, groups)), _new(x, (n, groups))


def _like(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    x = args[0]
    return stand_in(x) if x.is_floating_point() and kwargs.keys() <= {"approximate"} else None


def _contiguous_like(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    return _like(args, kwargs) if args[0].is_contiguous() else None


def _itself(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    return args[0] if args[0].is_floating_point() else None


def _fits(x: Tensor, y: Any) -> bool:
    """Whether y broadcasts to the shape of x without changing its kind of number."""
    if isinstance(y, (int, float)) and not isinstance(y, bool):
        return x.is_floating_point()
    if (
        not isinstance(y, Tensor)
        or y.dtype != x.dtype
        or y.dim() > x.dim()
        or not x.is_contiguous()
    ):
        return False
    if y.shape == x.shape:
        return y.is_contiguous()
    pairs = zip(reversed(y.shape), reversed(x.shape), strict=False)
    return y.numel() < x.numel() and all(b in (1, a) for b, a in pairs)


def _binary(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    x, y = args[0], args[1]
    if kwargs or len(args) > 2:
        return None
    if isinstance(y, Tensor):
        if y.shape == x.shape and y.stride() == x.stride() and y.dtype == x.dtype:
            return stand_in(x)
        if x.is_contiguous() and _fits(x, y):
            return _new(x, x.shape)
        return _new(y, y.shape) if y.is_contiguous() and _fits(y, x) else None
    return stand_in(x) if _fits(x, y) else None


def _binary_itself(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    return args[0] if _fits(args[0], args[1]) else None


def _addmm(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    bias, a, b = args[:3]
    if kwargs or a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[0] or a.dtype != b.dtype:
        return None
    if bias.dim() != 1 or bias.shape[0] != b.shape[1]:
        return None
    return _new(a, (a.shape[0], b.shape[1]))


def _mean(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    x, dims = args[0], args[1]
    if (
        kwargs
        or not x.is_contiguous()
        or not x.is_floating_point()
        or not dims
        or isinstance(dims, int)
    ):
        return None
    n = x.dim()
    if any(not -n <= d < n for d in dims):
        return None
    gone = {d % n for d in dims}
    if len(args) > 2 and args[2]:
        return _new(x, [1 if d in gone else size for d, size in enumerate(x.shape)])
    return _new(x, [size for d, size in enumerate(x.shape) if d not in gone])


def _norm(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    return _mean((args[0], *args[2:]), kwargs) if len(args) > 2 else None


def _cat(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    tensors = args[0]
    first = tensors[0]
    n = first.dim()
    if not n or kwargs:
        return None
    dim = args[1] if len(args) > 1 else 0
    if not -n <= dim < n:
        return None
    dim %= n
    shape = list(first.shape)
    total = 0
    for t in tensors:
        if t.dim() != n or t.dtype != first.dtype or not t.is_contiguous() or not t.numel():
            return None
        total += t.shape[dim]
        if any(a != b for d, (a, b) in enumerate(zip(t.shape, shape, strict=True)) if d != dim):
            return None
    shape[dim] = total
    return _new(first, shape)


def _pair(given: Any) -> tuple[int, int]:
    """A number for both axes, as torch's lists of one or two have it."""
    both = (given,) if isinstance(given, int) else tuple(given)
    return (both[0], both[-1])


def _pooled(x: Tensor, windows: Sequence[Any], ceil: bool) -> list[int] | None:
    """The shape (N, C, H, W) that pooling makes; windows: kernel, stride, padding and dilation, a number or two each."""
    if x.dim() != 4 or not x.is_contiguous() or not x.is_floating_point() or not x.numel():
        return None
    shape = list(x.shape[:2])
    sizes = zip(x.shape[2:], *map(_pair, windows), strict=True)
    for size, kernel, stride, padding, dilation in sizes:
        if kernel < 1 or stride < 1 or dilation < 1 or not 0 <= padding <= kernel // 2:
            return None
        room = size + 2 * padding - dilation * (kernel - 1) - 1
        if room < 0:
            return None
        length = (room + (stride - 1 if ceil else 0)) // stride + 1
        # The last window of ceil_mode has to begin inside the image or its padding before it.
        if ceil and (length - 1) * stride >= size + padding:
            length -= 1
        shape.append(length)
    return shape


def _max_pool(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    given = dict(enumerate(args))
    x, kernel = given[0], given[1]
    windows = (kernel, given.get(2) or kernel, given.get(3, 0), given.get(4, 1))
    shape = None if kwargs else _pooled(x, windows, given.get(5, False))
    return (
        None
        if shape is None
        else (_new(x, shape), torch.empty(shape, dtype=torch.int64, device=META))
    )


def _mean_pool(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    given = dict(enumerate(args))
    x, kernel = given[0], given[1]
    if kwargs or given.get(6) == 0:  # divides by nothing: torch says so
        return None
    shape = _pooled(x, (kernel, given.get(2) or kernel, given.get(3, 0), 1), given.get(4, False))
    return None if shape is None else _new(x, shape)


def _clone(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    x = args[0]
    memory_format = kwargs.get("memory_format")
    if memory_format is torch.contiguous_format:
        return _new(x, x.shape)
    return stand_in(x) if memory_format is None and x.is_contiguous() else None


def _bmm(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    a, b = args[:2]
    if a.dim() != 3 or b.dim() != 3 or a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        return None
    return _new(a, (a.shape[0], a.shape[1], b.shape[2])) if a.dtype == b.dtype else None


def _unsafe_view(args: Sequence[Any], kwargs: dict[str, Any]) -> Made:
    x, shape = args[0], args[1]
    if not x.is_contiguous() or min(shape, default=-1) < 0 or prod(shape) != x.numel():
        return None
    return _new(x, shape)


# Operations on each entry that keep shape, strides and kind of (floating) number; further arguments are numbers.
UNARY = (
    "abs", "celu", "clamp", "clamp_max", "clamp_min", "cos", "elu", "erf", "exp", "gelu", "hardsigmoid", "hardswish",
    "hardtanh", "leaky_relu", "log", "mish", "neg", "reciprocal", "relu", "rsqrt", "sigmoid", "silu", "sin", "softplus",
    "sqrt", "tanh",
)  # fmt: skip

Shape = Callable[[Sequence[Any], dict[str, Any]], Made]
FAST: dict[OpOverload, Shape] = {
    aten.convolution.default: _convolution,
    aten.native_batch_norm.default: _batch_norm,
    aten.native_layer_norm.default: _layer_norm,
    aten.addmm.default: _addmm,
    aten.bmm.default: _bmm,
    aten.mean.dim: _mean,
    aten.cat.default: _cat,
    aten.clone.default: _clone,
    aten._unsafe_view.default: _unsafe_view,
    aten.max_pool2d_with_indices.default: _max_pool,
    aten.avg_pool2d.default: _mean_pool,
    aten.native_group_norm.default: _group_norm,
    aten.sum.dim_IntList: _mean,
    aten.amax.default: _mean,
    aten._softmax.default: _contiguous_like,
    aten._safe_softmax.default: _contiguous_like,
    aten._log_softmax.default: _contiguous_like,
    aten.roll.default: _contiguous_like,
    aten.linalg_vector_norm.default: _norm,
    **{getattr(aten, name).default: _like for name in UNARY},
    **{getattr(aten, f"{name}_").default: _itself for name in UNARY if hasattr(aten, f"{name}_")},
    **dict.fromkeys(
        (
            aten.add.Tensor,
            aten.mul.Tensor,
            aten.sub.Tensor,
            aten.div.Tensor,
            aten.mul.Scalar,
            aten.add.Scalar,
        ),
        _binary,
    ),
    **dict.fromkeys(
        (aten.add_.Tensor, aten.mul_.Tensor, aten.sub_.Tensor, aten.div_.Tensor), _binary_itself
    ),
}
