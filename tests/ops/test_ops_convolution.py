"""Convolution: agreement with torch, of the four forms with each other, and the laws it obeys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.signal
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from striate import ops
from striate.errors import UsageError

CASES = settings(max_examples=60, deadline=None)
EXACT = {"rtol": 1e-10, "atol": 1e-10}
FORWARD = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TORCH_MODE = {
    "zeros": "constant",
    "replicate": "replicate",
    "reflect": "reflect",
    "circular": "circular",
}
FORMS = {
    "sums": ops.conv,
    "im2col": ops.conv_im2col,
    "matrix": ops.conv_by_matrix,
    "Fourier": ops.conv_fourier,
}


@dataclass(frozen=True)
class Layer:
    """One drawn layer with its input."""

    x: Tensor
    weight: Tensor
    bias: Tensor
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    padding_mode: str

    @property
    def settings(self) -> dict[str, object]:
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
            "padding_mode": self.padding_mode,
        }

    def by_torch(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        widths = [p for p in reversed(self.padding) for _ in "ab"]
        if any(widths):
            x = F.pad(x, widths, mode=TORCH_MODE[self.padding_mode])
        return FORWARD[len(self.stride)](
            x, weight, bias, stride=self.stride, dilation=self.dilation, groups=self.groups
        )


@st.composite
def layers(draw: st.DrawFn, most_dims: int = 3) -> Layer:
    dims = draw(st.integers(1, most_dims))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(dims))

    small = dims == 3
    kernel, dilation, stride = each(1, 2 if small else 3), each(1, 2), each(1, 3)
    padding = each(0, 2)
    size = tuple(
        draw(st.integers(max(d * (k - 1) + 1, p + 1), 5 if small else 7))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, outputs = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    mode = draw(st.sampled_from(list(TORCH_MODE)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Layer(
        randn(draw(st.integers(1, 2)), channels, *size),
        randn(outputs, channels // groups, *kernel),
        randn(outputs),
        stride,
        padding,
        dilation,
        groups,
        mode,
    )


@given(layers())
@CASES
def test_four_forms_agree_with_torch(layer: Layer) -> None:
    expected = layer.by_torch(layer.x, layer.weight, layer.bias)
    for name, form in FORMS.items():
        y = form(layer.x, layer.weight, layer.bias, **layer.settings)
        torch.testing.assert_close(y, expected, **EXACT, msg=lambda m, n=name: f"{n}: {m}")


@given(layers())
@CASES
def test_gradients_agree_with_torch(layer: Layer) -> None:
    leaves = [t.clone().requires_grad_() for t in (layer.x, layer.weight, layer.bias)]
    y = layer.by_torch(*leaves)
    dy = torch.randn_like(y)
    expected = torch.autograd.grad(y, leaves, dy)
    found = ops.conv_backward(dy, layer.x, layer.weight, **layer.settings)
    for name, a, b in zip(found._fields, found, expected, strict=True):
        torch.testing.assert_close(a, b, **EXACT, msg=lambda m, n=name: f"{n}: {m}")


@given(layers(most_dims=2))
@settings(max_examples=15, deadline=None)
def test_gradients_agree_with_numerical_ones(layer: Layer) -> None:
    dy = torch.randn_like(ops.conv(layer.x, layer.weight, layer.bias, **layer.settings))

    def loss(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return (ops.conv(x, weight, bias, **layer.settings) * dy).sum()

    found = ops.conv_backward(dy, layer.x, layer.weight, **layer.settings)
    by_x = ops.numerical_gradient(lambda x: loss(x, layer.weight, layer.bias), layer.x)
    by_weight = ops.numerical_gradient(lambda w: loss(layer.x, w, layer.bias), layer.weight)
    by_bias = ops.numerical_gradient(lambda b: loss(layer.x, layer.weight, b), layer.bias)
    for a, b in zip(found, (by_x, by_weight, by_bias), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


@given(layers(most_dims=2))
@CASES
def test_matrix_and_its_transpose_are_adjoint(layer: Layer) -> None:
    """<M x, y> = <x, M^T y>, so backpropagation for the input is the transposed matrix."""
    matrix = ops.conv_matrix(layer.weight, layer.x.shape[2:], **layer.settings)
    x = layer.x[:1]
    dy = torch.randn_like(ops.conv(x, layer.weight, **layer.settings))
    dx = ops.conv_backward(dy, x, layer.weight, **layer.settings).x
    np.testing.assert_allclose(
        matrix.T @ dy.flatten().numpy(), dx.flatten().numpy(), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding_is_that_of_torch(kernel: int, dilation: int) -> None:
    x, w = torch.randn(1, 2, 11, dtype=torch.float64), torch.randn(3, 2, kernel).double()
    y = ops.conv(x, w, padding="same", dilation=dilation)
    torch.testing.assert_close(y, F.conv1d(F.pad(x, _same(kernel, dilation)), w, dilation=dilation))
    assert y.shape[-1] == 11


def _same(kernel: int, dilation: int) -> tuple[int, int]:
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2


def test_full_and_valid_padding_words() -> None:
    x, w = torch.randn(1, 1, 6, 5).double(), torch.randn(1, 1, 3, 2).double()
    assert ops.conv(x, w, padding="full").shape == (1, 1, 8, 6)
    assert ops.conv(x, w, padding="valid").shape == (1, 1, 4, 4)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize(
    "shapes", [((7,), (3,)), ((7,), (4,)), ((5, 6), (2, 3)), ((3, 4, 5), (2, 1, 3))], ids=str
)
def test_signals_agree_with_scipy(mode: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    x, k = (torch.randn(*shape, dtype=torch.float64) for shape in shapes)
    convolved = scipy.signal.convolve(x.numpy(), k.numpy(), mode=mode, method="direct")
    correlated = scipy.signal.correlate(x.numpy(), k.numpy(), mode=mode, method="direct")
    np.testing.assert_allclose(ops.convolve(x, k, mode), convolved, atol=1e-12)
    np.testing.assert_allclose(ops.correlate(x, k, mode), correlated, atol=1e-12)


@given(st.integers(1, 3), st.integers(0, 2**32 - 1))
@CASES
def test_flipping_the_kernel_turns_one_into_the_other(dims: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn([4] * dims, generator=generator, dtype=torch.float64)
    k = torch.randn([3] * dims, generator=generator, dtype=torch.float64)
    for mode in ("full", "same", "valid"):
        torch.testing.assert_close(ops.correlate(x, k, mode), ops.convolve(x, ops.flip(k), mode))


@given(st.integers(0, 2**32 - 1))
@CASES
def test_true_convolution_is_associative_and_commutative(seed: int) -> None:
    """Lecture 002, "Cross-Correlation vs Convolution": (A * B) * C = A * (B * C)."""
    generator = torch.Generator().manual_seed(seed)
    a, b, c = (torch.randn(s, generator=generator).double() for s in [(5, 4), (3, 2), (2, 3)])
    torch.testing.assert_close(
        ops.convolve(ops.convolve(a, b), c), ops.convolve(a, ops.convolve(b, c)), **EXACT
    )
    torch.testing.assert_close(ops.convolve(a, b), ops.convolve(b, a), **EXACT)


def test_cross_correlation_is_neither_associative_nor_commutative() -> None:
    a, b, c = (torch.tensor(v).double() for v in ([1, 2, 4], [1, 3], [2, 5]))
    left = ops.correlate(ops.correlate(a, b, "full"), c, "full")
    right = ops.correlate(a, ops.correlate(b, c, "full"), "full")
    assert not torch.allclose(left, right)
    assert not torch.allclose(ops.correlate(a, b, "full"), ops.correlate(b, a, "full"))


@given(st.integers(0, 2**32 - 1))
@CASES
def test_centred_sums_are_the_same_mode(seed: int) -> None:
    """Lecture 002's formulas with u, v from -k to k."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    kernel = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(
        ops.correlate_centred(image, kernel), ops.correlate(image, kernel, "same"), **EXACT
    )
    torch.testing.assert_close(
        ops.convolve_centred(image, kernel), ops.convolve(image, kernel, "same"), **EXACT
    )
    torch.testing.assert_close(
        ops.convolve_centred(image, kernel), ops.correlate_centred(image, ops.flip(kernel)), **EXACT
    )


