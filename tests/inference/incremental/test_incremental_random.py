"""Random networks: scores of changed boxes equal the network run on every changed image."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from striate.inference.incremental import Incremental

C = 4
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, f: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)


class Branches(nn.Module):
    """Branches summed or put side by side, cut to the smallest."""

    def __init__(self, branches: list[nn.Module], cat: bool, relu: bool) -> None:
        super().__init__()
        self.branches, self.cat, self.relu = nn.ModuleList(branches), cat, relu

    def forward(self, x: Tensor) -> Tensor:
        parts = [b(x) for b in self.branches]
        n, m = (min(p.shape[d] for p in parts) for d in (-2, -1))
        parts = [p[..., :n, :m] if p.shape[-2:] != (n, m) else p for p in parts]
        y = torch.cat(parts, 1) if self.cat else sum(parts[1:], parts[0])
        return F.relu(y, inplace=True) if self.relu else y


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.f = nn.Conv2d(c, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.f(x.mean((2, 3), keepdim=True)).sigmoid()


class Nhwc(nn.Module):
    """Layer norm and linear over the channels, as ConvNeXt has them."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.f = nn.Sequential(nn.LayerNorm(c), nn.Linear(c, c), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def tokens(x: Tensor) -> Tensor:
    """Attention over positions: no rule says which of them it mixes."""
    y = x.flatten(2).transpose(1, 2)
    return F.scaled_dot_product_attention(y, y, y).transpose(1, 2).reshape(x.shape)


