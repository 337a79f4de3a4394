"""Convolution and cross-correlation, as sums."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from striate.errors import UsageError
from striate.ops.padding import Padding, Widths, pad, pad_widths
from striate.ops.windows import PerAxis, Windows, per_axis


def flip(kernel: Tensor) -> Tensor:
    """Turn a kernel by 180 degrees: the last element first along every axis.

    kernel (*size) -> (*size).
    """
    return kernel.flip(tuple(range(kernel.ndim)))


def correlate(x: Tensor, kernel: Tensor, mode: str = "valid") -> Tensor:
    """Slide `kernel` over `x` and sum the products: y[i] = sum_j x[i + j] kernel[j] (lecture 000, "Convolution").

    x (*size), kernel (*kernel) of as many axes -> (*out). mode "valid":
    whole overlaps only, W - w + 1 values an axis; "full": every overlap, W + w - 1; "same": the middle of "full", as
    many values as x. This is what deep learning calls convolution. Raises UsageError for other modes or axes.
    """
    reach = _reach(x, kernel, mode)
    if mode == "full":
        return correlate(pad(x, tuple((r, r) for r in reach)), kernel)
    if mode == "same":
        return correlate(pad(x, tuple((r - r // 2, r // 2) for r in reach)), kernel)
    grid = Windows(tuple(x.shape), tuple(kernel.shape), (1,) * x.ndim, (1,) * x.ndim)
    return torch.stack([(x[window] * kernel).sum() for window in grid]).reshape(grid.shape)


def convolve(x: Tensor, kernel: Tensor, mode: str = "full") -> Tensor:
    """True convolution: y[n] = sum_k kernel[k] x[n - k] (lecture 003, "Convolution").

    x (*size), kernel (*kernel), of as many axes. Each element of the kernel adds a copy of x, shifted by its place.
    Modes as for `correlate`. Commutative and, in mode "full", associative: (a * b) * c = a * (b * c) (lecture 002).
    Raises UsageError for other modes or axes.
    """
    reach = _reach(x, kernel, mode)
    y = x.new_zeros([n + r for n, r in zip(x.shape, reach, strict=True)])
    for place in product(*map(range, kernel.shape)):
        shifted = tuple(slice(p, p + n) for p, n in zip(place, x.shape, strict=True))
        y[shifted] += kernel[place] * x
    first = {"full": [0] * x.ndim, "same": [r // 2 for r in reach], "valid": reach}[mode]
    cut = {"full": [0] * x.ndim, "same": reach, "valid": [2 * r for r in reach]}[mode]
    if any(c >= n for c, n in zip(cut, y.shape, strict=True)):
        raise UsageError(
            f"a kernel of {tuple(kernel.shape)} never lies wholly on {tuple(x.shape)} values; use "
            f"mode 'full' or 'same'"
        )
    return y[tuple(slice(f, n - c + f) for f, n, c in zip(first, y.shape, cut, strict=True))]


def _reach(x: Tensor, kernel: Tensor, mode: str) -> list[int]:
    if mode not in ("full", "same", "valid"):
        raise UsageError(f"mode must be one of full, same, valid, got {mode!r}")
    if x.ndim != kernel.ndim or x.ndim == 0:
        raise UsageError(
            f"signal and kernel need as many axes, got {x.ndim} and {kernel.ndim}; use conv for "
            f"images with channels"
        )
    return [k - 1 for k in kernel.shape]


def correlate_centred(image: Tensor, kernel: Tensor) -> Tensor:
    """Z[i, j] = sum_{u,v=-k..k} K[u, v] A[i + u, j + v], the formula of lecture 002, with zeros
    outside the image.

    image (H, W), kernel (2k+1, 2k+1) -> (H, W).
    """
    return _centred(image, kernel, +1)


def convolve_centred(image: Tensor, kernel: Tensor) -> Tensor:
    """Z[i, j] = sum_{u,v=-k..k} K[u, v] A[i - u, j - v]: the same with the kernel turned (lecture 002).

    image (H, W), kernel (2 k + 1, 2 k + 1) -> (H - 2 k, W - 2 k).
    """
    return _centred(image, kernel, -1)


def _centred(image: Tensor, kernel: Tensor, sign: int) -> Tensor:
    k, odd = divmod(kernel.shape[0], 2)
    if image.ndim != 2 or kernel.shape != (2 * k + 1, 2 * k + 1) or not odd:
        raise UsageError(
            f"the centred sum needs an (H, W) image and an odd square kernel, got "
            f"{tuple(image.shape)} and {tuple(kernel.shape)}; use correlate or convolve"
        )
    H, W = image.shape
    z = torch.zeros_like(image)
    for i, j, u, v in product(range(H), range(W), range(-k, k + 1), range(-k, k + 1)):
        row, column = i + sign * u, j + sign * v
        if 0 <= row < H and 0 <= column < W:
            z[i, j] += kernel[u + k, v + k] * image[row, column]
    return z


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Tensor:
    """The convolutional layer in 1, 2 or 3 dimensions: y_k = sum_c w_kc o x_c + b_k (lecture 003,
    "Multiple channels").

    x (N, C, *size), weight (O, C / groups, *kernel), bias (O,) -> (N, O, *windows), where the
    number of windows is counted, not calculated. Kernels are not turned: this is cross-correlation.
    `padding` in pixels, or "valid", "same", "full"; `padding_mode` "zeros", "replicate", "reflect"
    or "circular". Raises UsageError for shapes that do not fit.
    """
    plan = ConvPlan.of(x, weight, stride, padding, dilation, groups)
    x_NGC = pad(x, plan.widths, padding_mode).unflatten(1, (groups, -1))
    w_GOC = weight.unflatten(0, (groups, -1))
    y = [(x_NGC[window].unsqueeze(2) * w_GOC).flatten(3).sum(3) for window in plan.windows]
    y_NO = torch.stack(y, -1).flatten(1, 2).unflatten(-1, plan.windows.shape)
    return y_NO if bias is None else y_NO + bias.reshape(-1, *[1] * (x.ndim - 2))


class ConvPlan:
    """What every form of a convolutional layer needs to know: the padding, and the windows on the
    padded input."""

    def __init__(self, widths: Widths, windows: Windows) -> None:
        self.widths = widths
        self.windows = windows

    @classmethod
    def of(
        cls,
        x: Tensor,
        weight: Tensor,
        stride: PerAxis,
        padding: Padding,
        dilation: PerAxis,
        groups: int,
    ) -> ConvPlan:
        """The plan of one layer on one input.

        Raises UsageError for shapes that do not fit each other.
        """
        dims = weight.ndim - 2
        if x.ndim != weight.ndim or not 1 <= dims <= 3:
            raise UsageError(
                f"conv needs x (N, C, *size) and weight (O, C, *kernel) with 1 to 3 spatial axes, "
                f"got {tuple(x.shape)} and {tuple(weight.shape)}; add the missing axes with "
                f"unsqueeze"
            )
        check_groups("conv", x.shape[1], weight.shape[0], groups)
        if weight.shape[1] * groups != x.shape[1]:
            raise UsageError(
                f"conv: a kernel must be as deep as its input, got weight {tuple(weight.shape)} "
                f"with groups={groups} for {x.shape[1]} channels; make weight.shape[1] "
                f"{x.shape[1] // groups}"
            )
        kernel = tuple(weight.shape[2:])
        steps = per_axis("stride", stride, dims)
        spread = per_axis("dilation", dilation, dims)
        widths = pad_widths(padding, kernel, spread, steps)
        sizes = tuple(n + b + a for n, (b, a) in zip(x.shape[2:], widths, strict=True))
        return cls(widths, Windows(sizes, kernel, steps, spread))


def check_groups(name: str, in_channels: int, out_channels: int, groups: int) -> None:
    """Raises UsageError unless `groups` divides both channel counts, and says which numbers do."""
    usable = [
        g
        for g in range(1, min(in_channels, out_channels) + 1)
        if in_channels % g == 0 and out_channels % g == 0
    ]
    if groups not in usable:
        raise UsageError(
            f"{name}: groups must divide in_channels and out_channels, got groups={groups}, "
            f"in_channels={in_channels}, out_channels={out_channels}; use {_either(usable)}"
        )


def _either(numbers: list[int]) -> str:
    words = [str(n) for n in numbers]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
