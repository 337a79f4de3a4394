"""Random stacks of every rule: geometry against gradients, crops against the whole.

The gradient proof: with float64, positive weights and operations that pass something of every input they read, the
pixels with a gradient other than zero are exactly those that a position sees.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from striate.geometry import Crop, apply, replay, trace
from striate.geometry.box import contains
from striate.geometry.exact_field import receptive_field, utilisation
from striate.geometry.plan import cut

CHANNELS = 4
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, f: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)


class MaxPool(nn.Module):
    """Maximum pooling; `smooth` replaces the maximum by a mean of the same windows, so that all of it has a gradient."""

    def __init__(self, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> None:
        super().__init__()
        self.args = (kernel, stride, padding, dilation, ceil)
        self.smooth = False

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride, padding, dilation, ceil = self.args
        y = F.max_pool2d(x, kernel, stride, padding, dilation, ceil)
        if not self.smooth:
            return y
        rows = [(n - 1) * stride + dilation * (kernel - 1) + 1 for n in y.shape[-2:]]
        pads = [0, 0, 0, 0]
        for d, (size, n) in enumerate(zip(rows, x.shape[-2:], strict=True)):
            pads[2 * (1 - d)] = padding
            pads[2 * (1 - d) + 1] = size - n - padding
        weight = x.new_full((x.shape[1], 1, kernel, kernel), 1 / kernel**2)
        return F.conv2d(F.pad(x, pads), weight, None, stride, 0, dilation, x.shape[1])


class Residual(nn.Module):
    """Branches added or put side by side."""

    def __init__(self, branches: list[nn.Module], cat: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.cat = cat

    def forward(self, x: Tensor) -> Tensor:
        parts = [b(x) for b in self.branches]
        n, m = (min(p.shape[d] for p in parts) for d in (-2, -1))
        parts = [p[..., :n, :m] for p in parts]
        return torch.cat(parts, 1) if self.cat else sum(parts[1:], parts[0])


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.f = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return (x + 1) * self.f(
            x.mean((2, 3), keepdim=True)
        ).sigmoid()  # + 1: a padded zero must not hide the gate


class ChannelsLast(nn.Module):
    """Layer norm and linear over the channels of NHWC, as ConvNeXt has them."""

    def __init__(self, channels: int, norm: bool) -> None:
        super().__init__()
        self.f = nn.Sequential(
            nn.LayerNorm(channels) if norm else nn.Identity(), nn.Linear(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Patches(nn.Module):
    """Windows as columns, mixed, and added up again."""

    def __init__(self, channels: int, *window: int) -> None:
        super().__init__()
        kernel, stride, padding, dilation = window
        self.window = {
            "kernel_size": kernel,
            "dilation": dilation,
            "padding": padding,
            "stride": stride,
        }
        self.mix = nn.Linear(channels * kernel**2, channels * kernel**2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(F.unfold(x, **self.window).transpose(1, 2)).transpose(1, 2)
        return F.fold(y, x.shape[2:], **self.window)


def shuffled(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def windows(x: Tensor, size: int = 2) -> Tensor:
    """Mean over windows, through reshapes that split the axes and merge them again (as in Swin)."""
    n, c, h, w = x.shape
    x = x[..., : h - h % size, : w - w % size]
    y = x.reshape(n, c, x.shape[2] // size, size, x.shape[3] // size, size).permute(
        0, 2, 4, 3, 5, 1
    )
    y = y.reshape(-1, size * size, c)
    y = y + y.mean(1, keepdim=True)
    y = y.view(n, x.shape[2] // size, x.shape[3] // size, size, size, c).permute(0, 5, 1, 3, 2, 4)
    return y.reshape(n, c, x.shape[2], x.shape[3])


def repeated(x: Tensor) -> Tensor:
    """Nearest up-sampling written with expand."""
    n, c, h, w = x.shape
    return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


def bordered(x: Tensor) -> Tensor:
    """Written in place: a fresh border, then a slice of it."""
    y = x.new_zeros(x.shape[0], x.shape[1], x.shape[2] + 3, x.shape[3] + 1)
    y[..., 2:-1, 1:] = x
    y[..., :1, :].add_(1.0)
    return y


def random_part(c: int, rng: random.Random, deep: bool = True) -> nn.Module:
    k, s, d = rng.randint(1, 4), rng.randint(1, 3), rng.randint(1, 2)
    p = rng.randint(0, 2)
    pad4 = tuple(rng.randint(0, 2) for _ in range(4))
    align = rng.random() < 0.5
    size = (rng.randint(2, 14), rng.randint(2, 14))
    makers: dict[str, Callable[[], nn.Module]] = {
        "conv": lambda: nn.Conv2d(c, CHANNELS, (k, rng.randint(1, 3)), s, p, d),
        "depthwise": lambda: nn.Conv2d(c, c, k, s, p, d, groups=c),
        "same": lambda: nn.Conv2d(c, c, (k, 2), 1, "same", d),
        "circular conv": lambda: nn.Conv2d(c, c, 3, 1, 1, padding_mode="circular"),
        "reflect conv": lambda: nn.Conv2d(c, c, 3, s, 1, padding_mode="reflect"),
        "transposed": lambda: nn.ConvTranspose2d(
            c, CHANNELS, k, s, min(p, k - 1), rng.randint(0, max(s, d) - 1), dilation=d
        ),
        "max": lambda: MaxPool(k, s, min(p, k // 2), d, align),
        "avg": lambda: nn.AvgPool2d(k, s, min(p, k // 2), align, rng.random() < 0.5,
                                    rng.choice([None, 3])),
        "adaptive": lambda: nn.AdaptiveAvgPool2d(size),
        "pad": lambda: nn.ZeroPad2d(pad4),
        "crop": lambda: nn.ZeroPad2d((-1, 0, 1, -1)),
        "reflect": lambda: nn.ReflectionPad2d(pad4),
        "replicate": lambda: nn.ReplicationPad2d(pad4),
        "circular": lambda: nn.CircularPad2d(pad4),
        "nearest": lambda: nn.Upsample(scale_factor=2),
        "nearest to": lambda: nn.Upsample(size),
        "exact": lambda: nn.Upsample(size, mode="nearest-exact"),
        "bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=align),
        "bilinear to": lambda: nn.Upsample(size, mode="bilinear", align_corners=align),
        "bicubic to": lambda: nn.Upsample(size, mode="bicubic", align_corners=align),
        "shuffle": lambda: nn.Sequential(nn.Conv2d(c, CHANNELS * 4, 1), nn.PixelShuffle(2)),
        "unshuffle": lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * c, CHANNELS, 1)),
        "norm": lambda: nn.BatchNorm2d(c),
        "relu": lambda: nn.ReLU(inplace=True),
        "gate": lambda: Gate(c),
        "group norm": lambda: nn.GroupNorm(2, c),
        "instance norm": lambda: nn.InstanceNorm2d(c, affine=True),
        "channels last": lambda: ChannelsLast(c, align),
        "channel shuffle": lambda: Lambda(shuffled),
        "softmax": lambda: nn.Softmax2d(),
        "slice": lambda: Lambda(lambda x: x[..., 1::s, : x.shape[-1] - 1]),
        "flip": lambda: Lambda(lambda x: x.flip(3)),
        "roll": lambda: Lambda(lambda x: x.roll((1, -2), (2, 3))),
        "windows": lambda: Lambda(windows),
        "repeated": lambda: Lambda(repeated),
        "bordered": lambda: Lambda(bordered),
        "rows": lambda: Lambda(lambda x: x + x.mean(3, keepdim=True)),
        "tokens": lambda: Lambda(lambda x: x.flatten(2).transpose(1, 2).reshape(
            x.shape[0], *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2) * 2),
        "unfold": lambda: Lambda(lambda x: x.unfold(2, 3, s).mean(-1)),
        "columns": lambda: Patches(c, k, s, p, d),
        "pick": lambda: Lambda(lambda x: x[:, torch.arange(x.shape[1] - 1, -1, -1)]),
        "glu": lambda: nn.Sequential(nn.Conv2d(c, 2 * CHANNELS, 1), nn.GLU(1)),
        "native shuffle": lambda: nn.ChannelShuffle(2),
        "response norm": lambda: nn.LocalResponseNorm(2),
        "height to width": lambda: Lambda(lambda x: torch.cat([x, x[:, :, :1]], 2)),
    }  # fmt: skip
    if deep:
        for cat in (False, True):
            makers["cat" if cat else "add"] = lambda cat=cat: Residual(
                [random_part(c, rng, False) for _ in range(2)]
                + [nn.Identity()] * rng.randint(0, 1),
                cat,
            )
    return makers[rng.choice(list(makers))]()


def random_network(seed: int, depth: int) -> tuple[nn.Module, tuple[int, int]]:
    """A stack of parts that fit one after another, on an image of 9 to 16 pixels a side."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    size = (rng.randint(9, 16), rng.randint(9, 16))
    parts: list[nn.Module] = [nn.Conv2d(2, CHANNELS, rng.randint(1, 3), padding=rng.randint(0, 1))]
    x = parts[0](torch.zeros(1, 2, *size))
    for _ in range(20 * depth):
        if len(parts) > depth:
            break
        part = random_part(x.shape[1], rng).eval()
        try:
            y = part(x.clone())
        except (RuntimeError, ValueError):
            continue
        if y.dim() == 4 and min(y.shape[-2:]) >= 2 and max(y.shape[-2:]) <= 40:
            parts.append(part)
            x = y.detach()
    return nn.Sequential(*parts).eval(), size


