"""Every worked example of lecture 003, "CNNs and Spatial Processing", at its place; misprints are said
here.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from striate import ops


def tensor(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_linear_shift_invariant_system() -> None:
    """Slide "Convolution": y[n] = sum_{k=-1..1} h[k] x[n-k] is the matrix of entries h[n-k]."""
    h, x = tensor(2, 3, 5), tensor(1, -1, 4, 0, 2, 7)  # h[-1], h[0], h[1]
    by_formula = [sum(h[k + 1] * x[n - k] for k in (-1, 0, 1) if 0 <= n - k < 6) for n in range(6)]
    matrix = np.array(
        [[h[n - k + 1] if abs(n - k) <= 1 else 0 for k in range(6)] for n in range(6)]
    )
    np.testing.assert_allclose(matrix @ x.numpy(), by_formula)
    assert ops.convolve(x, h, "same").tolist() == by_formula
    # as a layer, which does not turn its kernel, the same matrix belongs to the kernel turned round
    layer = ops.conv_matrix(ops.flip(h)[None, None], [6], padding=1)
    np.testing.assert_array_equal(layer.toarray(), matrix)


def test_toeplitz_matrix() -> None:
    """Slide "Toeplitz matrix": the 5x5 of the letters a ... i, constant along each diagonal."""
    a, b, c, d, e, f, g, h, i = range(1, 10)
    printed = [
        [a, b, c, d, e],
        [f, a, b, c, d],
        [g, f, a, b, c],
        [h, g, f, a, b],
        [i, h, g, f, a],
    ]
    matrix = ops.toeplitz([i, h, g, f, a, b, c, d, e], rows=5)
    assert matrix.toarray().tolist() == printed


def test_general_linear_layer_has_a_free_entry_for_each_pair() -> None:
    """Slides "Linear system" and "Convolution": h[n, k] against h[n - k]: 25 numbers against 9, or
    3 if local.
    """
    assert ops.layer_matrix("fully connected", (5,), (1,)).parameters == 25
    assert len(np.unique(ops.toeplitz(list(range(1, 10)), rows=5).data)) == 9
    assert ops.layer_matrix("convolutional", (5,), (3,), padding=1).parameters == 3
    assert ops.layer_matrix("locally connected", (5,), (3,), padding=1).parameters == 13


@pytest.mark.parametrize("n", [3, 8, 50])
def test_one_kernel_for_any_size(n: int) -> None:
    """Slide "Conv layers can be applied to arbitrarily-sized inputs"."""
    w = tensor([[1, 2, 3]])
    assert ops.conv(torch.ones(1, 1, n).double(), w, padding=1).shape == (1, 1, n)


def test_multiple_channels() -> None:
    """Slides "Multiple channel inputs / outputs": y_k = sum_c w_kc o x_c."""
    x, w = torch.randn(1, 3, 7).double(), torch.randn(4, 3, 3).double()
    y = ops.conv(x, w)
    for k in range(4):
        torch.testing.assert_close(y[0, k], sum(ops.correlate(x[0, c], w[k, c]) for c in range(3)))


def test_parameter_quiz() -> None:
    """Slides "Multiple channels: Example": 3 colours in, 96 maps out, 3 x 3. Answers: (b) 27, and
    (c) 96 filters.

    (d) 864 = 9 * 96 forgets the colours of the input; it is what one filter of the next layer has,
    which reads 96 maps. The whole bank has 27 * 96 = 2592.
    """
    assert ops.parameters_per_filter(3, (3, 3)) == 27
    assert ops.parameters_per_filter(96, (3, 3)) == 864
    assert ops.count_conv((3, 128, 128), 96, 3, bias=False).parameters == 27 * 96 == 2_592


def test_filter_sizes() -> None:
    """Slide "Filter sizes": M x N x C_l a filter, C_(l+1) filters."""
    assert ops.parameters_per_filter(5, (2, 7)) == 2 * 7 * 5


def test_pooling_formulas() -> None:
    """Slides "Pooling": max and mean. Both print the output's index j under the sum too; it must be
    another.
    """
    h = tensor(3, 1, 4, 1, 5, 9)
    neighbours = [[0, 1], [2, 3], [4, 5]]
    assert ops.max_pool(h[None, None], 2).y[0, 0].tolist() == [
        max(h[k] for k in N) for N in neighbours
    ]
    assert ops.mean_pool(h[None, None], 2)[0, 0].tolist() == [
        sum(h[k] for k in N) / len(N) for N in neighbours
    ]


def test_pooling_is_stable_under_small_translations() -> None:
    """Slides "Pooling - Why?": a move inside a window changes nothing, one across changes the
    map.
    """
    x = torch.zeros(1, 1, 12).double()
    x[..., 4] = 1
    same, other = ops.translate(x, (1,)), ops.translate(x, (2,))
    pooled = ops.max_pool(x, 3).y
    assert torch.equal(ops.max_pool(same, 3).y, pooled)
    assert not torch.equal(ops.max_pool(other, 3).y, pooled)


def test_pooling_across_channels_makes_rotation_harmless() -> None:
    """Slide "Pooling across channels - Why?": a bar detector in four directions, and the best of
    the four.
    """
    bar = tensor([0, 1, 0], [0, 1, 0], [0, 1, 0])
    diagonal = torch.eye(3, dtype=torch.float64)
    bank = torch.stack([bar, diagonal, bar.T, diagonal.flip(1)])[:, None]
    answers = torch.cat([ops.conv(f[None], bank) for f in bank])
    assert (answers[:, :, 0, 0] == 3).sum() == 4, "each detector answers fully to its own bar only"
    assert ops.maxout(answers, 4).y.flatten().tolist() == [3, 3, 3, 3]


def test_strided_operation_is_the_operation_and_downsampling() -> None:
    """Slide "Strided operations"."""
    x, w = torch.randn(1, 2, 9, 9).double(), torch.randn(3, 2, 3, 3).double()
    torch.testing.assert_close(ops.conv(x, w, stride=2), ops.conv(x, w)[..., ::2, ::2])
    torch.testing.assert_close(
        ops.max_pool(x, 3, stride=2).y, ops.max_pool(x, 3, stride=1).y[..., ::2, ::2]
    )


def test_receptive_field_steps() -> None:
    """Slide "Receptive fields": pool by 2, 3x1 filter, pool by 2; RF*2, RF + floor(3/2)*2, RF*2: 1,
    2, 4, 8.
    """
    layers = [(2, 2), (3, 1), (2, 2)]
    assert ops.receptive_field_steps(layers) == [1, 2, 4, 8]
    assert len(ops.seen_pixels(layers)) == 8
    rf = 1
    for step in (lambda r: r * 2, lambda r: r + 3 // 2 * 2, lambda r: r * 2):
        rf = step(rf)
    assert rf == 8


def test_receptive_field_rule_of_the_lecture_is_for_odd_filters() -> None:
    """RF + floor(k/2)*2 equals RF + k - 1 for odd k; for k = 4 it says 5 where 4 pixels are
    seen.
    """
    for k in (1, 3, 5, 7):
        assert 1 + k // 2 * 2 == ops.receptive_field_steps([(k, 1)])[-1]
    assert 1 + 4 // 2 * 2 == 5
    assert ops.receptive_field_steps([(4, 1)])[-1] == len(ops.seen_pixels([(4, 1)])) == 4


def test_line_classifier() -> None:
    """Slides "Example: simple line classification": the five formulas, with the lecture's learned
    matrix W.

    The 9x9 kernels are lost with the figure; a vertical and a horizontal bar stand for them. The
    lecture prints exp(-tau z), which for tau > 0 prefers the smaller logit: then the classes come
    out exchanged.
    """
    W, c = tensor([2.83, -2.36], [-0.60, 1.14]), tensor(0, 0)
    bar = torch.zeros(9, 9, dtype=torch.float64)
    bar[:, 4] = 1
    bar -= bar.mean()
    w = torch.stack([bar, bar.T])[:, None]
    b = tensor(-2, -2)
    image = torch.zeros(2, 1, 32, 32, dtype=torch.float64)
    image[0, 0, :, 12] = 1  # class 0: vertical
    image[1, 0, 20, :] = 1  # class 1: horizontal

    z1 = ops.conv(image, w, b)
    h = z1.clamp(min=0)
    z2 = ops.global_mean_pool(h)
    torch.testing.assert_close(z2[0, 0], h[0, 0].sum() / (24 * 24))
    z3 = ops.linear(z2, W, c)
    assert ops.softmax(z3, 10.0).argmax(1).tolist() == [0, 1]
    assert ops.softmax(z3, -10.0).argmax(1).tolist() == [1, 0], "the formula as printed"
    torch.testing.assert_close(
        ops.softmax(z3, -2.0),
        torch.exp(-2.0 * z3) / torch.exp(-2.0 * z3).sum(1, keepdim=True),
    )


def test_modulation_moves_the_spectrum_sideways() -> None:
    """Slide "Identifying vulnerability": times a sinusoid, and the spectrum stands at two places
    instead of one.
    """
    image = torch.randn(8, 32, dtype=torch.float64)
    cycles = 5
    wave = torch.cos(2 * np.pi * cycles * torch.arange(32).double() / 32)
    spectrum = torch.fft.fft2(image)
    moved = (spectrum.roll(cycles, 1) + spectrum.roll(-cycles, 1)) / 2
    torch.testing.assert_close(torch.fft.fft2(image * wave), moved)


def test_error_of_the_line_classifier() -> None:
    """Slide "Network training and evaluation": 3 / 10000 misclassified is an accuracy of 99.97
    %.
    """
    scores = torch.zeros(10_000, 2)
    scores[:, 0] = 1
    labels = torch.zeros(10_000, dtype=torch.long)
    labels[:3] = 1
    assert ops.top_k_accuracy(scores, labels, 1) == pytest.approx(0.9997)


def test_alexnets_first_kernels() -> None:
    """Slide "Get to know your units": 11 x 11 with 3 colours, 96 units."""
    assert ops.count_conv((3, 227, 227), 96, 11, stride=4, bias=False).parameters == 96 * 363


def test_chaining_convolutions() -> None:
    """Slide "Chaining convolutions": two 3x3 see 5x5 with 18 weights for 25; three see 7x7 with 27
    for 49.
    """
    assert ops.receptive_field_steps([(3, 1)] * 2)[-1] == 5
    assert ops.receptive_field_steps([(3, 1)] * 3)[-1] == 7
    a, b = torch.randn(3, 3).double(), torch.randn(3, 3).double()
    x = torch.randn(9, 9).double()
    chained = ops.correlate(ops.correlate(x, a), b)
    one = ops.flip(ops.convolve(ops.flip(a), ops.flip(b)))
    assert one.shape == (5, 5)
    torch.testing.assert_close(chained, ops.correlate(x, one))


def test_residual_block_passes_the_gradient_on() -> None:
    """Slide "Residual Blocks": d(x + F(x)) = dy + what comes through F; where F has died, dy is
    still whole.
    """
    x, w = torch.randn(1, 1, 5, 5).double(), torch.zeros(1, 1, 3, 3).double()
    dy = torch.randn(1, 1, 5, 5).double()
    a = ops.conv(x, w, padding=1)
    through = ops.conv_backward(ops.relu_backward(dy, a), x, w, padding=1).x
    torch.testing.assert_close(dy + through, dy)
