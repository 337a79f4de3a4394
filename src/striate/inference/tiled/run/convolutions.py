"""Convolutions of tiles: with the weights laid out ahead, and no more padding or output than a tile needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.geometry import Box, Record
from striate.geometry.index_map import Spread, Window
from striate.geometry.rules.convolution import Convolve, ConvolveTransposed
from striate.inference.layouts import laid_out, layout, layout_for

Make = Callable[[], tuple[Tensor, Tensor | None]]  # weight and bias, folded when they are asked for
LANES = 16  # float32 numbers that a processor with AVX-512 computes at once, and output channels that oneDNN does
COPIES = 3  # layouts of one kernel's weights that are kept


def packs(weight: Tensor) -> bool:
    """Whether torch's build can lay out a convolution's weights (O, C, *kernel) ahead, C those of a group."""
    return bool(
        weight.dtype == torch.float32
        and weight.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
        and hasattr(torch.ops.mkldnn, "_get_mkldnn_serialized_md")
    )


class Convolution:
    """A two-dimensional convolution of a crop (1, C, H, W).

    usual: rows and columns that most crops have, None to leave the weights as they are. The best layout of the weights
    depends on the size of the crop, see `striate.inference.layouts`; so each size gets its own, and sizes that suit the same
    layout share it.
    """

    def __init__(
        self, record: Record, make: Make, place: int, usual: tuple[int, ...] | None
    ) -> None:
        plan = record.plan
        assert isinstance(plan, Convolve)
        self.plan, self.place, self.make = plan, place, make
        self.relations = tuple(plan.links[0].relations)
        self.sizes: dict[tuple[int, ...], Tensor] = {}
        self.layouts: dict[bytes, Tensor] = {}
        weight, self.bias = make()
        self.shape, self.dtype = tuple(weight.shape), weight.dtype
        self.packed = usual is not None and packs(weight)
        self.weight = weight
        if self.packed:
            assert usual is not None
            # The plain weights are made again where they are needed, so that only those of a layout are held.
            self.weight = self._lay_out(weight, usual, plan.padding)
            self.layouts[layout(self.weight)] = self.weight

    def _lay_out(self, weight: Tensor, size: tuple[int, ...], padding: Sequence[int]) -> Tensor:
        plan = self.plan
        return laid_out(
            weight, (1, self.shape[1] * plan.groups, *size), padding=padding, stride=plan.stride, dilation=plan.dilation,
            groups=plan.groups,
        )  # fmt: skip

    def _suited(self, size: tuple[int, ...], padding: Sequence[int]) -> Tensor:
        """The weights in the layout for crops of `size`; plain if there would be too many copies."""
        key = (*size, *padding)
        suited = self.sizes.get(key)
        if suited is None:
            plan = self.plan
            wanted = layout_for(
                self.shape, self.dtype, (1, self.shape[1] * plan.groups, *size), tuple(padding), tuple(plan.stride),
                tuple(plan.dilation), plan.groups, torch.get_num_threads(),
            )  # fmt: skip
            suited = self.layouts.get(wanted)
            if suited is None:
                weight, _ = self.make()
                if len(self.layouts) >= COPIES:
                    return weight
                suited = self.layouts[wanted] = self._lay_out(weight, size, padding)
            self.sizes[key] = suited
        return suited

    def __call__(self, held: list[Tensor], needs: Sequence[Box], box: Box) -> Tensor:
        x = held[self.place]
        need = needs[self.place]
        padding, before_extra, after_extra = [], [], []
        for j in (0, 1):
            relation, side, span = self.relations[j], box[j], need[j]
            assert isinstance(relation, Window)
            assert side is not None
            assert span is not None
            start, stop = relation.reach(side)
            if span[0] >= span[1]:
                before, after, both = stop - start, 0, 0  # torch pads no empty tensor by itself
            else:
                before, after = span[0] - start, stop - span[1]
                # Zeros past the last window change nothing.
                both = before if 0 <= before - after < relation.stride else min(before, after)
            padding.append(both)
            before_extra.append(before - both)
            after_extra.append(max(after - both, 0))
        if any(before_extra) or any(after_extra):
            x = F.pad(x, [before_extra[1], after_extra[1], before_extra[0], after_extra[0]])
        plan = self.plan
        if self.packed:
            weight = self._suited(tuple(x.shape[2:]), padding)
            if weight.is_mkldnn:
                return torch.ops.mkldnn._convolution_pointwise(
                    x,
                    weight,
                    self.bias,
                    padding,
                    plan.stride,
                    plan.dilation,
                    plan.groups,
                    "none",
                    [],
                    "",
                )
        else:
            weight = self.weight
        return torch.convolution(
            x, weight, self.bias, plan.stride, padding, plan.dilation, False, [0, 0], plan.groups
        )


class Phases:
    """A transposed convolution of (N, C, H, W) with few outputs K as one convolution that gives (N, stride^2 * K, H', W').

    Weight (C, K, *kernel), bias (K,), stride along two axes; called, it gives (N, K, stride * H', stride * W').
    Output y = i * stride + phase is the sum over the kernel's taps phase, phase + stride, ... of the input at i, i - 1,
    ...: a plain convolution for each phase. oneDNN computes 16 channels at a time, so that one output channel of stride 2
    costs a quarter of that in this form, and all of it in its own. Outputs begin where those without padding do; there
    are up to `stride` - 1 more of them along an axis, which no input reaches.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, stride: Sequence[int]) -> None:
        inputs, self.channels, *kernel = weight.shape
        self.stride = sh, sw = int(stride[0]), int(stride[1])
        taps = [-(-k // s) for k, s in zip(kernel, self.stride, strict=True)]
        self.padding = [t - 1 for t in taps]
        whole = weight.new_zeros(inputs, self.channels, taps[0] * sh, taps[1] * sw)
        whole[:, :, : kernel[0], : kernel[1]] = weight
        parts = [whole[:, :, i::sh, j::sw].flip(2, 3) for i in range(sh) for j in range(sw)]
        stacked = torch.stack(parts).transpose(1, 2).flatten(0, 1)
        self.weight = stacked.contiguous(memory_format=torch.channels_last)
        self.bias = None if bias is None else bias.repeat(sh * sw)

    def __call__(self, x: Tensor) -> Tensor:
        sh, sw = self.stride
        y = F.conv2d(x, self.weight, self.bias, padding=self.padding)
        n, _, height, width = y.shape
        spread = y.permute(0, 2, 3, 1).reshape(n, height, width, sh, sw, self.channels)
        rows = spread.transpose(2, 3).reshape(n, height * sh, width * sw, self.channels)
        return rows.permute(0, 3, 1, 2)


class Transposed:
    """A two-dimensional transposed convolution of a crop (1, C, H, W) that computes no more outputs than it must."""

    def __init__(self, record: Record, make: Make, place: int) -> None:
        plan = record.plan
        assert isinstance(plan, ConvolveTransposed)
        self.plan, self.place = plan, place
        self.weight, self.bias = make()
        self.relations = tuple(plan.links[0].relations)
        few = self.weight.shape[1] * plan.stride[0] * plan.stride[1] <= LANES
        plain = plan.groups == 1 and tuple(plan.dilation) == (1, 1)
        self.phases = Phases(self.weight, self.bias, plan.stride) if few and plain else None

    def __call__(self, held: list[Tensor], needs: Sequence[Box], box: Box) -> Tensor:
        x = held[self.place]
        need = needs[self.place]
        plan = self.plan
        padding, extra, cuts = [], [], []
        for j in (0, 1):
            relation, side, span = self.relations[j], box[j], need[j]
            assert isinstance(relation, Spread)
            assert side is not None
            assert span is not None
            if span[0] >= span[1]:
                return self._bias_alone(x, box)
            # Without padding, the crop's outputs start at first and there are `full` of them.
            first = span[0] * relation.stride - plan.padding[j]
            full = (
                (span[1] - span[0] - 1) * relation.stride
                + relation.dilation * (relation.kernel - 1)
                + 1
            )
            front, back = side[0] - first, first + full - side[1]
            both = max(min(front, back), 0)
            more = 0
            if front > back and front - back < relation.stride:
                both, more = max(front, 0), front - back
            elif front > back:
                both = max(back, 0)
            both, more = _whole_strides(full, both, more, relation.stride)
            padding.append(both)
            extra.append(more)
            cuts.append((front - both, side[1] - side[0], full - 2 * both + more))
        if self.phases is not None:
            out = self.phases(x)
            cuts = [
                (start + less, count, size)
                for (start, count, _), less, size in zip(cuts, padding, out.shape[2:], strict=True)
            ]
        else:
            out = torch.convolution(
                x, self.weight, self.bias, plan.stride, padding, plan.dilation, True, extra, plan.groups
            )  # fmt: skip
        for j, (start, count, have) in enumerate(cuts):
            out = self._cut(out, 2 + j, start, count, have)
        return out

    def _cut(self, out: Tensor, dim: int, start: int, count: int, have: int) -> Tensor:
        """`count` positions from `start`; where no input reaches, the bias alone."""
        if start >= 0 and start + count <= have:
            return out if start == 0 and count == have else out.narrow(dim, start, count)
        shape = list(out.shape)
        shape[dim] = count
        full = out.new_zeros(shape)
        if self.bias is not None:
            full += self.bias.view(-1, 1, 1)
        low, high = max(start, 0), min(start + count, have)
        if low < high:
            full.narrow(dim, low - start, high - low).copy_(out.narrow(dim, low, high - low))
        return full

    def _bias_alone(self, x: Tensor, box: Box) -> Tensor:
        sizes = [s[1] - s[0] for s in box if s is not None]
        channels = self.weight.shape[1] * self.plan.groups
        out = x.new_zeros(1, channels, *sizes)
        return out if self.bias is None else out + self.bias.view(-1, 1, 1)


def _whole_strides(full: int, padding: int, extra: int, stride: int) -> tuple[int, int]:
    """Padding and extra outputs along one axis that give as few more outputs as make whole strides.

    oneDNN takes 1.5 to 2.5 times as long where a transposed convolution's outputs are not a multiple of its stride.
    """
    least = full - 2 * padding + extra
    for size in range(least, least + stride):
        for less in range(padding, max(padding - stride, -1), -1):
            if size % stride == 0 and 0 <= size - full + 2 * less < stride:
                return less, size - full + 2 * less
    return padding, extra
