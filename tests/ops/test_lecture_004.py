"""Every worked example of lecture 004, "Introduction to CNNs", at its place; misprints are said
here.
"""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
import pytest
import torch
from torch import Tensor

from striate import ops


def tensor(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_inputs_of_a_fully_connected_network() -> None:
    """Section 2: 28 x 28 x 3 = 2352, 300 x 300 x 3 = 270,000.

    The lecture calls them neurons of the first layer; they are its inputs, and the weights of each
    of its neurons. It also calls 28 x 28 x 3 MNIST; MNIST is grey, 28 x 28 x 1 = 784.
    """
    assert ops.weights_of_one_neuron((28, 28, 3)) == 2_352
    assert ops.weights_of_one_neuron((300, 300, 3)) == 270_000
    assert ops.weights_of_one_neuron((28, 28, 1)) == 784


STEP = 0.05
T = torch.arange(-8, 8, STEP, dtype=torch.float64)


def test_convolution_integral() -> None:
    """Section 3.1: (f * g)(t), as a sum of small steps: two Gaussians make one, their variances
    add.
    """

    def bell(variance: float) -> Tensor:
        return torch.exp(-T.square() / (2 * variance)) / sqrt(2 * pi * variance)

    both = ops.convolve(bell(0.5), bell(1.0)) * STEP
    t = torch.arange(len(both)).double() * STEP - 16
    expected = torch.exp(-t.square() / 3) / sqrt(3 * pi)
    torch.testing.assert_close(both, expected, rtol=0, atol=1e-7)


def test_cross_correlation_is_convolution_with_the_first_function_turned() -> None:
    """Section 3.1: correlating f and g is convolving f(-x) and g(x). The lecture adds "or f(x) and
    g(-x)".

    That second form gives the result turned round: (f * g(-.))(t) is the correlation at -t.
    """
    f, g = tensor(1, 2, 4), tensor(3, 0, 1, 5)

    def correlation(f: Tensor, g: Tensor) -> Tensor:
        """(f star g)(tau) = sum_t f(t) g(t + tau), for tau = -(len f - 1) ... len g - 1."""
        lags = range(-(len(f) - 1), len(g))
        return torch.stack(
            [sum(f[t] * g[t + k] for t in range(len(f)) if 0 <= t + k < len(g)) for k in lags]
        )

    right = correlation(f, g)
    torch.testing.assert_close(right, ops.convolve(f.flip(0), g))
    torch.testing.assert_close(right.flip(0), ops.convolve(f, g.flip(0)))
    assert not torch.equal(right, ops.convolve(f, g.flip(0)))
    torch.testing.assert_close(right, ops.correlate(g, f, "full"))  # f slides


def test_autocorrelation_is_even() -> None:
    """Figure 2: a signal with itself, largest at lag 0."""
    f = tensor(1, 3, -2, 5)
    auto = ops.correlate(f, f, "full")
    assert torch.equal(auto, auto.flip(0))
    assert auto.argmax() == 3


def test_twelve_kernels_make_a_depth_of_twelve() -> None:
    """Section 3.2: 20 x 20 x 12 from 28 x 28 x 3. With the kernel named before, 5 x 5 x 3, it is 24
    x 24 x 12.

    20 comes from a 9 x 9 kernel.
    """
    assert ops.count_conv((3, 28, 28), 12, 5).output == (12, 24, 24)
    assert ops.count_conv((3, 28, 28), 12, 9).output == (12, 20, 20)


def test_stride_two_skips_one_pixel() -> None:
    """Section 3.2: stride s skips s - 1. Centred on every pixel at stride 1 is true only with
    padding.
    """
    y = ops.conv(torch.arange(6.0)[None, None], torch.ones(1, 1, 1), stride=2)
    assert y.flatten().tolist() == [0, 2, 4]
    assert ops.output_size(28, 5) == 24
    assert ops.output_size(28, 5, padding=ops.same_padding(5)) == 28


def test_output_size_example() -> None:
    """Section 3.2: 28 x 28 x 3, kernel 5, stride 2, padding 2, 20 filters -> 14 x 14 x 20.

    The lecture's formula gives (28 - 5 + 4) / 2 + 1 = 14.5, not the 14 it prints: it needs the
    floor. The half is one column of padding at the end that no window sees.
    """
    assert (28 - 5 + 2 * 2) / 2 + 1 == 14.5
    fit = ops.Fit(28, 5, 2, (2, 2))
    assert float(fit.exact) == 14.5
    assert (fit.output, fit.unseen) == (14, 1)
    x, w = torch.zeros(1, 3, 28, 28), torch.zeros(20, 3, 5, 5)
    assert ops.conv_im2col(x, w, stride=2, padding=2).shape == (1, 20, 14, 14)


def test_36_parameters() -> None:
    """Section 3.2: 4 kernels of 3 x 3 have 36, on one channel and without biases; on three, 108 and
    4 biases.
    """
    assert ops.count_conv((1, 9, 9), 4, 3, bias=False).parameters == 36
    assert ops.count_conv((3, 9, 9), 4, 3, bias=False).parameters == 108
    assert ops.count_conv((3, 9, 9), 4, 3).parameters == 112


def test_2d_and_3d_convolution() -> None:
    """Section 3.3: a kernel as deep as the input gives a plane; a shallower one slides in depth
    too.
    """
    volume = torch.randn(1, 1, 6, 8, 8).double()
    kernel = torch.randn(1, 1, 6, 3, 3).double()
    deep = ops.conv(volume, kernel)
    assert deep.shape == (1, 1, 1, 6, 6)
    torch.testing.assert_close(deep[:, 0], ops.conv(volume[:, 0], kernel[:, 0]))
    assert ops.conv(volume, kernel[:, :, :2]).shape == (1, 1, 5, 6, 6)


X = torch.randn(3, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
W = torch.randn(2, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
DH = torch.randn(2, 2, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def test_forward_equations() -> None:
    """Section 3.4: h11 ... h22, all four right."""
    (X11, X12, X13), (X21, X22, X23), (X31, X32, X33) = X
    (W11, W12), (W21, W22) = W
    h = torch.stack(
        [
            W11 * X11 + W12 * X12 + W21 * X21 + W22 * X22,
            W11 * X12 + W12 * X13 + W21 * X22 + W22 * X23,
            W11 * X21 + W12 * X22 + W21 * X31 + W22 * X32,
            W11 * X22 + W12 * X23 + W21 * X32 + W22 * X33,
        ]
    ).reshape(2, 2)
    torch.testing.assert_close(h, ops.correlate(X, W))


def test_gradients_written_out() -> None:
    """Section 3.4: the lecture's thirteen lines, one mended, against numerical gradients and the
    general form.
    """
    dW, dX = ops.written_out(X, W, DH)
    torch.testing.assert_close(
        dW,
        ops.numerical_gradient(lambda w: (ops.correlate(X, w) * DH).sum(), W),
        rtol=1e-7,
        atol=1e-9,
    )
    torch.testing.assert_close(
        dX,
        ops.numerical_gradient(lambda x: (ops.correlate(x, W) * DH).sum(), X),
        rtol=1e-7,
        atol=1e-9,
    )
    general = ops.conv_backward(DH[None, None], X[None, None], W[None, None])
    torch.testing.assert_close(general.weight[0, 0], dW)
    torch.testing.assert_close(general.x[0, 0], dX)


def test_the_misprinted_line() -> None:
    """Section 3.4 prints dW21 = X21 dh11 + X21 dh12 + X31 dh21 + X32 dh22; the numbers want X22
    dh12.

    All four lines as printed, beside the derivative: only this one is off, by exactly (X21 - X22)
    dh12.
    """
    (X11, X12, X13), (X21, X22, X23), (X31, X32, X33) = X
    (dh11, dh12), (dh21, dh22) = DH
    printed = torch.stack(
        [
            X11 * dh11 + X12 * dh12 + X21 * dh21 + X22 * dh22,
            X12 * dh11 + X13 * dh12 + X22 * dh21 + X23 * dh22,
            X21 * dh11 + X21 * dh12 + X31 * dh21 + X32 * dh22,
            X22 * dh11 + X23 * dh12 + X32 * dh21 + X33 * dh22,
        ]
    )
    true = ops.numerical_gradient(lambda w: (ops.correlate(X, w) * DH).sum(), W).flatten()
    off = printed - true
    assert (off.abs() > 1e-6).tolist() == [False, False, True, False]
    torch.testing.assert_close(off[2], (X21 - X22) * dh12, rtol=1e-6, atol=1e-8)


def test_gradients_are_convolutions() -> None:
    """Section 3.4, read as a whole: dW correlates X with dh; dX convolves dh with W over every
    overlap.
    """
    dW, dX = ops.written_out(X, W, DH)
    torch.testing.assert_close(dW, ops.correlate(X, DH))
    torch.testing.assert_close(dX, ops.convolve(DH, W, "full"))


KERNEL = tensor([1, 4, 1], [1, 4, 3], [3, 3, 1])
IMAGE = tensor([4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8])


def test_kernel_as_a_4x16_matrix() -> None:
    """Section 3.5, figures 5 to 7: 4x4 input, 3x3 kernel, 2x2 output; the rows of the 4x16 matrix.

    The figures' numbers are lost with them; these are of our choice.
    """
    numbers = torch.arange(1.0, 10).reshape(1, 1, 3, 3)
    rows = ops.matrix_rows(ops.conv_matrix(numbers, [4, 4]), ops.weight_name(3, 3))
    assert [row.split() for row in rows] == [
        [
            "w11",
            "w12",
            "w13",
            ".",
            "w21",
            "w22",
            "w23",
            ".",
            "w31",
            "w32",
            "w33",
            ".",
            ".",
            ".",
            ".",
            ".",
        ],
        [
            ".",
            "w11",
            "w12",
            "w13",
            ".",
            "w21",
            "w22",
            "w23",
            ".",
            "w31",
            "w32",
            "w33",
            ".",
            ".",
            ".",
            ".",
        ],
        [
            ".",
            ".",
            ".",
            ".",
            "w11",
            "w12",
            "w13",
            ".",
            "w21",
            "w22",
            "w23",
            ".",
            "w31",
            "w32",
            "w33",
            ".",
        ],
        [
            ".",
            ".",
            ".",
            ".",
            ".",
            "w11",
            "w12",
            "w13",
            ".",
            "w21",
            "w22",
            "w23",
            ".",
            "w31",
            "w32",
            "w33",
        ],
    ]
    matrix = ops.conv_matrix(KERNEL[None, None], [4, 4])
    assert matrix.shape == (4, 16)
    flat = matrix @ IMAGE.flatten().numpy()
    assert flat.reshape(2, 2).tolist() == ops.correlate(IMAGE, KERNEL).tolist()
    assert flat.tolist() == [122, 148, 126, 134]


def test_matrix_for_other_strides_and_paddings() -> None:
    """Section 3.5 ends with equations for them, lost with the figure: stride 2 and padding 1 of a
    2x2 kernel.
    """
    numbers = torch.arange(1.0, 5).reshape(1, 1, 2, 2)
    strided = ops.matrix_rows(ops.conv_matrix(numbers, [4, 4], stride=2), ops.weight_name(2, 2))
    assert strided[1].split() == [
        ".",
        ".",
        "w11",
        "w12",
        ".",
        ".",
        "w21",
        "w22",
        ".",
        ".",
        ".",
        ".",
        ".",
        ".",
        ".",
        ".",
    ]
    padded = ops.matrix_rows(ops.conv_matrix(numbers, [2, 2], padding=1), ops.weight_name(2, 2))
    assert [row.split() for row in padded][:5] == [
        ["w22", ".", ".", "."],
        ["w21", "w22", ".", "."],
        [".", "w21", ".", "."],
        ["w12", ".", "w22", "."],
        ["w11", "w12", "w21", "w22"],
    ]


def test_matrices_are_mostly_zeros() -> None:
    """Section 3.5: the matrix of a 3x3 kernel on 28 x 28 pixels is 99 % zeros."""
    matrix = ops.conv_matrix(torch.ones(1, 1, 3, 3), [28, 28])
    assert matrix.nnz / np.prod(matrix.shape) == pytest.approx(9 / 784)


def test_deconvolution_is_the_transposed_matrix() -> None:
    """Section 3.6, figure 8: 16x4 times the flattened 2x2 is a flattened 4x4."""
    matrix = ops.conv_transpose_matrix(KERNEL[None, None], [4, 4])
    assert matrix.shape == (16, 4)
    small = tensor([2, 1], [4, 4])
    large = (matrix @ small.flatten().numpy()).reshape(4, 4)
    assert (
        large.tolist() == ops.conv_transpose(small[None, None], KERNEL[None, None])[0, 0].tolist()
    )
    assert large.tolist() == [[2, 9, 6, 1], [6, 29, 30, 7], [10, 29, 33, 13], [12, 24, 16, 4]]


def test_deconvolution_does_not_undo_convolution() -> None:
    """Section 3.6 calls it de-convolution; it brings back the shape only."""
    matrix = ops.conv_matrix(KERNEL[None, None], [4, 4])
    back = matrix.T @ (matrix @ IMAGE.flatten().numpy())
    assert back.shape == (16,)
    assert np.abs(back - IMAGE.flatten().numpy()).min() > 1


def test_max_pooling_of_windows_and_strides() -> None:
    """Section 4, figure 9: 2x2 and 3x3 regions at stride 2, with and without padding."""
    x = tensor([1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4])[None, None]
    assert ops.max_pool(x, 2).y[0, 0].tolist() == [[6, 8], [3, 4]]
    assert ops.max_pool(x, 3, stride=2, padding=1).y[0, 0].tolist() == [[6, 8], [6, 8]]
    assert ops.mean_pool(x, 2)[0, 0].tolist() == [[3.25, 5.25], [2, 2]]
    torch.testing.assert_close(
        ops.l2_pool(x, 2)[0, 0], tensor([63**0.5, 133**0.5], [18**0.5, 26**0.5])
    )


def test_pooling_keeps_the_depth() -> None:
    """Section 4: independently for each channel, no new parameters."""
    assert ops.max_pool(torch.randn(2, 7, 6, 6), 2).y.shape == (2, 7, 3, 3)
    assert ops.count_pool((7, 6, 6), 2).parameters == 0


def test_gradient_of_the_maximum() -> None:
    """Section 4: dy/dx_i = 1 for the largest, 0 otherwise; with equals the printed formula counts
    each.
    """
    x = tensor(3, 7, 1, 5)
    assert ops.max_gradient_all_ties(x).tolist() == [0, 1, 0, 0]
    torch.testing.assert_close(
        ops.numerical_gradient(lambda t: t.max(), x), ops.max_gradient_all_ties(x)
    )
    tied = tensor(3, 7, 7, 5)
    assert ops.max_gradient_all_ties(tied).sum() == 2, "twice what arrived"
    pooled = ops.max_pool(tied[None, None], 4)
    stored = ops.max_pool_backward(torch.ones(1, 1, 1).double(), pooled.indices, (4,))
    assert stored.flatten().tolist() == [0, 1, 0, 0], "the stored index gives it to one"


def test_three_unpoolings() -> None:
    """Section 4, figure 10: bed of nails, nearest neighbour, and max-unpooling with the remembered
    places.
    """
    x = tensor([1, 2], [3, 4])[None, None]
    assert ops.bed_of_nails(x, 2)[0, 0].tolist() == [
        [1, 0, 2, 0],
        [0, 0, 0, 0],
        [3, 0, 4, 0],
        [0, 0, 0, 0],
    ]
    assert ops.nearest(x, 2)[0, 0].tolist() == [
        [1, 1, 2, 2],
        [1, 1, 2, 2],
        [3, 3, 4, 4],
        [3, 3, 4, 4],
    ]
    before = tensor([1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8])[None, None]
    pooled = ops.max_pool(before, 2)
    assert pooled.y[0, 0].tolist() == [[5, 6], [7, 8]]
    assert ops.max_unpool(x, pooled.indices, (4, 4))[0, 0].tolist() == [
        [0, 0, 2, 0],
        [0, 1, 0, 0],
        [0, 0, 0, 0],
        [3, 0, 0, 4],
    ]


def test_translation_gives_translation() -> None:
    """Section 5 says that shared weights give invariance; they give equivariance, pooling some
    invariance.
    """
    x = torch.zeros(1, 1, 9, 9).double()
    x[..., 3, 3] = 1
    w = torch.randn(1, 1, 3, 3).double()

    def layer(x: Tensor) -> Tensor:
        return ops.conv(x, w, padding=1)

    assert ops.equivariance_gap(layer, x, (2, 1)).max() == 0
    assert not torch.equal(layer(x), layer(ops.translate(x, (2, 1))))
    assert torch.equal(
        ops.max_pool(layer(x), 9).y, ops.max_pool(layer(ops.translate(x, (2, 1))), 9).y
    )


def test_a_linear_unit_is_most_active_for_its_own_weights() -> None:
    """Section 6, figure 12: gradient ascent on the input of a linear unit, at unit length, ends at
    its kernel.
    """
    w = torch.randn(1, 1, 5, 5).double()
    x = torch.randn(1, 1, 5, 5).double()
    one = torch.ones(1, 1, 1, 1).double()
    for _ in range(60):
        x = x + ops.conv_backward(one, x, w).x
        x = x / x.norm()
    assert (x * w).sum() / w.norm() > 0.999


def test_occlusion() -> None:
    """Section 6, figure 13: a grey square over what counts takes the score away, elsewhere it does
    not.
    """
    image = torch.full((1, 12, 12), 0.5).double()
    image[0, 2:5, 7:10] = 1

    def score(x: Tensor) -> float:
        return float(ops.max_pool(ops.conv(x[None], torch.ones(1, 1, 3, 3).double()), 10).y)

    drops = ops.occlusion_map(score, image, patch=3, baseline=0.5)
    assert drops[2, 7] == drops.max() > 1
    assert drops[6:, :4].abs().max() == 0
