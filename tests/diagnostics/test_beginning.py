"""Before training: the loss against ln(classes), and one batch by heart."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from striate.diagnostics import initial_loss, overfit_batch
from striate.errors import DataError, UsageError


def batch(n: int = 12, width: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, width, generator=generator), torch.arange(n) % 3


def head(scale: float) -> nn.Linear:
    torch.manual_seed(0)
    layer = nn.Linear(4, 3)
    nn.init.zeros_(layer.bias)
    nn.init.normal_(layer.weight, std=scale) if scale else nn.init.zeros_(layer.weight)
    return layer


def test_a_head_of_zeros_costs_ln_classes_and_a_loud_one_is_warned_of() -> None:
    x, y = batch()
    found = initial_loss(head(0), x, y, 3)
    assert found.data["loss"] == pytest.approx(math.log(3), abs=1e-6) and found.status == "good"
    assert "1.099; guessing evenly costs ln(3) = 1.099, as it should" in found.verdict
    assert initial_loss(head(20), x, y, 3).status == "warning"


def test_knowing_too_much_is_a_fault_of_a_new_network_and_none_of_a_pretrained_one() -> None:
    x = torch.eye(3).repeat(4, 1)
    y = torch.arange(12) % 3
    knows = nn.Linear(3, 3)
    with torch.no_grad():
        knows.weight.copy_(8 * torch.eye(3)), knows.bias.zero_()
    fresh = initial_loss(knows, x, y, 3)
    assert fresh.status == "warning"
    tuned = initial_loss(knows, x, y, 3, pretrained=True)
    assert tuned.status == "good"
    assert initial_loss(head(20), *batch(), 3, pretrained=True).status == "warning"


def test_the_first_step_is_in_training_form_and_the_network_stays_as_it_is() -> None:
    x, y = batch()
    net = nn.Sequential(nn.BatchNorm1d(4), head(1)).eval()
    shifted = 100 + 50 * x  # in evaluation form its statistics would be far off
    assert initial_loss(net, shifted, y, 3).data["loss"] < 5
    assert initial_loss(net, shifted, y, 3, pretrained=True).data["loss"] > 5
    assert int(net[0].num_batches_tracked) == 0 and not net.training


def test_one_batch_is_learned_unless_the_network_cannot_see_it() -> None:
    x, y = batch()
    net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3))
    found = overfit_batch(net, x, y)
    assert found.status == "good" and "12 images alone are learned by heart" in found.verdict
    blind = overfit_batch(net, torch.zeros_like(x), y, steps=50)
    assert blind.status == "problem"
    assert (
        blind.data["contradictions"] == 48
    )  # pairs of equal images with different labels: 3 x 4 x 4


def test_all_right_with_a_high_loss_is_not_by_heart() -> None:
    class Bounded(nn.Module):
        """Logits within 1.5: every image can be right, and the loss stays above ln(1 + 2 exp(-3)) = 0.095."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3))

        def forward(self, x: Tensor) -> Tensor:
            return 1.5 * torch.tanh(self.net(x))

    found = overfit_batch(Bounded(), *batch(), steps=200)
    assert found.data["accuracy"] == 1 and found.status == "note"
    assert found.data["losses"][-1] > 0.095


def test_what_cannot_be_done_is_refused() -> None:
    x, y = batch()
    with pytest.raises(UsageError, match="classes must be 2 or more"):
        initial_loss(head(1), x, y, 1)
    with pytest.raises(UsageError, match="got 12 images and 5 labels"):
        overfit_batch(head(1), x, y[:5])
    broken = head(1)
    with torch.no_grad():
        broken.weight[0, 0] = torch.nan
    with pytest.raises(DataError, match="1 of 12 numbers of weight are not finite"):
        overfit_batch(broken, x, y)