def part(c: int, rng: random.Random) -> nn.Module:
    """One random part of a network with c channels."""
    k, s, p, d = rng.randint(1, 4), rng.randint(1, 3), rng.randint(0, 2), rng.randint(1, 2)
    pads = tuple(rng.randint(0, 2) for _ in range(4))

    def norm() -> list[nn.Module]:
        return [nn.BatchNorm2d(C)] if rng.random() < 0.7 else []

    def act() -> nn.Module:
        return rng.choice(
            [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.LeakyReLU(0.2), nn.SiLU()]
        )

    def block(s: int) -> nn.Module:
        first = nn.Sequential(nn.Conv2d(c, C, 3, s, 1), *norm(), act())
        return nn.Sequential(first, nn.Conv2d(C, C, 3, 1, 1), *norm())

    makers: list[Callable[[], nn.Module]] = [
        lambda: nn.Sequential(nn.Conv2d(c, C, (k, rng.randint(1, 3)), s, p, d, bias=rng.random() < 0.5), *norm(), act()),
        lambda: nn.Conv2d(c, c, k, s, p, d, groups=c),
        lambda: nn.Conv2d(c, C, (k, 2), 1, "same", d),
        lambda: nn.Conv2d(c, C, 3, s, 1, padding_mode=rng.choice(["circular", "reflect", "replicate"])),
        lambda: nn.MaxPool2d(k, s, min(p, k // 2), d, ceil_mode=rng.random() < 0.5),
        lambda: nn.AvgPool2d(k, s, min(p, k // 2), rng.random() < 0.5, rng.random() < 0.5, rng.choice([None, 3])),
        lambda: nn.ConvTranspose2d(c, C, k, s, min(p, k - 1), rng.randint(0, max(s, d) - 1), dilation=d),
        lambda: nn.AdaptiveAvgPool2d((rng.randint(2, 12), rng.randint(2, 12))),
        lambda: nn.Upsample(scale_factor=2, mode=rng.choice(["nearest", "bilinear"])),
        lambda: nn.ZeroPad2d(pads),
        lambda: Lambda(lambda x: x[:, :, 1:, ::2] if min(x.shape[2:]) > 4 else x),
        lambda: nn.Sequential(nn.BatchNorm2d(c), act()),
        lambda: nn.GroupNorm(2 if c % 2 == 0 else 1, c),
        lambda: nn.InstanceNorm2d(c),
        lambda: nn.PixelShuffle(2) if c % 4 == 0 else act(),
        lambda: Gate(c),
        lambda: Nhwc(c),
        lambda: Lambda(tokens),
        lambda: Branches([nn.Sequential(nn.Conv2d(c, C, 1, 2), *norm()), block(2)], False, True),
        lambda: Branches([nn.Identity(), block(1) if c == C else nn.Identity()], False, rng.random() < 0.5),
        lambda: Branches([nn.Identity(), block(1), nn.Conv2d(c, C, 1)], True, False),
    ]  # fmt: skip
    return rng.choice(makers)()


def network_of(seed: int, depth: int) -> tuple[nn.Module, Tensor]:
    """A random network in evaluation form with lively statistics, and an image for it."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    size = (rng.randint(9, 23), rng.randint(9, 23))
    parts: list[nn.Module] = [nn.Conv2d(2, C, 3, rng.randint(1, 2), rng.randint(0, 1))]
    x = parts[0](torch.zeros(1, 2, *size))
    for _ in range(10 * depth):
        if len(parts) > depth:
            break
        one = part(x.shape[1], rng).eval()
        try:
            y = one(x.clone())
        except (RuntimeError, ValueError):
            continue
        if y.dim() == 4 and min(y.shape[-2:]) >= 2 and max(y.shape[-2:]) <= 40:
            parts.append(one)
            x = y.detach()
    if rng.random() < 0.5:
        parts += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * x.shape[1], 3)]
    network = nn.Sequential(*parts).eval()
    for m in network.modules():
        if isinstance(m, nn.BatchNorm2d):
            assert m.running_mean is not None
            assert m.running_var is not None
            m.running_mean.normal_(0, 0.3)
            m.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.uniform_(m.bias, -0.5, 0.5)
    return network, torch.randn(1, 2, *size)


@given(st.integers(0, 10**6), st.integers(1, 6))
@settings(max_examples=70, deadline=None)
def test_scores_equal_the_network_on_every_changed_image(seed: int, depth: int) -> None:
    network, image = network_of(seed, depth)
    rng = random.Random(seed)
    H, W = image.shape[2:]
    boxes = []
    for _ in range(9):
        r, c = rng.randrange(H), rng.randrange(W)
        boxes.append(
            ((r, rng.randint(r + 1, min(H, r + 4))), (c, rng.randint(c + 1, min(W, c + 4))))
        )
    content = rng.choice([0.0, torch.rand(2), torch.rand(2, H, W)])
    session = Incremental(network, image)
    weight = torch.randn(session.output.shape[1:])

    def score(y: Tensor) -> Tensor:
        return (y * weight).flatten(1).sum(1)

    got = session.scores(boxes, content, score, batch=rng.choice([None, 1, 4]))
    want = []
    for (a, b), (c, d) in boxes:
        changed = image.clone()
        value = torch.as_tensor(content)
        value = value[:, a:b, c:d] if value.dim() == 3 else value.reshape(-1, 1, 1)
        changed[0, :, a:b, c:d] = value
        with torch.no_grad():
            want.append(score(network(changed)))
    expected = torch.cat(want)
    scale = 1 + float(expected.abs().max())
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5 * scale)


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_float64_agrees_to_its_own_precision(seed: int, depth: int) -> None:
    """Nothing is lost but rounding: in double precision the difference shrinks a billionfold."""
    network, image = network_of(seed, depth)
    network, image = network.double(), image.double()
    boxes = [((0, 3), (0, 3)), ((4, 7), (3, 8)), ((image.shape[2] - 2, image.shape[2]), (1, 2))]
    got = Incremental(network, image).scores(boxes, 0.5, lambda y: y.flatten(1).sum(1))
    assert got.dtype == torch.float64
    for (r, c), score in zip(boxes, got, strict=True):
        changed = image.clone()
        changed[..., r[0] : r[1], c[0] : c[1]] = 0.5
        with torch.no_grad():
            want = network(changed).sum()
        torch.testing.assert_close(score, want, rtol=1e-11, atol=1e-10)