@pytest.mark.parametrize("shape", [(1,), (7,), (8, 5), (3, 4, 6)], ids=str)
def test_fourier_matrix_agrees_with_the_fft(shape: tuple[int, ...]) -> None:
    x = torch.randn(*shape, dtype=torch.float64)
    spectrum = ops.dft(x, len(shape))
    torch.testing.assert_close(spectrum, torch.fft.fftn(x), **EXACT)
    torch.testing.assert_close(ops.inverse_dft(spectrum, len(shape)).real, x, **EXACT)


def test_convolution_theorem() -> None:
    x, k = torch.randn(6, 5, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(ops.convolve_fourier(x, k), ops.convolve(x, k), **EXACT)


def test_im2col_and_col2im_are_those_of_torch() -> None:
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64)
    columns = ops.im2col(x, (3, 2), stride=2, dilation=(1, 2))
    torch.testing.assert_close(columns, F.unfold(x, (3, 2), dilation=(1, 2), stride=2))
    torch.testing.assert_close(
        ops.col2im(columns, (7, 6), (3, 2), stride=2, dilation=(1, 2)),
        F.fold(columns, (7, 6), (3, 2), dilation=(1, 2), stride=2),
    )


def test_toeplitz_matrix_is_scipys() -> None:
    from scipy.linalg import toeplitz

    matrix = ops.toeplitz([5, 4, 3, 2, 1, 7, 8], rows=4)
    np.testing.assert_array_equal(matrix.toarray(), toeplitz([2, 3, 4, 5], [2, 1, 7, 8]))