def positive(network: nn.Module, seed: int) -> nn.Module:
    """The same network in float64 with positive weights, and nothing that hides an input."""
    generator = torch.Generator().manual_seed(seed)
    network = network.double()
    for p in network.parameters():
        fan = max(p[0].numel(), 1)
        p.data = (torch.rand(p.shape, generator=generator, dtype=torch.float64) + 0.5) / fan
    for m in network.modules():
        if isinstance(m, MaxPool):
            m.smooth = True
        if isinstance(m, nn.ReLU):
            m.inplace = False
        if isinstance(m, nn.BatchNorm2d):
            assert m.running_var is not None
            m.running_var.fill_(1)
    return network


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_seen_pixels_are_those_with_a_gradient(seed: int, depth: int) -> None:
    network, size = random_network(seed, depth)
    geometry = trace(positive(network, seed), (1, 2, *size))
    name = [r for r in geometry.records if r.live][-1].name
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(1, 2, *size, generator=generator, dtype=torch.float64) + 0.5
    x.requires_grad_(True)
    y = network(x)
    weight = torch.rand(y.shape[1], generator=generator, dtype=torch.float64) + 0.1
    rng = random.Random(seed)
    for _ in range(3):
        at = (rng.randrange(y.shape[2]), rng.randrange(y.shape[3]))
        (gradient,) = torch.autograd.grad(
            (y[0, :, at[0], at[1]] * weight).sum(), x, retain_graph=True
        )
        size_of = gradient[0].abs().amax(0)
        touched = (
            size_of > 1e-13 * size_of.max()
        ).numpy()  # resizing rounds weights of zero to 1e-16
        seen = receptive_field(geometry, name, at)
        assert np.array_equal(seen.mask, touched), (network, at)
        box = geometry.pull(geometry.record(name).output, tuple((i, i + 1) for i in at))
        assert contains(box[geometry.inputs[0]], seen.box)


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_boxes_from_crops_equal_the_whole(seed: int, depth: int) -> None:
    network, size = random_network(seed, depth)
    geometry = trace(network, (1, 2, *size))
    rng = random.Random(seed)
    x = torch.rand(2, 2, *size, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        want = network(x.clone())
        values = replay(geometry, network, x, keep=True)
        last = geometry.outputs[0]
        assert last is not None
        torch.testing.assert_close(values[last], want, rtol=1e-3, atol=1e-4)
        for record in geometry.records:
            value = geometry.values[record.output]
            if not (record.live and value.spatial):
                continue
            box = []
            for n in value.extents:
                start = rng.randrange(n) if n else 0
                box.append((start, rng.randint(start + 1, n)) if n else None)
            crops = []
            for i, link in zip(record.inputs, record.links, strict=True):
                source, need = geometry.values[i], link.pull(tuple(box))
                crops.append(Crop(cut(values[i], source.layout, source.full, need, 2), need))
            got = apply(geometry, record, crops, tuple(box), batch=2)
            part = cut(values[record.output], value.layout, value.full, tuple(box), 2)
            place = f"{record.name} {box}"
            torch.testing.assert_close(got, part, rtol=1e-3, atol=1e-4, msg=place)


@given(st.integers(0, 10**6), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_a_changed_box_changes_nothing_outside_of_what_push_names(seed: int, depth: int) -> None:
    network, size = random_network(seed, depth)
    geometry = trace(network, (1, 2, *size))
    rng = random.Random(seed)
    x = torch.rand(1, 2, *size, generator=torch.Generator().manual_seed(seed))
    rows, cols = ((a := rng.randrange(n), rng.randint(a + 1, n)) for n in size)
    changed = x.clone()
    changed[..., rows[0] : rows[1], cols[0] : cols[1]] += 1
    boxes = geometry.push((rows, cols))
    with torch.no_grad():
        before = replay(geometry, network, x, keep=True)
        after = replay(geometry, network, changed, keep=True)
    for record in geometry.records:
        value = geometry.values[record.output]
        if not record.live or not value.varies:
            continue
        box = boxes.get(record.output)
        a, b = before[record.output].clone(), after[record.output].clone()
        if box is not None:
            if not value.spatial:
                continue
            for t in (a, b):
                cut(t, value.layout, value.full, box, 1).zero_() if all(
                    len(dim) == 1 for dim in value.layout
                ) else t.zero_()
        assert torch.equal(a, b), record.name


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_utilisation_is_the_sum_of_the_fields(seed: int, depth: int) -> None:
    """Lecture 001: how often a pixel is read is the number of positions whose receptive field it lies in."""
    network, size = random_network(seed, depth)
    geometry = trace(network, (1, 2, *size))
    record = [r for r in geometry.records if r.live][-1]
    value = geometry.values[record.output]
    total = np.zeros(size, dtype=np.int64)
    for place in np.ndindex(*[n for n in value.extents if n is not None]):
        total += receptive_field(geometry, record.name, place).mask
    assert np.array_equal(utilisation(geometry, record.name), total)


def test_every_kind_of_part_is_drawn() -> None:
    """The generator reaches its rules: no part is always refused."""
    seen: set[str] = set()
    for seed in range(100):
        network, size = random_network(seed, 5)
        geometry = trace(network, (1, 2, *size))
        seen |= {r.op for r in geometry.records}
        assert not [r.name for r in geometry.records if r.plan.kind == "global"], network
    wanted = {
        "convolution", "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "constant_pad_nd",
        "reflection_pad2d", "replication_pad2d", "upsample_nearest2d", "_upsample_nearest_exact2d",
        "upsample_bilinear2d", "upsample_bicubic2d", "pixel_shuffle", "pixel_unshuffle", "native_batch_norm",
        "native_group_norm", "native_layer_norm", "mean", "cat", "slice", "flip", "roll", "view", "permute",
        "slice_scatter", "_softmax", "addmm", "unfold", "im2col", "col2im", "index", "glu", "channel_shuffle",
        "avg_pool3d",
    }  # fmt: skip
    assert wanted <= seen, wanted - seen


@pytest.mark.parametrize("axes", [1, 3])
def test_one_and_three_axes(axes: int) -> None:
    conv, pool = (nn.Conv1d, nn.MaxPool1d) if axes == 1 else (nn.Conv3d, nn.MaxPool3d)
    up = nn.ConvTranspose1d if axes == 1 else nn.ConvTranspose3d
    norm = nn.BatchNorm1d if axes == 1 else nn.BatchNorm3d
    network = nn.Sequential(
        conv(2, 3, 3, 2, 1),
        norm(3),
        nn.ReLU(),
        pool(2, 1),
        up(3, 2, 3, 2, 1, 1),
        conv(2, 2, 2, dilation=2),
    ).eval()
    size = (17, 13, 11)[:axes]
    geometry = trace(network, (1, 2, *size))
    assert not [r.op for r in geometry.records if r.plan.kind == "global"]
    x = torch.rand(1, 2, *size)
    with torch.no_grad():
        values = replay(geometry, network, x, keep=True)
        torch.testing.assert_close(values[geometry.outputs[0]], network(x))
        rng = random.Random(0)
        for record in geometry.records:
            value = geometry.values[record.output]
            if not value.spatial:
                continue
            box = tuple((a := rng.randrange(n), rng.randint(a + 1, n)) for n in value.extents if n)
            crops = []
            for i, link in zip(record.inputs, record.links, strict=True):
                need = link.pull(box)
                crops.append(
                    Crop(
                        cut(values[i], geometry.values[i].layout, geometry.values[i].full, need, 1),
                        need,
                    )
                )
            got = apply(geometry, record, crops, box)
            torch.testing.assert_close(
                got, cut(values[record.output], value.layout, value.full, box, 1)
            )
