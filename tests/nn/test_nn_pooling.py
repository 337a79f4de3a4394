"""L2 pooling, pooling over channels, and anti-aliased pooling."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate import ops
from striate.errors import UsageError
from striate.nn import BlurPool2d, ChannelPool, L2Pool2d, MaxBlurPool2d, Maxout
from striate.nn.blurring import binomial

MODES = ["reflect", "replicate", "circular", "zeros"]


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), ((2, 3), (1, 2), (1, 0))]
)
def test_l2_pooling_is_each_windows_length(kernel, stride, padding) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    expected = ops.l2_pool(x, kernel, stride=stride, padding=padding)
    torch.testing.assert_close(L2Pool2d(kernel, stride, padding)(x), expected)


def test_l2_pooling_by_hand() -> None:
    x = torch.tensor([[[[3.0, 4.0, 0.0], [0.0, 0.0, 5.0]]]])
    assert L2Pool2d(2, ceil_mode=True)(x).tolist() == [[[[5.0, 5.0]]]]
    assert L2Pool2d((1, 2), 1)(x).tolist() == [[[[5.0, 4.0], [0.0, 5.0]]]]


def test_l2_pooling_of_zeros_has_gradient_zero_as_its_definition_says() -> None:
    x = torch.zeros(1, 1, 2, 4, dtype=torch.float64, requires_grad=True)
    y = L2Pool2d(2)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, ops.l2_pool_backward(torch.ones_like(y), x.detach(), 2))
    assert not gradient.any()


def test_l2_pooling_gradients() -> None:
    torch.manual_seed(1)
    x = torch.randn(1, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(L2Pool2d(3, 2, 1), (x,))


def test_maxout_takes_the_largest_of_neighbouring_channels() -> None:
    x = torch.tensor([[1.0, 5.0, -2.0, -3.0]])
    assert Maxout(2)(x).tolist() == [[5.0, -2.0]]
    assert ChannelPool(4, "avg")(x).tolist() == [[0.25]]
    assert ChannelPool(2, "l2")(torch.tensor([[3.0, 4.0, 0.0, -2.0]])).tolist() == [[5.0, 2.0]]


def test_maxout_agrees_with_its_definition_forward_and_backward() -> None:
    torch.manual_seed(2)
    x = torch.randn(2, 6, 4, 3, dtype=torch.float64, requires_grad=True)
    expected = ops.maxout(x.detach(), 3)
    y = Maxout(3)(x)
    torch.testing.assert_close(y, expected.y)
    dy = torch.randn_like(y)
    (dx,) = torch.autograd.grad(y, x, dy)
    torch.testing.assert_close(dx, ops.maxout_backward(dy, expected.indices, 6))


def test_pooling_over_rotated_filters_ignores_rotation() -> None:
    # Lecture 003: filters that are rotated copies, pooled over channels, answer alike to a rotated
    # image.
    torch.manual_seed(3)
    kernel = torch.randn(3, 3, dtype=torch.float64)
    conv = nn.Conv2d(1, 4, 3, bias=False).double()
    conv.weight.data = torch.stack([torch.rot90(kernel, i) for i in range(4)])[:, None]
    unit = nn.Sequential(conv, Maxout(4), nn.AdaptiveMaxPool2d(1))
    x = torch.randn(1, 1, 9, 9, dtype=torch.float64)
    for turns in (1, 2, 3):
        torch.testing.assert_close(unit(torch.rot90(x, turns, (2, 3))), unit(x))


@pytest.mark.parametrize("mode", ["max", "avg", "l2"])
def test_channel_pooling_gradients(mode) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(4)
    x = torch.randn(2, 6, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ChannelPool(3, mode), (x,))


def test_channel_pooling_says_what_is_wrong() -> None:
    with pytest.raises(
        UsageError, match=r"Maxout: kernel_size must divide.*=4, 6 channels; use 1, 2, 3, 6"
    ):
        Maxout(4)(torch.zeros(1, 6, 2, 2))
    with pytest.raises(UsageError, match=r"at least 1, got 0"):
        ChannelPool(0)
    with pytest.raises(UsageError, match=r"'max', 'avg' or 'l2', got 'sum'"):
        ChannelPool(2, "sum")  # type: ignore[arg-type]


def test_binomial_rows_by_hand() -> None:
    # Zhang (2019), section 3.2: Triangle-3 is 1 2 1, Binomial-5 is 1 4 6 4 1
    assert (binomial(3) * 4).tolist() == [1, 2, 1]
    assert (binomial(5) * 16).tolist() == [1, 4, 6, 4, 1]


def blur_by_loops(x: Tensor, size: int, stride: int) -> Tensor:
    """Zero padding written out: weights that fall outside of the image meet zeros."""
    row, before = binomial(size), (size - 1) // 2
    height, width = x.shape[-2:]
    y = torch.zeros(*x.shape[:2], -(-height // stride), -(-width // stride), dtype=x.dtype)
    for i in range(y.shape[-2]):
        for j in range(y.shape[-1]):
            for a in range(size):
                for b in range(size):
                    r, c = i * stride + a - before, j * stride + b - before
                    if 0 <= r < height and 0 <= c < width:
                        y[..., i, j] += row[a] * row[b] * x[..., r, c]
    return y


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_blur_pooling_is_the_weighted_sum_of_its_definition(size: int, stride: int) -> None:
    torch.manual_seed(5)
    x = torch.randn(2, 3, 7, 8, dtype=torch.float64)
    layer = BlurPool2d(size, stride, "zeros").double()
    torch.testing.assert_close(layer(x), blur_by_loops(x, size, stride))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [2, 3, 5])
def test_blur_pooling_leaves_a_constant_image_as_it_is(mode, size: int) -> None:  # type: ignore[no-untyped-def]
    y = BlurPool2d(size, 2, mode)(torch.ones(1, 2, 9, 9))
    assert y.shape == (1, 2, 5, 5)
    inner = y[..., 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.ones_like(inner))
    assert bool((y[..., 0, 0] < 1).all()) == (mode == "zeros" and size > 2)


def test_blurred_max_pooling_minds_a_shift_less_than_plain_max_pooling() -> None:
    torch.manual_seed(6)
    x = torch.randn(8, 4, 32, 32)
    moved = torch.roll(x, 1, -1)

    def change(pool: nn.Module) -> float:
        a, b = pool(x), pool(moved)
        return float(((a - b)[..., 2:-2].square().mean() / a.var()).sqrt())

    plain, blurred = change(nn.MaxPool2d(2)), change(MaxBlurPool2d(2, blur=5))
    assert blurred < 0.75 * plain  # the same pictures: neither time nor chance enters


def test_blur_pooling_has_no_weights_and_stores_nothing() -> None:
    layer = MaxBlurPool2d()
    assert not list(layer.parameters())
    assert not layer.state_dict()
    assert layer(torch.zeros(1, 2, 8, 6)).shape == (1, 2, 4, 3)


def test_blur_pooling_gradients() -> None:
    torch.manual_seed(7)
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(BlurPool2d().double(), (x,))


def test_blur_pooling_says_what_is_wrong() -> None:
    with pytest.raises(UsageError, match=r"at least 1, got 3 and 0"):
        BlurPool2d(3, 0)
    with pytest.raises(UsageError, match=r"padding_mode is 'reflect'.*got 'mirror'"):
        BlurPool2d(padding_mode="mirror")  # type: ignore[arg-type]
    assert "kernel_size=3, stride=2" in repr(BlurPool2d())
    assert "mode='max'" in repr(Maxout(2))
    assert "kernel_size=2, stride=2" in repr(L2Pool2d(2))
