"""Locally connected layers: a convolution whose kernels differ from place to place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate import ops
from striate.errors import UsageError
from striate.nn import LocallyConnected1d, LocallyConnected2d

# kernel_size, stride, padding, dilation, input_size
CASES = [
    (3, 1, 0, 1, (5, 6)),
    ((1, 2), (2, 3), (0, 1), 1, (5, 6)),
    (2, 2, 1, 2, (6, 5)),
    (5, 1, 2, 1, (4, 4)),
]


def loops(layer: LocallyConnected2d, x: Tensor) -> Tensor:
    """The definition: one dot product a position, each with that position's own weights."""
    (ph, pw), (sh, sw), (dh, dw) = layer.padding, layer.stride, layer.dilation
    kh, kw = layer.kernel_size
    height, width = layer.output_size
    padded = x.new_zeros(*x.shape[:2], x.shape[2] + 2 * ph, x.shape[3] + 2 * pw)
    padded[..., ph : ph + x.shape[2], pw : pw + x.shape[3]] = x
    y = x.new_zeros(len(x), layer.out_channels, height, width)
    for i in range(height):
        for j in range(width):
            window = padded[
                ...,
                i * sh : i * sh + dh * (kh - 1) + 1 : dh,
                j * sw : j * sw + dw * (kw - 1) + 1 : dw,
            ]
            weight = layer.weight[i * width + j].unflatten(1, (layer.in_channels, kh, kw))
            y[..., i, j] = (window[:, None] * weight).sum((-3, -2, -1))
            if layer.bias is not None:
                y[..., i, j] += layer.bias[:, i, j]
    return y


def make(case: tuple, *, bias: bool = True) -> LocallyConnected2d:
    kernel, stride, padding, dilation, size = case
    return LocallyConnected2d(
        2, 3, kernel, stride, padding, dilation, bias, input_size=size
    ).double()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_is_one_dot_product_for_each_position(case: tuple, bias: bool) -> None:
    torch.manual_seed(0)
    layer = make(case, bias=bias)
    x = torch.randn(2, 2, *case[-1], dtype=torch.float64)
    torch.testing.assert_close(layer(x), loops(layer, x))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_with_one_kernel_everywhere_it_is_a_convolution(case: tuple) -> None:
    torch.manual_seed(1)
    kernel, stride, padding, dilation, size = case
    conv = nn.Conv2d(2, 3, kernel, stride, padding, dilation, dtype=torch.float64)
    layer = make(case)
    layer.share(conv.weight, conv.bias)
    x = torch.randn(2, 2, *size, dtype=torch.float64)
    torch.testing.assert_close(layer(x), conv(x))
    layer.share(conv.weight)
    torch.testing.assert_close(layer(x), conv(x) - conv.bias.view(-1, 1, 1))


def test_one_dimension_with_one_kernel_everywhere_is_a_convolution() -> None:
    torch.manual_seed(2)
    conv = nn.Conv1d(2, 3, 3, stride=2, padding=1, dilation=2, dtype=torch.float64)
    layer = LocallyConnected1d(2, 3, 3, 2, 1, 2, input_size=9).double()
    layer.share(conv.weight, conv.bias)
    x = torch.randn(2, 2, 9, dtype=torch.float64)
    torch.testing.assert_close(layer(x), conv(x))
    assert layer.weight.shape == (4, 3, 6)
    assert layer.bias is not None
    assert layer.bias.shape == (3, 4)
    assert LocallyConnected1d(1, 1, 2, bias=False, input_size=4).bias is None


def test_is_not_equivariant_before_its_weights_are_shared() -> None:
    torch.manual_seed(3)
    layer = make((3, 1, 0, 1, (8, 8)))
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    moved = torch.roll(x, (1, 1), (2, 3))
    inner = (..., slice(1, None), slice(1, None)), (..., slice(None, -1), slice(None, -1))
    assert (layer(moved)[inner[0]] - layer(x)[inner[1]]).abs().max() > 0.1
    layer.share(layer.weight[0].clone())
    torch.testing.assert_close(layer(moved)[inner[0]], layer(x)[inner[1]])


def test_connects_as_the_matrix_of_the_definition_does() -> None:
    # 4 x 4 pixels, 3 x 3 windows: 2 x 2 positions of 9 weights (lecture 003, "Locally connected
    # network")
    layer = LocallyConnected2d(1, 1, 3, bias=False, input_size=4).double()
    assert sum(p.numel() for p in layer.parameters()) == 36
    x = torch.eye(16, dtype=torch.float64).reshape(16, 1, 4, 4)
    answers = layer(x).flatten(1).T.detach()  # column i is the answer to pixel i
    defined = ops.layer_matrix("locally connected", (4, 4), (3, 3))
    matrix = defined.filled(layer.weight.flatten().tolist()).toarray()
    torch.testing.assert_close(answers, torch.from_numpy(matrix))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients(case: tuple) -> None:
    torch.manual_seed(4)
    layer = make(case)
    x = torch.randn(1, 2, *case[-1], dtype=torch.float64, requires_grad=True)

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(run, (x, layer.weight, layer.bias), fast_mode=True)


def test_says_what_is_wrong() -> None:
    with pytest.raises(UsageError, match=r"kernel_size is one number or two.*got 0"):
        LocallyConnected2d(1, 1, 0, input_size=4)
    with pytest.raises(UsageError, match=r"larger than the padded image.*input_size=\(4, 4\)"):
        LocallyConnected2d(1, 1, 5, input_size=4)
    with pytest.raises(UsageError, match=r"1 channels of 4 x 4 pixels, got \(1, 1, 5, 4\)"):
        LocallyConnected2d(1, 1, 3, input_size=4)(torch.zeros(1, 1, 5, 4))
    assert "input_size=(4, 4)" in repr(LocallyConnected2d(1, 1, 3, input_size=4))
