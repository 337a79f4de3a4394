"""Blocks as other people's networks write them: tiled as whole in float64, or refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import GeometryError
from striate.inference.tiled import tiled


class Block(nn.Module):
    """A function between two convolutions, with its submodules."""

    def __init__(self, f: Callable[..., Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.f, self.parts = f, nn.ModuleList(parts)
        self.first = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(self.first(x), *self.parts)


def involution(x: Tensor, kernel: nn.Module) -> Tensor:
    """Li et al. 2021: a kernel for each position."""
    n, c, h, w = x.shape
    k = kernel(x).view(n, 1, 9, h, w)
    return (k * F.unfold(x, 3, padding=1).view(n, c, 9, h, w)).sum(2)


def strips(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
    """Strip pooling, Hou et al. 2020."""
    size = x.shape[2:]
    a = F.interpolate(f(F.adaptive_avg_pool2d(x, (1, None))), size, mode="bilinear")
    b = F.interpolate(g(F.adaptive_avg_pool2d(x, (None, 1))), size, mode="bilinear")
    return x * (a + b).sigmoid()


def pyramid(x: Tensor) -> Tensor:
    """Pyramid pooling, Zhao et al. 2017."""
    parts = [
        F.interpolate(F.adaptive_avg_pool2d(x, k), x.shape[2:], mode="bilinear")
        for k in (1, 2, 3, 6)
    ]
    return torch.cat([x, *parts], 1)


def shifted_windows(x: Tensor, f: nn.Module) -> Tensor:
    """Swin, Liu et al. 2021: padded, rolled, attention within windows of 4."""
    n, c, h, w = x.shape
    x = F.pad(x, (0, -w % 4, 0, -h % 4)).roll((-2, -2), (2, 3))
    rows, columns = x.shape[2] // 4, x.shape[3] // 4
    t = x.view(n, c, rows, 4, columns, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
    q, k, v = f(t).chunk(3, -1)
    t = torch.softmax(q @ k.transpose(1, 2), -1) @ v
    x = (
        t.view(n, rows, columns, 4, 4, c)
        .permute(0, 5, 1, 3, 2, 4)
        .reshape(n, c, rows * 4, columns * 4)
    )
    return x.roll((2, 2), (2, 3))[:, :, :h, :w]


def along_rows(x: Tensor, f: nn.Module) -> Tensor:
    """Axial attention, Ho et al. 2019: within each row."""
    n, c, h, w = x.shape
    q, k, v = f(x.permute(0, 2, 3, 1).reshape(n * h, w, c)).chunk(3, -1)
    t = torch.softmax(q @ k.transpose(1, 2) / c**0.5, -1) @ v
    return t.reshape(n, h, w, c).permute(0, 3, 1, 2)


def convnext(
    x: Tensor, depthwise: nn.Module, norm: nn.Module, wide: nn.Module, narrow: nn.Module
) -> Tensor:
    y = depthwise(x).permute(0, 2, 3, 1)
    return x + narrow(F.gelu(wide(norm(y)))).permute(0, 3, 1, 2)


def attention_of_cbam(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
    """Woo et al. 2018: channels by both poolings, then places."""
    x = x * (f(x.mean((2, 3), True)) + f(x.amax((2, 3), True))).sigmoid()
    return x * g(torch.cat([x.mean(1, True), x.amax(1, True)], 1)).sigmoid()


def rotary(x: Tensor) -> Tensor:
    t = torch.arange(x.shape[3], dtype=x.dtype) * 0.1
    a, b = x[:, ::2], x[:, 1::2]
    return torch.cat([a * t.cos() - b * t.sin(), a * t.sin() + b * t.cos()], 1)


def shift(x: Tensor) -> Tensor:
    """Wu et al. 2018: each channel moves another way."""
    y = x.clone()
    y[:, 0, 1:], y[:, 1, :-1] = x[:, 0, :-1], x[:, 1, 1:]
    y[:, 2, :, 1:] = x[:, 2, :, :-1]
    return y


def integral(x: Tensor) -> Tensor:
    """Means over windows by an integral image."""
    i = x.cumsum(2).cumsum(3)
    return i[:, :, 4:, 4:] - i[:, :, :-4, 4:] - i[:, :, 4:, :-4] + i[:, :, :-4, :-4]


def global_response(x: Tensor) -> Tensor:
    """ConvNeXt V2, Woo et al. 2023."""
    g = x.norm(2, (2, 3), True)
    return x * (g / (g.mean(1, True) + 1e-6)) + x


def focus(x: Tensor) -> Tensor:
    """YOLOv5's space to depth, from the other end."""
    x = x.flip(3)[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]
    return torch.cat(
        [x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1
    )


def ceiled(x: Tensor, f: nn.Module) -> Tensor:
    """A U-Net that pads what it has up-sampled to what it joins."""
    y = F.interpolate(f(F.max_pool2d(x, 2, ceil_mode=True)), scale_factor=2)
    rows, columns = x.shape[2] - y.shape[2], x.shape[3] - y.shape[3]
    return torch.cat(
        [x, F.pad(y, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])], 1
    )