def test_one_dimensional_matrix_is_toeplitz_and_two_dimensional_is_blocked() -> None:
    row = ops.conv_matrix(torch.tensor([[[1.0, 2.0, 3.0]]]), [6], padding=1).toarray()
    assert all(len(set(np.diagonal(row, o))) == 1 for o in range(-5, 6))
    plane = ops.conv_matrix(torch.arange(1.0, 10).reshape(1, 1, 3, 3), [4, 4], padding=1).toarray()
    blocks = plane.reshape(4, 4, 4, 4).transpose(0, 2, 1, 3)  # block row, block column, row, column
    for i in range(3):
        for j in range(3):
            np.testing.assert_array_equal(blocks[i, j], blocks[i + 1, j + 1])
    assert all(len(set(np.diagonal(blocks[1, 1], o))) == 1 for o in range(-3, 4))


def test_a_circular_layer_is_a_circulant_matrix() -> None:
    matrix = ops.conv_matrix(
        torch.tensor([[[1.0, 2.0, 3.0]]]), [5], padding=1, padding_mode="circular"
    ).toarray()
    for row in range(4):
        np.testing.assert_array_equal(np.roll(matrix[row], 1), matrix[row + 1])


def test_averaged_shared_gradient_is_the_mean_over_windows() -> None:
    x, w = torch.randn(2, 2, 5, 5).double(), torch.randn(3, 2, 2, 2).double()
    dy = torch.randn(2, 3, 4, 4).double()
    summed = ops.conv_backward(dy, x, w)
    averaged = ops.conv_backward(dy, x, w, average=True)
    torch.testing.assert_close(averaged.weight * 16, summed.weight)
    torch.testing.assert_close(averaged.bias * 16, summed.bias)
    torch.testing.assert_close(averaged.x, summed.x)


x4, w3 = torch.zeros(1, 2, 4, 4), torch.zeros(6, 2, 3, 3)
FAULTS = {
    "groups": (
        lambda: ops.conv(torch.zeros(1, 32, 4, 4), torch.zeros(64, 6, 3, 3), groups=5),
        r"groups must divide in_channels and out_channels, got groups=5, in_channels=32, "
        r"out_channels=64; use 1, 2, 4, 8, 16 or 32",
    ),
    "depth": (lambda: ops.conv(x4, torch.zeros(6, 3, 3, 3)), r"make weight\.shape\[1\] 2"),
    "axes": (lambda: ops.conv(x4[0], w3), r"add the missing axes with unsqueeze"),
    "kernel": (lambda: ops.conv(x4, torch.zeros(1, 2, 5, 5)), r"fits nowhere in \(4, 4\)"),
    "stride": (lambda: ops.conv(x4, w3, stride=0), r"stride must be .* at least 1, got 0"),
    "word": (lambda: ops.conv(x4, w3, padding="half"), r"one of valid, same, full, got 'half'"),
    "same": (lambda: ops.conv(x4, w3, padding="same", stride=2), r"only at stride 1"),
    "mode": (lambda: ops.conv(x4, w3, padding=1, padding_mode="mirror"), r"one of zeros, replic"),
    "reflect": (
        lambda: ops.conv(x4, w3, padding=4, padding_mode="reflect"),
        r"'reflect' can add at most 3 pixels to an axis of 4, got 4",
    ),
    "negative": (lambda: ops.conv(x4, w3, padding=-1), r"padding must be 0 or more"),
    "dy": (lambda: ops.conv_backward(x4, x4, w3), r"expected \(1, 6, 2, 2\)"),
    "signal mode": (lambda: ops.correlate(x4, x4, "half"), r"one of full, same, valid, got 'half'"),
    "signal axes": (lambda: ops.convolve(x4, w3[0]), r"as many axes, got 4 and 3"),
    "valid": (lambda: ops.convolve(torch.ones(2), torch.ones(3), "valid"), r"use mode 'full'"),
    "centred": (lambda: ops.correlate_centred(x4[0, 0], w3[0, 0, :2, :2]), r"odd square kernel"),
    "fourier": (lambda: ops.convolve_fourier(x4, w3[0]), r"as many axes, got 4 and 3"),
    "toeplitz": (lambda: ops.toeplitz([1.0], 2), r"needs at least 2 values, got 1"),
    "rows": (lambda: ops.matrix_rows(ops.conv_matrix(w3, [9, 9])), r"162 columns fits on no page"),
    "shared": (lambda: ops.shared_gradient([]), r"at least one place, got none"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_say_what_and_how(name: str) -> None:
    call, message = FAULTS[name]
    with pytest.raises(UsageError, match=message):
        call()
