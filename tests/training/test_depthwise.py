"""Gradients of depthwise convolutions made in another way: those of torch in double precision; and where they are used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate.tasks.classify.loss import CrossEntropy
from striate.training import Recipe, depthwise
from striate.training.averaging import WeightAverage
from striate.training.batch import Batch
from striate.training.loop import Training, gradient
from striate.training.optimizers import make_optimizer
from striate.training.schedule import Pace

SHAPES = [  # channels, height, width, kernel, stride, padding
    (4, 9, 9, (3, 3), (1, 1), (1, 1)), (4, 9, 10, (3, 3), (2, 2), (1, 1)), (6, 12, 11, (5, 5), (2, 2), (2, 2)),
    (6, 12, 11, (5, 5), (1, 1), (2, 2)), (3, 14, 13, (7, 7), (1, 1), (3, 3)), (3, 15, 16, (7, 7), (2, 3), (3, 0)),
    (2, 5, 30, (1, 11), (1, 1), (0, 5)), (2, 30, 5, (11, 1), (3, 1), (5, 0)), (5, 8, 8, (4, 4), (4, 4), (0, 0)),
    (5, 10, 9, (2, 6), (3, 2), (1, 4)), (8, 7, 7, (3, 3), (5, 5), (0, 0)), (2, 6, 6, (6, 6), (1, 1), (0, 0)),
    (2, 11, 12, (1, 1), (2, 2), (0, 0)), (2, 4, 4, (5, 5), (3, 3), (4, 4)), (2, 13, 13, (8, 8), (2, 1), (7, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("channels", "height", "width", "kernel", "stride", "padding"), SHAPES)
def test_gradients_are_those_of_torch(
    channels: int, height: int, width: int, kernel: Any, stride: Any, padding: Any
) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, channels, height, width, dtype=torch.float64)
    w = torch.randn(channels, 1, *kernel, dtype=torch.float64)
    y = F.conv2d(x.requires_grad_(), w.requires_grad_(), None, stride, padding, 1, channels)
    dy = torch.randn_like(y)
    dx, dw = torch.autograd.grad(y, (x, w), dy)
    last = x.detach().contiguous(memory_format=torch.channels_last)
    for seen in (x.detach(), last):
        found = depthwise.input_gradient(dy, w.detach(), x.shape, stride, padding)
        assert torch.allclose(found, dx, atol=1e-11)
        found = depthwise.weight_gradient(dy, seen, w.detach(), stride, padding)
        assert torch.allclose(found, dw, atol=1e-11)


class Mixed(nn.Module):
    """Convolutions of which the depthwise ones are `own`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.own = nn.ModuleList([
            nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8), nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        ])  # fmt: skip
        self.others = nn.ModuleList([
            nn.Conv2d(8, 16, 3, padding=1, groups=8), nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=16),
            nn.Conv2d(16, 16, 3, padding="same", groups=16), nn.Conv2d(16, 4, 1),
        ])  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (self.first, *self.own, *self.others):
            x = torch.tanh(layer(x))
        return x


def test_in_bfloat16_a_network_learns_as_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network, x = Mixed(), torch.randn(2, 3, 16, 16)
    made: list[Any] = []
    own = depthwise._Convolution.apply

    class Counted:
        @staticmethod
        def apply(*given: Any) -> Any:
            made.append(given[1].shape)
            return own(*given)

    def gradients(*, fast: bool, precise: bool) -> list[torch.Tensor]:
        network.zero_grad()
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=not precise),
            depthwise.Depthwise() if fast else torch.enable_grad(),
        ):
            y = network(x)
        y.float().square().sum().backward()
        return [p.grad.clone() for p in network.parameters() if p.grad is not None]

    right = gradients(fast=False, precise=True)
    usual = gradients(fast=False, precise=False)
    monkeypatch.setattr(depthwise, "_Convolution", Counted)
    found = gradients(fast=True, precise=False)
    assert len(made) == len(network.own)
    for a, b, c in zip(found, usual, right, strict=True):
        scale = c.norm()
        assert (a - c).norm() / scale <= 1.5 * (b - c).norm() / scale + 2e-3
    made.clear()
    assert all(torch.equal(a, b) for a, b in zip(gradients(fast=True, precise=True), right, strict=True))  # fmt: skip
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), depthwise.Depthwise():
        network(x)
    assert not made


def test_it_is_for_networks_that_gain() -> None:
    cpu = torch.device("cpu")
    assert depthwise.gains(Mixed(), cpu, torch.bfloat16)
    assert not depthwise.gains(Mixed(), cpu, torch.float32)
    assert not depthwise.gains(Mixed(), torch.device("cuda"), torch.bfloat16)
    assert not depthwise.gains(nn.Conv2d(8, 8, 3, groups=8), cpu, torch.bfloat16)
    assert not depthwise.gains(nn.Conv2d(1, 1, 5, stride=2), cpu, torch.bfloat16)
    assert depthwise.gains(nn.Conv2d(8, 8, 7, groups=8), cpu, torch.bfloat16)


def test_a_training_in_bfloat16_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[bool] = []
    enter = depthwise.Depthwise.__enter__

    def entered(self: Any) -> Any:
        used.append(True)
        return enter(self)

    monkeypatch.setattr(depthwise.Depthwise, "__enter__", entered)
    recipe = Recipe(data="x", lr=0.01, weight_decay=0.0)
    for precision, expected in ((torch.float32, 0), (torch.bfloat16, 1)):
        used.clear()
        network = nn.Sequential(Mixed(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        t = Training(
            model=network, optimizers=make_optimizer(recipe, [list(network.parameters())]),
            average=WeightAverage(network, 0.9), pace=Pace(2), warmup=0.0, loss=CrossEntropy(0.0), dtype=precision,
            device=torch.device("cpu"),
        )  # fmt: skip
        gradient(t, Batch(torch.randn(2, 3, 16, 16), torch.tensor([0, 1])))
        assert len(used) == expected


def own(kernel: Any = 5, stride: Any = 2, padding: Any = 2, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(8, 8, kernel, stride=stride, padding=padding, groups=8, **more)


FOREIGN: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "no image": (own(), (0, 8, 9, 9)), "one pixel": (own(), (2, 8, 1, 1)), "one image": (own(), (8, 12, 12)),
    "frozen": (own().requires_grad_(False), (2, 8, 9, 9)), "reflected": (own(padding_mode="reflect"), (2, 8, 12, 12)),
    "normalised": (nn.utils.parametrizations.weight_norm(own()), (2, 8, 12, 12)),
    "wide padding": (own(3, 2, 3), (2, 8, 9, 9)), "wide stride": (own(2, 5, 0), (2, 8, 13, 14)),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_what_people_bring_learns_as_without_it(name: str) -> None:
    module, shape = FOREIGN[name]
    torch.manual_seed(0)
    x = torch.randn(shape)

    def gradients(mode: Any) -> list[torch.Tensor]:
        given = x.clone().requires_grad_()
        module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16), mode:
            y = module(given)
        y.float().mean().backward()  # its gradient is one number, expanded
        return [given.grad, *(p.grad for p in module.parameters() if p.grad is not None)]  # type: ignore[list-item]

    for found, right in zip(gradients(depthwise.Depthwise()), gradients(torch.enable_grad()), strict=True):  # fmt: skip
        assert (found - right).norm() <= 4e-3 * right.norm()