BLOCKS: dict[str, Callable[[], nn.Module]] = {
    "involution": lambda: Block(involution, nn.Conv2d(4, 9, 1)),
    "strip pooling": lambda: Block(strips, nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)),
    "pyramid pooling": lambda: Block(pyramid),
    "shifted windows": lambda: Block(shifted_windows, nn.Linear(4, 12)),
    "axial attention": lambda: Block(along_rows, nn.Linear(4, 12)),
    "convnext": lambda: Block(convnext, nn.Conv2d(4, 4, 7, padding=3, groups=4), nn.LayerNorm(4),
                              nn.Linear(4, 8), nn.Linear(8, 4)),
    "cbam": lambda: Block(attention_of_cbam, nn.Conv2d(4, 4, 1), nn.Conv2d(2, 1, 7, padding=3)),
    "rotary": lambda: Block(rotary),
    "shift": lambda: Block(shift),
    "integral image": lambda: Block(integral),
    "global response": lambda: Block(global_response),
    "focus": lambda: Block(focus),
    "ceiled": lambda: Block(ceiled, nn.Conv2d(4, 4, 3, padding=1)),
    "products of edges": lambda: Block(lambda x: x[:, :, :, 3].unsqueeze(3) * x[:, :, 5, :].unsqueeze(2)),
    "differences": lambda: Block(lambda x: torch.cat([x.diff(dim=3), x[..., :1]], 3)),
    "middle as a key": lambda: Block(lambda x: x * x[:, :, x.shape[2] // 2, None, x.shape[3] // 2, None]),
}  # fmt: skip
REFUSED: dict[str, Callable[[Tensor], Tensor]] = {
    "fourier": lambda x: torch.fft.irfft2(torch.fft.rfft2(x), s=x.shape[2:]),
    "gather": lambda x: x.gather(3, torch.full(x.shape, 2)),
    "mask": lambda x: torch.index_put(x, (x > 0.1,), torch.zeros((), dtype=x.dtype)),
    "triangle": lambda x: x.tril(),
    "non-local": lambda x: (x.flatten(2).transpose(1, 2) @ x.flatten(2)).softmax(-1),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_the_same_in_tiles(name: str) -> None:
    torch.manual_seed(0)
    module = BLOCKS[name]().double().eval()
    x = torch.rand(1, 3, 29, 27, dtype=torch.float64) - 0.5
    with torch.no_grad():
        want = module(x)
    for strategy in ("halo", "carry"):
        got = tiled(module, x, tile=9, strategy=strategy, check=False)
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_or_mixes_everything_is_refused(name: str) -> None:
    x = torch.rand(1, 3, 29, 27) - 0.5
    with pytest.raises(
        GeometryError, match=r"mix(es)? all positions .* run this network on the whole"
    ):
        tiled(Block(REFUSED[name]).eval(), x, tile=9)
