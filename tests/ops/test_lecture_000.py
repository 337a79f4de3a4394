"""Every worked example of lecture 000, "The World of CNN", at its place; what is misprinted there is
said here."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from striate import ops


def tensor(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_pixel_table_grayscale_pixel_values() -> None:
    """Slide "Grayscale Pixel Values": 16 rows of 12 bytes, eleven of them misread in the text."""
    printed = torch.tensor(ops.PRINTED_PIXELS)
    right = ops.lecture_pixels()
    assert printed.shape == right.shape == (16, 12)
    wrong = (printed != right.long()).nonzero().tolist()
    assert sorted(map(tuple, wrong)) == sorted(ops.MISREAD_PIXELS)
    # 297 299 299 are no bytes. Whoever stores them anyway gets them modulo 256: black where the
    # face is bright.
    impossible = (printed > 255).nonzero().tolist()
    assert impossible == [[4, 4], [4, 5], [4, 6]]
    assert printed[4, 4:7].to(torch.uint8).tolist() == [41, 43, 43]
    assert right[4, 4:7].tolist() == [237, 239, 239]


def test_pixel_table_second_copy_lost_a_number() -> None:
    """The table is shown twice; row 2 of the second copy begins with 150 and has eleven numbers."""
    second_copy = [150, 182, 163, 74, 62, 83, 17, 110, 210, 180, 154]
    first_copy = list(ops.PRINTED_PIXELS[1])
    assert len(first_copy) == 12
    assert [155, *second_copy[1:4], 75, *second_copy[4:]] == first_copy


def test_200_pixels_a_side_are_40000_inputs_and_120000_weights() -> None:
    """Slides "Artificial Neural Network" and "Features"."""
    assert ops.weights_of_one_neuron((200, 200)) == 40_000
    assert ops.weights_of_one_neuron((200, 200, 3)) == 120_000


def test_1d_convolution_definition() -> None:
    """Slide "Convolution": (x * k)_i = sum_j x_{i-1+j} k_j, of size W - w + 1. It is
    cross-correlation."""
    x, k = tensor(3, 1, 4, 1, 5, 9, 2), tensor(2, 7, 1)
    y = ops.correlate(x, k)
    W, w = 7, 3
    assert len(y) == W - w + 1 == ops.output_size(W, w)
    for i in range(1, len(y) + 1):  # the lecture counts from 1
        assert y[i - 1] == sum(x[i - 1 + j - 1] * k[j - 1] for j in range(1, w + 1))
        assert y[i - 1] == x[i - 1 : i + w - 1] @ k
    assert not torch.equal(y, ops.convolve(x, k, "valid"))


def test_differential_operator() -> None:
    """Slide "Powerful feature extractor": (0,0,0,1,2,3,4,4,4) with (-1,1).

    The lecture prints nine values, (0,0,1,1,1,1,0,0,0). Its own rule W - w + 1 gives eight: the
    last 0 is one too many. Nine come out only if the last value is repeated once after the end.
    """
    x, k = tensor(0, 0, 0, 1, 2, 3, 4, 4, 4), tensor(-1, 1)
    y = ops.correlate(x, k)
    assert y.tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    padded = ops.conv(x[None, None], k[None, None], padding=((0, 1),), padding_mode="replicate")
    assert padded[0, 0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0]


def test_pattern_detector() -> None:
    """The next slide: (0,0,1,1,0,0.1,0.2,1,1,1,0) with (1,1), ten values, as printed."""
    x = tensor(0, 0, 1, 1, 0, 0.1, 0.2, 1, 1, 1, 0)
    y = ops.correlate(x, tensor(1, 1))
    torch.testing.assert_close(y, tensor(0, 1, 2, 1, 0.1, 0.3, 1.2, 2, 2, 1))


def test_linear_filtering_formula() -> None:
    """Slide "Image Filtering": I'(u,v) = sum_{i,j=-1..1} I(u+i, v+j) H(i,j); at (2,3) H(0,0) meets
    I(2,3)."""
    image = torch.randn(5, 6, dtype=torch.float64)
    H = ops.FILTERS["sobel x"]
    filtered = ops.filter_image(image, H)
    u, v = 2, 3
    by_hand = sum(image[u + i, v + j] * H[1 + i, 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1))
    torch.testing.assert_close(filtered[u, v], by_hand)
    torch.testing.assert_close(ops.filter_image(image, ops.FILTERS["identity"]), image)


def test_filter_tables() -> None:
    """Slide "Example of H": 1/9, and 1/41 of 3 5 3 / 5 9 5 / 3 5 3, both of which sum to 1."""
    assert ops.FILTERS["box"].sum().item() == pytest.approx(1)
    assert (41 * ops.FILTERS["weighted average"]).tolist() == pytest.approx(
        tensor([3, 5, 3], [5, 9, 5], [3, 5, 3])
    )
    assert 3 * 4 + 5 * 4 + 9 == 41
    assert ops.FILTERS["sobel x"].tolist() == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]


def test_toy_convnet_volumes() -> None:
    """Slides "A Shallow Toy ConvNet": 32x32x3, 12 filters -> 32x32x12, pool -> 16x16x12, FC -> 3
    classes."""
    x = torch.randn(1, 3, 32, 32)
    a = ops.conv_im2col(x, torch.randn(12, 3, 3, 3), padding="same")
    assert a.shape == (1, 12, 32, 32)
    h = ops.relu(a)
    assert h.shape == a.shape
    assert h.min() == 0
    p = ops.max_pool(h, 2).y
    assert p.shape == (1, 12, 16, 16)
    scores = ops.linear(p.flatten(1), torch.randn(3, 12 * 16 * 16))
    assert scores.shape == (1, 3)


IMAGE = tensor(
    [0.5, 1.0, 0.55, 0.12, 0.1, 1.0],
    [0.3, 0.34, 0.3, 0.99, 0, 0],
    [0, 0, 0.1, 0.05, 0.1, 1.0],
    [1.0, 0.1, 0.1, 0.3, 0.4, 0.43],
    [0, 1.0, 0.4, 0.4, 0.3, 0.33],
    [0.1, 0.1, 0.13, 0.44, 0.54, 0],
)


def test_convolution_or_correlation() -> None:
    """Slide "Convolution or correlation?": 6x6 with 1 0 -1 gives -0.15 in the corner; here all
    sixteen values."""
    K = ops.FILTERS["vertical edge"]
    C = ops.correlate(IMAGE, K)
    assert C.shape == (4, 4)
    assert C[0, 0].item() == pytest.approx(0.5 + 0.3 + 0 - 0.55 - 0.3 - 0.1)
    expected = tensor(
        [-0.15, 0.18, 0.75, -0.84],
        [0.80, -0.90, 0.00, -0.09],
        [0.40, 0.35, -0.20, -1.01],
        [0.47, 0.06, -0.61, 0.38],
    )
    torch.testing.assert_close(C, expected)
    # True convolution turns the kernel, which here only changes the sign: the corner would be
    # +0.15.
    torch.testing.assert_close(ops.convolve(IMAGE, K, "valid"), -expected)


def test_symmetric_filter_makes_no_difference() -> None:
    """The same slide: for a symmetric filter, convolution = correlation. Symmetric under half a
    turn is enough."""
    half_turn = tensor([1, 2, 3], [4, 5, 4], [3, 2, 1])
    torch.testing.assert_close(
        ops.correlate(IMAGE, half_turn), ops.convolve(IMAGE, half_turn, "valid")
    )
    mirrored = tensor([1, 2, 1], [0, 0, 0], [5, 6, 5])  # left and right alike is not enough
    assert not torch.allclose(
        ops.correlate(IMAGE, mirrored), ops.convolve(IMAGE, mirrored, "valid")
    )


@pytest.mark.parametrize(
    ("N", "P", "stride", "padding", "output"),
    [
        (8, 5, 1, 0, 4),  # "Toy example"
        (32, 5, 1, 0, 28),
        (7, 3, 1, 0, 5),  # "Conv Layer: Strides"
        (7, 3, 2, 0, 3),
        (7, 3, 1, 1, 7),  # "Conv Layer: Padding"
        (7, 5, 1, 2, 7),
        (7, 7, 1, 3, 7),
    ],
)
def test_output_sizes(N: int, P: int, stride: int, padding: int, output: int) -> None:
    assert ops.output_size(N, P, stride=stride, padding=padding, exact=True) == output
    y = ops.conv_im2col(
        torch.zeros(1, 1, N, N), torch.zeros(1, 1, P, P), stride=stride, padding=padding
    )
    assert y.shape == (1, 1, output, output)


def test_stride_3_does_not_fit() -> None:
    """Slide "What happens if": (7 - 3) / 3 + 1 = 2.33. Two windows, and the last pixel is lost."""
    fit = ops.Fit(7, 3, 3)
    assert float(fit.exact) == pytest.approx(2.33, abs=0.005)
    assert (fit.output, fit.unseen, fit.fits) == (2, 1, False)
    assert "stride 2 or 4" in fit.sentence()


@pytest.mark.parametrize(("P", "padding"), [(3, 1), (5, 2), (7, 3)])
def test_padding_that_preserves_the_size(P: int, padding: int) -> None:
    """Slide "Conv Layer: Padding": zero padding with (P - 1) / 2."""
    assert ops.same_padding(P) == padding


def test_six_filters_make_an_image_of_six_channels() -> None:
    """Slide "Consider 6 filters": 28 x 28 x 6."""
    y = ops.conv_im2col(torch.zeros(1, 3, 32, 32), torch.zeros(6, 3, 5, 5))
    assert y.shape == (1, 6, 28, 28)


def test_lenet_like_table_to_its_end() -> None:
    """ "Case study: LeNet-like architecture": the three figures the lecture has, and the rows after
    its last.

    The lecture stops at the first max_pool2d with two ticks. The network goes on as in the course
    it is taken from (conv 32 -> 64 of 5x5, pool 2, two linear layers), for ten digits.
    """
    rows = [ops.count_conv((1, 28, 28), 32, 5)]
    assert (
        rows[0]
        == ((32, 24, 24), 32 * (5**2 + 1), 32 * 24**2 * 5**2)
        == (
            (32, 24, 24),
            832,
            460_800,
        )
    )
    rows.append(ops.count_pool(rows[-1].output, 3))
    assert rows[-1] == ((32, 8, 8), 0, 0)
    rows.append(ops.count_conv(rows[-1].output, 64, 5))
    assert rows[-1] == ((64, 4, 4), 64 * (32 * 25 + 1), 819_200)
    rows.append(ops.count_pool(rows[-1].output, 2))
    assert rows[-1] == ((64, 2, 2), 0, 0)
    rows.append(ops.count_linear(rows[-1].output, 200))
    assert rows[-1] == ((200,), 51_400, 51_200)
    rows.append(ops.count_linear(rows[-1].output, 10))
    assert rows[-1] == ((10,), 2_010, 2_000)
    assert sum(row.parameters for row in rows) == 105_506
    assert sum(row.products for row in rows) == 1_333_200

    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 32, kernel_size=5),
        torch.nn.MaxPool2d(3),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 64, kernel_size=5),
        torch.nn.MaxPool2d(2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(256, 200),
        torch.nn.ReLU(),
        torch.nn.Linear(200, 10),
    )
    assert module(torch.zeros(1, 1, 28, 28)).shape == (1, 10)
    assert sum(p.numel() for p in module.parameters()) == 105_506
