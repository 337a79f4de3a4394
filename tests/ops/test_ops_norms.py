"""Norms, dropout, activations, softmax and the linear layer: agreement with torch, forward and
backward."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from striate import ops
from striate.errors import UsageError

CASES = settings(max_examples=40, deadline=None)
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def check(
    by_torch: Callable[..., Tensor],
    leaves: list[Tensor],
    y: Tensor,
    backward: Callable[[Tensor], tuple[Tensor, ...]],
) -> None:
    """`y` is torch's f(*leaves), and `backward(dy)` its gradients."""
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    expected = by_torch(*leaves)
    torch.testing.assert_close(y, expected.detach(), **EXACT)
    dy = torch.randn_like(expected)
    gradients = torch.autograd.grad(expected, leaves, dy)
    for a, b in zip(backward(dy), gradients, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """x (N, C, *size), and a scale and a shift for each channel."""
    shape = [draw(st.integers(2, 5)), draw(st.integers(1, 4))]
    shape += draw(st.lists(st.integers(1, 4), max_size=3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    spread = 10.0 ** draw(st.integers(-2, 3))
    x = torch.randn(shape, generator=generator, dtype=torch.float64) * spread + 3
    return x, *(torch.randn(shape[1], generator=generator).double() for _ in range(2))


@given(batches())
@CASES
def test_batch_norm(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    x, scale, shift = batch
    out = ops.batch_norm(x, scale, shift)
    leaves = [leaf.clone().requires_grad_() for leaf in batch]
    expected = F.batch_norm(leaves[0], None, None, leaves[1], leaves[2], training=True)
    torch.testing.assert_close(out.y, expected.detach(), **EXACT)
    dy = torch.randn_like(x)
    found = ops.batch_norm_backward(dy, x, scale)
    for a, b in zip(found, torch.autograd.grad(expected, leaves, dy), strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def test_batch_norm_at_unit_spread_agrees_to_1e10() -> None:
    x, scale, shift = torch.randn(6, 3, 4, 4).double(), torch.randn(3).double(), torch.ones(3)
    check(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        [x, scale, shift.double()],
        ops.batch_norm(x, scale, shift.double()).y,
        lambda dy: tuple(ops.batch_norm_backward(dy, x, scale)),
    )


@given(batches())
@CASES
def test_batch_norm_in_inference(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    x, scale, shift = batch
    mean, var = torch.randn_like(scale), torch.rand_like(scale) + 0.1
    torch.testing.assert_close(
        ops.batch_norm_inference(x, mean, var, scale, shift),
        F.batch_norm(x, mean, var, scale, shift),
        **EXACT,
    )


def test_batch_norm_running_statistics_are_torchs() -> None:
    """torch keeps the unbiased variance and normalises with the biased one."""
    layer = torch.nn.BatchNorm2d(3).double()
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    layer(x)
    out = ops.batch_norm(x, torch.ones(3).double(), torch.zeros(3).double())
    count = x.numel() // 3
    torch.testing.assert_close(
        ops.running_average(torch.zeros(3).double(), out.mean), layer.running_mean
    )
    torch.testing.assert_close(
        ops.running_average(torch.ones(3).double(), out.var * count / (count - 1)),
        layer.running_var,
    )


def test_dataset_moments_are_those_of_all_batches_together() -> None:
    """Lecture 001: in inference, the statistics of the entire dataset."""
    data = torch.randn(10, 3, 4, 4, dtype=torch.float64) + 2
    mean, var = ops.dataset_moments(data.split([3, 1, 6]))
    torch.testing.assert_close(mean, data.mean((0, 2, 3)))
    torch.testing.assert_close(var, data.var((0, 2, 3), unbiased=False))


def test_norm_before_and_after_the_activation_differ() -> None:
    """Lecture 001, "BN for Fully Connected Layers": phi(BN(Wx + b)) and BN(phi(Wx + b))."""
    a = torch.randn(8, 4, dtype=torch.float64)
    one, zero = torch.ones(4).double(), torch.zeros(4).double()
    before = ops.normalised_layer(a, ops.relu, one, zero, norm="before")
    after = ops.normalised_layer(a, ops.relu, one, zero, norm="after")
    torch.testing.assert_close(before, F.relu(F.batch_norm(a, None, None, training=True)))
    torch.testing.assert_close(after, F.batch_norm(F.relu(a), None, None, training=True))
    assert before.min() == 0
    assert after.min() < 0, "what is normalised last is centred"


@given(batches())
@CASES
def test_layer_norm(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    x = batch[0]
    scale, shift = torch.randn(2, *x.shape[1:], dtype=torch.float64)
    out = ops.layer_norm(x, scale, shift)
    leaves = [leaf.clone().requires_grad_() for leaf in (x, scale, shift)]
    expected = F.layer_norm(leaves[0], x.shape[1:], leaves[1], leaves[2])
    torch.testing.assert_close(out.y, expected.detach(), **EXACT)
    dy = torch.randn_like(x)
    found = ops.layer_norm_backward(dy, x, scale)
    for a, b in zip(found, torch.autograd.grad(expected, leaves, dy), strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def test_layer_norm_at_unit_spread_agrees_to_1e10() -> None:
    x = torch.randn(5, 3, 4, dtype=torch.float64)
    scale, shift = torch.randn(2, 3, 4, dtype=torch.float64)
    check(
        lambda x, w, b: F.layer_norm(x, (3, 4), w, b),
        [x, scale, shift],
        ops.layer_norm(x, scale, shift).y,
        lambda dy: tuple(ops.layer_norm_backward(dy, x, scale)),
    )


def test_layer_norm_does_not_see_the_batch() -> None:
    x = torch.randn(5, 4, dtype=torch.float64)
    one, zero = torch.ones(4).double(), torch.zeros(4).double()
    together = ops.layer_norm(x, one, zero)
    torch.testing.assert_close(together.y[2:3], ops.layer_norm(x[2:3], one, zero).y)
    assert together.mean.shape == together.var.shape == (5,), "two scalars an observation"


def test_dropout_keeps_the_mean_and_is_its_own_gradient() -> None:
    x = torch.randn(200, 50, dtype=torch.float64) + 5
    keep = ops.dropout_mask((200, 50), 0.4, torch.Generator().manual_seed(7))
    assert abs(keep.mean() - 0.6) < 0.02
    y = ops.dropout(x, keep, 0.4)
    assert abs(y.mean() - x.mean()) < 0.2
    gradient = ops.numerical_gradient(lambda t: ops.dropout(t, keep[0], 0.4).sum(), x[0])
    torch.testing.assert_close(
        gradient, ops.dropout(torch.ones(50).double(), keep[0], 0.4), rtol=1e-5, atol=1e-5
    )


def test_dropout_of_whole_channels() -> None:
    x = torch.ones(2, 3, 2, 2, dtype=torch.float64)
    keep = torch.tensor([[1.0, 0, 1], [0, 1, 1]])[..., None, None]
    y = ops.dropout(x, keep, 0.5)
    assert y.amax((2, 3)).tolist() == y.amin((2, 3)).tolist() == [[2, 0, 2], [0, 2, 2]]


@given(st.integers(0, 2**32 - 1), st.floats(-4, 4))
@CASES
def test_softmax(seed: int, tau: float) -> None:
    z = torch.randn(3, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 4
    check(
        lambda z: F.softmax(tau * z, -1),
        [z],
        ops.softmax(z, tau),
        lambda dy: (ops.softmax_backward(dy, z, tau),),
    )


def test_softmax_temperature() -> None:
    z = torch.tensor([1.0, 2.0, 3.0]).double()
    torch.testing.assert_close(ops.softmax(z, 0.0), torch.full((3,), 1 / 3).double())
    assert ops.softmax(z, 50.0)[2] > 0.999
    assert torch.equal(ops.softmax(torch.tensor([1e4, 0.0])), torch.tensor([1.0, 0.0]))


@given(st.integers(0, 2**32 - 1))
@CASES
def test_cross_entropy(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(4, 3, generator=generator, dtype=torch.float64) * 10
    labels = torch.randint(3, (4,), generator=generator)
    check(
        lambda z: F.cross_entropy(z, labels),
        [z],
        ops.cross_entropy(z, labels),
        lambda dy: (dy * ops.cross_entropy_backward(z, labels),),
    )


@given(st.integers(0, 2**32 - 1))
@CASES
def test_linear(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, w, b = (torch.randn(s, generator=generator).double() for s in [(3, 4), (2, 4), (2,)])
    check(F.linear, [x, w, b], ops.linear(x, w, b), lambda dy: tuple(ops.linear_backward(dy, x, w)))


ACTIVATIONS = {
    "relu": (F.relu, ops.relu, ops.relu_backward),
    "sigmoid": (torch.sigmoid, ops.sigmoid, ops.sigmoid_backward),
    "tanh": (torch.tanh, ops.tanh, ops.tanh_backward),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    by_torch, forward, backward = ACTIVATIONS[name]
    x = torch.cat([torch.randn(50).double() * 5, torch.tensor([0.0, 800.0, -800.0]).double()])
    check(by_torch, [x], forward(x), lambda dy: (backward(dy, x),))


def test_three_rules_back_through_a_relu() -> None:
    """Lecture 002, "Guided Backpropagation": forward clamps, backward clamps, both."""
    x = torch.tensor([1.0, -1.0, 1.0, -1.0])
    dy = torch.tensor([2.0, 2.0, -2.0, -2.0])
    assert ops.relu_backward(dy, x).tolist() == [2, 0, -2, 0]
    assert ops.relu_backward(dy, x, "deconvnet").tolist() == [2, 2, 0, 0]
    assert ops.relu_backward(dy, x, "guided").tolist() == [2, 0, 0, 0]


one = torch.ones(3)
FAULTS = {
    "single": (lambda: ops.batch_norm(one[None], one, one), r"more than one value a channel"),
    "none": (lambda: ops.dataset_moments([]), r"at least one batch, got none"),
    "where": (
        lambda: ops.normalised_layer(one, ops.relu, one, one, norm="during"),
        r"'before' or 'after' the activation, got 'during'",
    ),
    "dropout": (lambda: ops.dropout(one, one, 1.0), r"p must be at least 0 and less than 1, got 1"),
    "rule": (lambda: ops.relu_backward(one, one, "magic"), r"one of gradient, deconvnet, guided"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_say_what_and_how(name: str) -> None:
    call, message = FAULTS[name]
    with pytest.raises(UsageError, match=message):
        call()
