"""Gradient check: a wrong backward is named, right ones agree."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from striate.diagnostics import check_gradients
from striate.errors import UsageError


class Doubled(torch.autograd.Function):
    """x -> x * w whose hand-written backward forgets a half of the gradient of w."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        x, w = ctx.saved_tensors
        return grads[0] * w, 0.5 * (grads[0] * x).sum(0)


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Doubled.apply(x, self.gain)


def batch(n: int = 12, width: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(n, width), torch.arange(n) % 3


def test_the_parameter_with_the_wrong_backward_is_named_alone() -> None:
    x, y = batch()
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), Scale(), nn.Linear(6, 3))
    finding = check_gradients(net, x, y)
    assert finding.data["wrong"] == ["2.gain"]
    assert finding.status == "problem" and "2.gain disagrees" in finding.verdict


@pytest.mark.parametrize(
    "loss", [nn.functional.cross_entropy, lambda a, b: (a[:, 0] - b).pow(2).mean()]
)
def test_right_gradients_agree_for_any_loss_and_the_network_is_untouched(loss: Any) -> None:
    x, y = batch()
    net = nn.Sequential(
        nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3)
    )
    before = {k: v.clone() for k, v in net.state_dict().items()}
    finding = check_gradients(net, x, y, loss)
    assert finding.data["wrong"] == [] and finding.status == "good"
    # In float64 the two agree to many digits, and never to all of them.
    assert all(0 < e < 1e-6 for e in finding.data["errors"].values())
    assert net.training and all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


class Bent(nn.Module):
    """A slope of 1, and from just above the weight on one of 1.0004: a unit of many whose kink lies inside the step."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.5]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.w + 4e-4 * torch.relu(self.w - 0.5 - 2e-7)) * x


def test_a_small_kink_inside_the_step_is_no_wrong_backward() -> None:
    finding = check_gradients(
        Bent(), torch.ones(1, 1), torch.zeros(1, 1), loss=lambda a, b: (a - b).sum()
    )
    assert finding.data == {"wrong": [], "not_compared": ["w"], "errors": {"w": None}}


def test_a_frozen_network_and_a_loss_of_many_numbers_are_refused() -> None:
    x, y = batch()
    with pytest.raises(UsageError, match="no parameter that requires a gradient"):
        check_gradients(nn.Linear(4, 3).requires_grad_(False), x, y)
    with pytest.raises(UsageError, match="one finite number"):
        check_gradients(nn.Linear(4, 3), x, y, lambda a, b: a)


def test_without_time_the_last_parameter_is_compared_and_the_rest_is_said() -> None:
    x, y = batch()
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    found = check_gradients(net, x, y, seconds=0)
    assert [row[0] for row in found.tables[0].rows] == ["2.bias"]
    assert found.verdict.endswith("The other 3 were left out for want of time.")
