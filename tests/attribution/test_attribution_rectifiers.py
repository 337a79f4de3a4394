"""Guided backpropagation and the deconvnet: on operations, however they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from captum import attr as captum
from torch import Tensor, nn

from striate.attribution import deconvnet, gradient, guided_backpropagation, project
from striate.errors import UsageError

CLASS = 2
REUSED = nn.ReLU()
WRITTEN: dict[str, Callable[[Tensor], Tensor]] = {
    "functional": F.relu,
    "in place": lambda x: F.relu(x, inplace=True),
    "method in place": lambda x: x.relu_(),
    "one module twice": REUSED,
    "clamp": lambda x: x.clamp(min=0),
    "clamp in place": lambda x: x.clamp_(min=0),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "threshold": lambda x: F.threshold(x, 0.0, 0.0),
    "maximum": lambda x: torch.maximum(x, torch.zeros(())),
    "ReLU6, never at its ceiling": F.relu6,
}


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU:UserWarning")
@pytest.mark.filterwarnings("ignore:Input Tensor .* did not already require gradients:UserWarning")
class TestCaptum:
    """captum finds `nn.ReLU` modules; where each is used once, it is right."""

    def test_guided(self, plain: nn.Module, images: Tensor) -> None:
        wanted = captum.GuidedBackprop(plain).attribute(images.clone().requires_grad_(), CLASS)
        got = guided_backpropagation(plain, images, CLASS)
        torch.testing.assert_close(got, wanted.detach(), rtol=0, atol=1e-5)
        assert not torch.allclose(got, gradient(plain, images, CLASS), atol=1e-4)

    def test_deconvnet(self, plain: nn.Module, images: Tensor) -> None:
        wanted = captum.Deconvolution(plain).attribute(images.clone().requires_grad_(), CLASS)
        torch.testing.assert_close(
            deconvnet(plain, images, CLASS), wanted.detach(), rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize("method", [guided_backpropagation, deconvnet])
def test_however_relu_is_written_the_map_is_the_same(
    how: str, method: Any, plain: nn.Sequential, images: Tensor, make_twin: Any
) -> None:
    network = make_twin(WRITTEN[how], plain)
    got, wanted = method(network, images, CLASS), method(plain, images, CLASS)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-7)


def test_guided_backpropagation_by_hand() -> None:
    """y = 2 relu(a) - 3 relu(b) with a = x1 + x2, b = x1 - x2 at x = (2, 1): both active; the -3 is cut."""
    network = nn.Sequential(
        nn.Conv2d(1, 2, (1, 2), bias=False), nn.ReLU(), nn.Conv2d(2, 1, 1, bias=False), nn.Flatten()
    )
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -1.0]]).view(2, 1, 1, 2))
        network[2].weight.copy_(torch.tensor([2.0, -3.0]).view(1, 2, 1, 1))
    x = torch.tensor([[[[2.0, 1.0]]]])
    assert gradient(network, x, 0).flatten().tolist() == [-1.0, 5.0]
    assert guided_backpropagation(network, x, 0).flatten().tolist() == [2.0, 2.0]
    # At x = (1, 2) the second unit is off: guided and gradient agree, and so does the deconvnet, for -3 < 0.
    x = torch.tensor([[[[1.0, 2.0]]]])
    assert gradient(network, x, 0).flatten().tolist() == [2.0, 2.0]
    assert deconvnet(network, x, 0).flatten().tolist() == [2.0, 2.0]
    # At x = (-2, -1) the first is off: the gradient is 0, and the deconvnet does not look at what was off.
    x = torch.tensor([[[[-2.0, -1.0]]]])
    assert guided_backpropagation(network, x, 0).flatten().tolist() == [0.0, 0.0]
    assert deconvnet(network, x, 0).flatten().tolist() == [2.0, 2.0]


UNCOVERED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "silu": (F.silu, r"silu in silu, silu#2"),
    "gelu": (F.gelu, "gelu"),
    "tanh": (torch.tanh, "tanh"),
    "leaky": (lambda x: F.leaky_relu(x, 0.1), "leakyrelu"),
    "hardtanh below 0": (F.hardtanh, "hardtanh"),
    "its own silu": (lambda x: x * torch.sigmoid(x), "sigmoid"),
    "a gate behind relu": (lambda x: F.relu(x) * torch.sigmoid(x.mean((2, 3), keepdim=True)), "sigmoid"),
    "a mask": (lambda x: x * (x > 0), "a product with a mask"),
    "where": (lambda x: torch.where(x > 0, x, 0.0), "where"),
    "a shifted clamp": (lambda x: x.clamp(min=-1), "clamp"),
    "softplus": (F.softplus, "softplus"),
    "squared relu, made of abs": (lambda x: (x + x.abs()) / 2, "abs"),
}  # fmt: skip


@pytest.mark.parametrize("how", UNCOVERED)
@pytest.mark.parametrize("method", [guided_backpropagation, deconvnet])
def test_an_activation_without_a_rule_is_refused_by_name(
    how: str, method: Any, plain: nn.Sequential, images: Tensor, make_twin: Any
) -> None:
    act, says = UNCOVERED[how]
    with pytest.raises(UsageError, match=f"has a rule for ReLU alone, and this network also computes .*{says}"):  # fmt: skip
        method(make_twin(act, plain), images, CLASS)


def test_without_relu_there_is_nothing_to_change(
    plain: nn.Sequential, images: Tensor, make_twin: Any
) -> None:
    with pytest.raises(UsageError, match="there is no ReLU between the target and the image"):
        guided_backpropagation(make_twin(lambda x: x * 2, plain), images, CLASS)


def test_a_softmax_at_the_end_belongs_to_the_question(plain: nn.Sequential, images: Tensor) -> None:
    network = nn.Sequential(plain, nn.Softmax(1)).eval()
    assert bool(guided_backpropagation(network, images, CLASS).any())


def test_weights_made_of_other_numbers_are_no_activations(images: Tensor) -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            weight = torch.tanh(self.weight - self.weight.mean((1, 2, 3), keepdim=True))
            return F.conv2d(x, weight, self.bias)

    torch.manual_seed(0)
    network = nn.Sequential(Standardised(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)).eval()
    network(images)
    assert bool(guided_backpropagation(network, images, 1).any())


class TestZeilerAndFergus:
    """Section 2.1 of the paper, written out: un-pool, rectify, filter with the transposed kernels."""

    def by_hand(self, net: nn.Sequential, x: Tensor, channel: int) -> tuple[Tensor, float]:
        conv1, conv2 = net[0], net[3]
        a = F.relu(F.conv2d(x, conv1.weight, conv1.bias))  # type: ignore[arg-type]
        pooled, switches = F.max_pool2d(a, 2, return_indices=True)
        b = F.relu(F.conv2d(pooled, conv2.weight, conv2.bias))  # type: ignore[arg-type]
        strongest = b[:, channel].max()
        only = torch.where(b == strongest, b, torch.zeros(()))
        only[:, [c for c in range(b.shape[1]) if c != channel]] = 0
        down = F.conv_transpose2d(F.relu(only), conv2.weight)  # type: ignore[arg-type]
        unpooled = F.max_unpool2d(down, switches, 2, output_size=a.shape[2:])
        return F.conv_transpose2d(F.relu(unpooled), conv1.weight)[0], float(strongest)  # type: ignore[arg-type]

    @pytest.mark.parametrize("channel", [0, 3, 5])
    def test_a_unit_is_projected_as_the_paper_says(self, channel: int) -> None:
        torch.manual_seed(3)
        net = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2),
        ).eval()  # fmt: skip
        x = torch.rand(1, 3, 16, 16)
        with torch.no_grad():
            wanted, activation = self.by_hand(net, x, channel)
        (found,) = project(net, x, "4", channel)
        assert found.activation == pytest.approx(activation, abs=1e-6)
        torch.testing.assert_close(found.pixels, wanted, rtol=0, atol=1e-5)
        inside = torch.zeros(16, 16, dtype=torch.bool)
        (top, bottom), (left, right) = found.field.box
        inside[top:bottom, left:right] = True
        assert not bool(found.pixels[:, ~inside].any())

    def test_overlapping_windows_place_a_value_instead_of_adding_it(self) -> None:
        """One maximum in two windows: un-pooled once, where backpropagation adds it twice."""
        net = nn.Sequential(nn.ReLU(), nn.MaxPool2d((1, 2), (1, 1)), nn.Flatten(), nn.Linear(2, 1, bias=False))  # fmt: skip
        nn.init.ones_(net[3].weight)  # type: ignore[arg-type]
        x = torch.tensor([[[[1.0, 5.0, 2.0]]]])
        assert deconvnet(net, x, 0).flatten().tolist() == [0.0, 2.0, 0.0]
        assert deconvnet(net, x, 0, switches=True).flatten().tolist() == [0.0, 1.0, 0.0]

    def test_contrast_normalisation_is_passed_unchanged(self) -> None:
        norm = nn.LocalResponseNorm(2, k=4.0)
        net = nn.Sequential(nn.ReLU(), norm, nn.Flatten(), nn.Linear(2, 1, bias=False))
        nn.init.ones_(net[3].weight)  # type: ignore[arg-type]
        x = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)
        assert deconvnet(net, x, 0, switches=True).flatten().tolist() == [1.0, 1.0]

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("nowhere", 0), "no layer is called 'nowhere'"),
            (("5", 12), r"5 has 12 channels, 0 to 11; got 12"),
        ],
    )
    def test_a_unit_that_does_not_exist(
        self, plain: nn.Sequential, images: Tensor, arguments: tuple[str, int], says: str
    ) -> None:
        with pytest.raises(UsageError, match=says):
            project(plain, images, *arguments)

    def test_a_place_and_a_rule_that_do_not_exist(
        self, plain: nn.Sequential, images: Tensor
    ) -> None:
        with pytest.raises(
            UsageError, match=r"5 has 9 x 7 positions, from \(0, 0\) on; got \(9, 0\)"
        ):
            project(plain, images, "5", 0, position=(9, 0))
        with pytest.raises(UsageError, match="there is no rule 'deconv'; there are guided"):
            project(plain, images, "5", 0, rule="deconv")


class Beside(nn.Module):
    """A score, and beside it the exponential of another number of the same features."""

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        self.plain = plain

    def forward(self, x: Tensor) -> Tensor:
        y = self.plain(x)
        return torch.cat([y, y.exp()], 1)


@pytest.mark.parametrize("method", [guided_backpropagation, deconvnet])
def test_an_activation_that_the_score_does_not_pass_through_changes_nothing(
    method: Callable[..., Tensor], plain: nn.Sequential, images: Tensor
) -> None:
    classes = plain(images).shape[1]
    made = method(Beside(plain), images, CLASS)
    assert torch.equal(made, method(plain, images, CLASS)) and made.abs().sum() > 0
    with pytest.raises(UsageError, match="exp"):
        method(Beside(plain), images, classes + CLASS)
