"""Networks that mix the images of a batch, or are written for one image: each position as the module gives it alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.attribution import integrated_gradients, occlusion_map
from striate.inference.incremental import Incremental, occlusion

C, PATCH, STRIDE, BASELINE = 8, 4, 3, 0.1


class Net(nn.Module):
    """A convolution, a body on its map, and a classifier of three."""

    def __init__(self, body: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, C, 3, 2, 1), nn.Linear(C, 3)
        self.parts = nn.ModuleDict(parts)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.body(self, F.gelu(self.stem(x)))
        return found


def mapped(body: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A body that gives a map again, in front of the mean and the classifier."""
    return lambda net, x: net.last(body(net, x).mean((2, 3)))


def sequence(run: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A body on the pixels as a sequence (N, pixels, C)."""

    def body(net: Net, x: Tensor) -> Tensor:
        return run(net, x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)

    return mapped(body)


def attention(first: bool, weights: bool) -> Net:
    """`nn.MultiheadAttention` given (N, pixels, C); as made it takes the batch for the sequence."""
    return Net(
        sequence(lambda net, t: net.parts.a(t, t, t, need_weights=weights)[0]),
        a=nn.MultiheadAttention(C, 2, batch_first=first),
    )


def pixels_first(weights: bool) -> Net:
    def body(net: Net, x: Tensor) -> Tensor:
        t = x.flatten(2).permute(2, 0, 1)
        return net.parts.a(t, t, t, need_weights=weights)[0].permute(1, 2, 0).reshape(x.shape)

    return Net(mapped(body), a=nn.MultiheadAttention(C, 2))


def encoder(first: bool) -> Net:
    layer = nn.TransformerEncoderLayer(C, 2, 16, batch_first=first)
    return Net(sequence(lambda net, t: net.parts.a(t)), a=layer)


def windows(net: Net, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    t = x.view(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
    t = t + (t @ t.transpose(1, 2)).softmax(-1) @ t
    count = int(t.shape[0] / (h * w / 16))
    return t.view(count, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)


def unfolded(net: Net, x: Tensor) -> Tensor:
    """MobileViT: batch and channels merged, then batch and places of a patch."""
    n, c, h, w = x.shape
    t = x.reshape(n * c * (h // 2), 2, w // 2, 2).transpose(1, 2).reshape(n, c, h * w // 4, 4)
    t = t.transpose(1, 3).reshape(n * 4, -1, c)
    t = (t @ t.transpose(1, 2)).softmax(-1) @ t
    t = t.view(n, 4, -1, c).transpose(1, 3).reshape(n * c * (h // 2), w // 2, 2, 2)
    return t.transpose(1, 2).reshape(n, c, h, w)


def modulated(net: Net, x: Tensor) -> Tensor:
    """A kernel for each image, run as groups of one image (StyleGAN 2)."""
    n, c, h, w = x.shape
    weight = net.parts.c.weight[None] * x.mean((2, 3)).view(n, 1, c, 1, 1)
    out = F.conv2d(x.reshape(1, n * c, h, w), weight.reshape(n * c, c, 3, 3), padding=1, groups=n)
    return out.view(n, c, h, w)


def queries(net: Net, x: Tensor) -> Tensor:
    t = x.flatten(2).transpose(1, 2)
    q = net.stem.weight.flatten(1)[:5, :C].expand(len(x), -1, -1)
    return net.last(((q @ t.transpose(1, 2)).softmax(-1) @ t).mean(1))


def rows(net: Net, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return net.parts.r(x.permute(0, 2, 3, 1).reshape(n * h, w, c))[0].view(n, h, w, c).permute(0, 3, 1, 2)  # fmt: skip


def shifted(net: Net, x: Tensor) -> Tensor:
    """Time shift (TSM) of clips of one frame: empty slices are written."""
    y = x.view(len(x), 1, *x.shape[1:])
    out = torch.zeros_like(y)
    out[:, :-1, :2] = y[:, 1:, :2]
    out[:, 1:, 2:4] = y[:, :-1, 2:4]
    out[:, :, 4:] = y[:, :, 4:]
    return out.view(x.shape)


def pooled(read: Callable[[nn.Module, Tensor], Tensor]) -> Net:
    """What is done with the pooled features (N, C, 1, 1)."""
    return Net(lambda net, x: read(net.last, x.mean((2, 3), keepdim=True)))


NETS: dict[str, Callable[[], Net]] = {
    "attention": lambda: attention(False, True),
    "attention without weights": lambda: attention(False, False),
    "attention, batch first": lambda: attention(True, True),
    "attention, batch first, without weights": lambda: attention(True, False),
    "attention, pixels first": lambda: pixels_first(True),
    "attention, pixels first, without weights": lambda: pixels_first(False),
    "encoder": lambda: encoder(False),
    "encoder, batch first": lambda: encoder(True),
    "windows": lambda: Net(mapped(windows)),
    "unfolded patches": lambda: Net(mapped(unfolded)),
    "kernels of each image": lambda: Net(mapped(modulated), c=nn.Conv2d(C, C, 3)),
    "learned queries": lambda: Net(queries),
    "recurrent rows": lambda: Net(mapped(rows), r=nn.LSTM(C, C, batch_first=True)),
    "time shift": lambda: Net(mapped(shifted)),
    "roll of the batch": lambda: Net(mapped(lambda net, x: x + x.roll(1, 0))),
    "flip of the batch": lambda: Net(mapped(lambda net, x: x + x.flip(0))),
    "shuffled batch": lambda: Net(mapped(lambda net, x: x[torch.arange(len(x) - 1, -1, -1)])),
    "ghost batch norm": lambda: Net(
        mapped(lambda net, x: net.parts.n(torch.cat([x, x.flip(3)]).view(-1, 2 * C, *x.shape[2:])).view(2, *x.shape)[0]),
        n=nn.BatchNorm2d(2 * C),
    ),
    "minus the batch's mean": lambda: Net(mapped(lambda net, x: x - 0.3 * x.mean(0, keepdim=True))),
    "divided by the largest": lambda: Net(mapped(lambda net, x: x / x.abs().max())),
    "softmax over the batch": lambda: Net(mapped(lambda net, x: x.softmax(0) + x)),
    "deviation of the batch": lambda: Net(
        mapped(lambda net, x: x + (x - x.mean(0, keepdim=True)).pow(2).mean().sqrt())
    ),
    "batch and channels one": lambda: Net(mapped(lambda net, x: x.flatten(0, 1).softmax(0).view_as(x) + x)),
    "differences of all pairs": lambda: Net(
        mapped(lambda net, x: x + (x[:, None] - x[None]).abs().amax(1))
    ),
    "squeeze": lambda: pooled(lambda last, y: last(y.squeeze())),
    "squeeze, then a batch": lambda: pooled(lambda last, y: last(y.squeeze())[None]),
    "view(1, -1)": lambda: pooled(lambda last, y: last(y.view(1, -1))),
    "sum over the batch": lambda: pooled(lambda last, y: last(y.sum(0).flatten())[None]),
    "first image": lambda: pooled(lambda last, y: last(y[0].flatten())[None]),
    "image after image": lambda: pooled(lambda last, y: torch.cat([last(t.flatten())[None] for t in y.split(1)])),
    "one image is special": lambda: pooled(lambda last, y: last(y.flatten(1)) * (2 if len(y) == 1 else 1)),
    "products of the batch": lambda: pooled(
        lambda last, y: last((y.flatten(1) @ y.flatten(1).T).softmax(-1) @ y.flatten(1))
    ),
}  # fmt: skip


def made(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return NETS[name]().double().eval(), torch.rand(3, 16, 16, dtype=torch.float64)


def loop(module: nn.Module, image: Tensor, score: Callable[[Any], Tensor]) -> Tensor:
    """The drop at each position, the module run on each changed image alone."""
    n = (16 - PATCH) // STRIDE + 1
    drops = torch.zeros(n, n, dtype=image.dtype)
    with torch.no_grad():
        clean = score(module(image[None]))
        for r in range(n):
            for c in range(n):
                changed = image.clone()
                changed[:, r * STRIDE :, c * STRIDE :][:, :PATCH, :PATCH] = BASELINE
                drops[r, c] = clean - score(module(changed[None]))
    return drops


@pytest.mark.parametrize("name", NETS)
def test_the_map_is_that_of_one_image_after_the_other(name: str) -> None:
    module, image = made(name)
    wanted = loop(module, image, lambda out: out.reshape(-1)[1])
    got = occlusion(module, image, 1, patch=PATCH, stride=STRIDE, baseline=BASELINE)
    assert isinstance(got, Tensor)
    assert float((got - wanted).abs().max()) < 1e-10 * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("mixes", [False, True])
def test_a_target_that_mixes_images_reads_one_at_a_time(mixes: bool) -> None:
    module, image = made("windows")

    def score(out: Tensor) -> Tensor:
        return (out.softmax(0 if mixes else 1) * out)[:, 1]

    wanted = loop(module, image, lambda out: score(out)[0])
    got = occlusion(module, image, score, patch=PATCH, stride=STRIDE, baseline=BASELINE)
    assert isinstance(got, Tensor)
    assert float((got - wanted).abs().max()) < 1e-10


def test_networks_that_keep_images_apart_run_on_many() -> None:
    """Windows, learned queries and plain networks are not slowed by the care for others."""
    for name in ("windows", "unfolded patches"):
        assert not Incremental(*made(name)).alone
    assert Incremental(*made("attention")).alone


def test_attribution_runs_copies_of_an_image_as_it_runs_the_image() -> None:
    module, image = made("minus the batch's mean")
    alone = integrated_gradients(module, image, 1, steps=5, batch=1)
    together = integrated_gradients(module, image, 1, steps=5)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    module, image = made("attention")
    got = occlusion_map(module, image, 1, patch=16, stride=16)
    with torch.no_grad():
        drop = (module(image[None]) - module(torch.zeros_like(image)[None]))[0, 1]
    torch.testing.assert_close(got, drop.expand(16, 16), rtol=0, atol=1e-12)


def test_a_number_of_each_image_that_is_broadcast_along_the_channels() -> None:
    """view(-1, 1, 1) of one number an image has no dimension for the channels: right for one image, mixed for several."""

    class Scales(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x.flatten(1).std(1).view(-1, 1, 1)

    image = torch.rand(1, 6, 7, dtype=torch.float64)
    got = occlusion(Scales(), image, (0, 2, 3), patch=2, stride=2)
    for r, c in ((0, 0), (1, 2), (2, 1)):
        hidden = image[None].clone()
        hidden[..., 2 * r : 2 * r + 2, 2 * c : 2 * c + 2] = 0
        want = Scales()(image[None])[0, 0, 2, 3] - Scales()(hidden)[0, 0, 2, 3]
        torch.testing.assert_close(got[r, c], want)
